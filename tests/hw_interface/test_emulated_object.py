"""The object beside an emulated arm: it is simulated, sent as datagrams, and placed on request."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_mocap import free_port

from adaptation.jobs.emulate import ObjectBeside, emulate
from hw_interface.devices import BringsPlacer
from hw_interface.emulators.object_feed import ObjectFeed
from hw_interface.trackers import TRACKERS
from hw_interface.trackers.emulated_placer import EmulatedPlacer
from hw_interface.trackers.mocap import Mocap, MocapOptions
from robots.catalog import ARMS
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.rotations import quaternion_about_z, yaw_about_z
from robots.world import Start, Task
from sim.families import make_family
from sim.scene_plant import ScenePlant

FAMILY = make_family("push", "ur5e")
STEP = 0.004  # s
PLACE = np.array([0.55, 0.05])  # m
TURNED = quaternion_about_z(np.array([0.3]))


@pytest.fixture
def plant() -> ScenePlant:
    return ScenePlant(FAMILY, ARMS["ur5e"])


def place_at(xy: np.ndarray, number: int = 0) -> tuple[Task, Start]:
    """An object before a real arm, of which nothing is known."""
    values = np.full((1, len(FAMILY.task_names)), np.nan)
    task = Task(FAMILY.task_names, values, np.array([number]))
    pos = np.array([[*xy, np.nan]])
    return task, Start(np.zeros((1, 6)), object_pos=pos, object_quat=TURNED)


@contextmanager
def passing_time(feed: ObjectFeed, tracker: Mocap) -> Iterator[None]:
    """The emulator's time passes as fast as it can, while the tracker is read."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            feed.advance(STEP)
            with contextlib.suppress(OSError):
                tracker.read()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_an_arm_that_drives_through_the_object_pushes_it(plant: ScenePlant) -> None:
    """The tool goes from behind the object to where it was, and beyond."""
    rng = np.random.default_rng(0)
    task = FAMILY.sample(rng, 1, "heldout")
    start = FAMILY.start(rng, task)
    ready = start.q[0]
    plant.write(ready)
    for _ in range(500):
        plant.advance(STEP)
    kinematics = Kinematics(ARMS["ur5e"])
    (tool,) = kinematics.position(plant.read()[0][None])
    ahead = tool[:2] + np.array([0.1, 0.0])
    plant.place(0, ahead, np.array([1.0, 0, 0, 0]))
    before = plant.motion.pos[0].copy()
    np.testing.assert_allclose(before[:2], ahead)
    assert np.abs(plant.read()[1]).max() < 0.05

    q = ready.copy()
    for _ in range(100):
        jacobian = kinematics.jacobian(q[None])[0]
        q = q + np.linalg.pinv(jacobian[:3]) @ np.array([0.0015, 0, 0])
        plant.write(q)
        plant.advance(0.02)
    moved = plant.motion.pos[0] - before
    assert moved[0] > 0.02
    assert abs(moved[2]) < 0.01


def test_a_number_brings_the_same_object_again_and_another_number_another(
    plant: ScenePlant,
) -> None:
    heights = []
    for number in (1, 2, 3, 1, 2, 3):
        plant.place(number, PLACE, TURNED[0])
        heights.append(float(plant.motion.pos[0, 2]))
    assert heights[:3] == heights[3:]
    assert len(set(heights)) == 3


def test_the_tracker_sees_the_object_where_the_placer_had_it_put(
    plant: ScenePlant, tmp_path: Path
) -> None:
    port = free_port()
    file = tmp_path / "mocap.toml"
    file.write_text(f'body = "{plant.object_name}"\nport = {port}\n[frame]\n')
    options = MocapOptions(str(file), emulator=port + 1)
    tracker = Mocap(ARMS["ur5e"], options)
    kind = TRACKERS["mocap"]
    assert isinstance(kind, BringsPlacer)
    placer = kind.find_placer(options)
    assert placer is not None
    feed = ObjectFeed(plant, port)
    with passing_time(feed, tracker):
        placer.place(*place_at(PLACE, number=2))
    state = tracker.read()
    np.testing.assert_allclose(state.pos[:2], PLACE, atol=1e-3)
    np.testing.assert_allclose(yaw_about_z(state.quat[None]), [0.3], atol=0.01)
    feed.close()
    tracker.close()


def test_poses_are_sent_at_their_rate(plant: ScenePlant) -> None:
    port = free_port()
    feed = ObjectFeed(plant, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", port))
        receiver.setblocking(False)
        for _ in range(100):
            feed.advance(0.01)
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(json.loads(receiver.recv(1024)))
    assert 99 <= len(messages) <= 100  # one for each step of 10 ms, which is longer than 1/120 s
    stamps = [message["time"] for message in messages]
    assert stamps == sorted(stamps)
    feed.close()


@pytest.mark.parametrize(
    "message",
    [b"", b"\xff", b"{}", b'{"number": -1, "place": [0, 0], "quaternion": [1, 0, 0, 0]}'],
)
def test_a_request_that_is_none_places_nothing(plant: ScenePlant, message: bytes) -> None:
    feed = ObjectFeed(plant, free_port())
    before = plant.motion.pos.copy()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(message, ("127.0.0.1", feed.place_port))
        feed.advance(STEP)
        np.testing.assert_allclose(plant.motion.pos, before, atol=1e-3)
    feed.close()


def test_where_no_emulator_answers_nothing_is_placed() -> None:
    placer = EmulatedPlacer(free_port(), patience=0.05)
    with pytest.raises(OSError, match="no emulator with an object answers at port"):
        placer.place(*place_at(PLACE))


def test_without_the_option_a_person_places_the_object() -> None:
    assert Mocap.find_placer(MocapOptions("mocap.toml")) is None
    with pytest.raises(BadArgumentError, match="emulator must be a port"):
        MocapOptions("mocap.toml", emulator=70_000)


def test_an_object_before_the_arm_and_one_between_the_fingers_are_refused() -> None:
    port = free_port()
    with pytest.raises(BadArgumentError, match="between the fingers or before the arm"):
        emulate("ur", "ur5e_2f85", between=0.05, beside=ObjectBeside("push", port, 0))
