"""What is left when the link to a Universal Robots arm breaks under a control process.

The client library ur_rtde then often ends its process with a segmentation fault. So these tests run
a control process, as ``pliant trial`` does.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_ur import UR5E, Remote, emulated_ur
from mcap.reader import make_reader

from hw_interface.arm_world import ArmWorld
from hw_interface.control.events import Mode
from hw_interface.emulators.ur import UrEmulator
from hw_interface.emulators.ur_motion import Motion
from hw_interface.recording.process import RecordTo
from robots.errors import ArmError
from sim.families.reach import Reach

pytest.importorskip("rtde_control", reason="needs the extra 'ur'")

FAMILY = Reach(UR5E)
STANDING = 5e-3  # rad/s
WATCHED = 2.0  # s in which a client that opens its link anew would have uploaded its program


def cut(emulator: UrEmulator) -> None:
    emulator.cut()


def mute(emulator: UrEmulator) -> None:
    emulator.faults.mute = True


def is_moving(emulator: UrEmulator) -> bool:
    _, dq, _ = emulator.controller.state
    return bool(np.abs(dq).max() > 0.05)


def stands(emulator: UrEmulator) -> bool:
    _, dq, _ = emulator.controller.state
    return emulator.controller.targets.at_rest and bool(np.abs(dq).max() < STANDING)


def program_runs_unwatched(emulator: UrEmulator) -> bool:
    """Whether a program follows targets, and nothing would end it."""
    controller = emulator.controller
    return controller.targets.motion is Motion.SERVO and not controller.is_watched


def uploads(emulator: UrEmulator) -> int:
    return emulator.controller.uploads


def assert_nothing_drives_it_on(remote: Remote) -> None:
    deadline = time.monotonic() + WATCHED
    while time.monotonic() < deadline:
        assert not remote.do(program_runs_unwatched)
        assert remote.do(uploads) == 1
        time.sleep(0.02)
    assert remote.do(stands)


def wait_until(remote: Remote, condition: Callable[[UrEmulator], Any]) -> None:
    deadline = time.monotonic() + 60
    while not remote.do(condition):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def drive_until_it_fails(world: ArmWorld) -> None:
    """Act on and on; returns once the arm is in a fault, or its control process has ended."""
    deadline = time.monotonic() + 60
    action = np.array([[0.5, -1.0, 0.5]])
    while world.mode is not Mode.FAULT:
        assert time.monotonic() < deadline
        world.step(action)


@pytest.mark.parametrize("break_link", [cut, mute])
def test_a_broken_link_leaves_the_arm_at_rest_and_the_recording_whole(
    tmp_path: Path, break_link: Callable[[UrEmulator], None]
) -> None:
    with emulated_ur() as remote:
        options = {"port": remote.address}
        record_to = RecordTo(tmp_path)
        world = ArmWorld(FAMILY, UR5E, "ur", options, clock="realtime", record_to=record_to)
        try:
            world.reset(FAMILY.sample(np.random.default_rng(0), 1, "train"))
            for _ in range(3):
                world.step(np.array([[0.5, -1.0, 0.5]]))
            wait_until(remote, is_moving)
            remote.do(break_link)
            with contextlib.suppress(ArmError):  # the control process has ended
                drive_until_it_fails(world)
            wait_until(remote, stands)
            assert_nothing_drives_it_on(remote)
        finally:
            world.close()
        assert_nothing_drives_it_on(remote)
        assert world.recorder.failure is None
    (recording,) = tmp_path.glob("*.mcap")
    with recording.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count > 100
