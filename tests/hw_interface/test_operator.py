"""The operator's words, processes that hang or are told to end, and a link that is opened anew."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from emulated import VIPERX, PacedDynamixel, emulated_bus, patient_driver
from fake import FAMILY, READY, FakeDriver, Rig, assert_within_limits
from numpy.typing import ArrayLike
from test_arm_world import (
    FORWARD,
    Person,
    build,
    eventually,
    has_ended,
    pid_of,
    retry_overruns,
    sample_task,
)
from test_recorder import make_row, read_actions, start_recorder

from hw_interface import arm_moves
from hw_interface.arm_world import ArmWorld
from hw_interface.control.client import ControlClient
from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import EVENTS, Record, Sizes
from hw_interface.control.requests import Request
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from hw_interface.drivers import DRIVERS
from hw_interface.drivers.dynamixel import DynamixelOptions
from hw_interface.final_state import describe_final_state
from hw_interface.trackers import TRACKERS
from robots.clearance import Clearance
from robots.errors import ArmError
from robots.signals import Array, Condition, JointState
from sim.families import make_family

STOPS = 200
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SOON = 5.0  # s, a wide bound; what hung before took 20 s, or never ended


@pytest.fixture
def world() -> Iterator[ArmWorld]:
    made = build()
    yield made
    made.close()


def test_no_stop_is_lost_however_soon_another_request_follows(world: ArmWorld) -> None:
    """From another thread, as the end of an episode follows an operator's key."""
    lost = 0
    both_ready = threading.Barrier(2)

    def end_episodes() -> None:
        for _ in range(STOPS):
            both_ready.wait()
            world.control.request(Request.END_EPISODE)
            both_ready.wait()

    other = threading.Thread(target=end_episodes)
    other.start()
    for _ in range(STOPS):
        both_ready.wait()
        world.stop()
        both_ready.wait()
        lost += world.mode is not Mode.FAULT
        world.clear()
        assert world.mode is Mode.IDLE
    other.join()
    assert lost == 0


def test_the_newest_events_are_kept_with_their_numbers(world: ArmWorld) -> None:
    forgotten = 20
    for _ in range((EVENTS + forgotten) // 2):
        world.stop()
        world.clear()
    events = world.events
    assert [event["number"] for event in events] == list(range(forgotten, EVENTS + forgotten))
    names = [event["event"] for event in events]
    assert names == ["OPERATOR_STOP", "CLEARED"] * (EVENTS // 2)
    stamps = [event["stamp"] for event in events]
    assert stamps == sorted(stamps)


@pytest.mark.parametrize("word", ["hold", "stop"])
def test_an_episode_begins_after_all_where_an_operator_lets_the_arm_go(
    world: ArmWorld, word: str
) -> None:
    """The word comes on the way to the start."""
    said: list[str] = []

    def let_go() -> bool:
        if said:
            world.release()
            world.clear()
        return True

    request = world.control.request

    def request_and_say(kind: Request, **values: ArrayLike) -> int:
        seq = request(kind, **values)
        if not said:
            said.append(word)
            {"hold": world.hold, "stop": world.stop}[word]()
        return seq

    world.wait_for_operator = let_go
    world.control.request = request_and_say  # type: ignore[method-assign]
    assert np.isfinite(world.reset(sample_task())).all()
    assert said == [word]
    assert world.mode is Mode.ARMED
    world.wait_for_operator = None
    world.stop()
    with pytest.raises(ArmError, match="FAULT"):
        world.reset(sample_task())


@pytest.mark.parametrize("operated", [True, False], ids=["operator", "nobody"])
def test_a_hold_that_is_released_at_once_ends_the_move(
    world: ArmWorld, monkeypatch: pytest.MonkeyPatch, operated: bool
) -> None:
    """The arm is held and idle again before the policy's process looks."""
    monkeypatch.setattr(arm_moves, "TIMEOUT", 0.0)
    held: list[int] = []
    request = world.control.request

    def request_and_hold(kind: Request, **values: ArrayLike) -> int:
        seq = request(kind, **values)
        if not held:
            held.append(seq)
            world.hold()
            world.release()
        return seq

    far = READY + np.array([1.5, 0, 0, 0, 0, 0, 0])
    world.moves.move_to(far)  # the way back lasts longer than the words take
    world.control.request = request_and_hold  # type: ignore[method-assign]
    if operated:
        world.wait_for_operator = nobody_holds
        world.reset(sample_task())
        assert world.mode is Mode.ARMED
    else:
        with pytest.raises(ArmError, match=r"IDLE.*RELEASED"):
            world.reset(sample_task())
    assert [event["event"] for event in world.events] == ["OPERATOR_HOLD", "RELEASED"]

    def move_to_and_fro() -> None:
        """On a busy machine the arm may arrive before the word comes."""
        for goal in 10 * [far, READY]:
            held.clear()
            world.moves.move_to(goal)

    with pytest.raises(ArmError, match=r"did not arrive.*IDLE.*RELEASED"):
        move_to_and_fro()


@pytest.mark.parametrize("late", [False, True], ids=["reads_at_once", "reads_after_the_end"])
def test_a_move_that_is_blocked_is_an_event_and_says_why(
    world: ArmWorld, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Straight through the table, as if no path had been planned.

    The policy's process may look for its request only when the move is over already.
    """
    wait_for = world.control.wait_for

    def wait_late(ready: Callable[[Record], bool], purpose: str, timeout: float = SOON) -> Record:
        if purpose == "move":
            eventually(lambda: bool(world.events))
        return wait_for(ready, purpose, timeout)

    def straight(clearance: Clearance, begin: Array, goal: Array, rng: object) -> Array:
        return np.stack([begin, goal])

    world.reset(sample_task())
    monkeypatch.setattr(arm_moves, "plan_path", straight)
    if late:
        monkeypatch.setattr(world.control, "wait_for", wait_late)
    below = READY + np.array([0, 0.3, 0, 0, 0, 0, 0])
    with pytest.raises(ArmError, match=r"did not reach its goal: the way is blocked: .*tool"):
        world.moves.move_to(below)
    assert world.events[-1]["event"] == "BLOCKED"
    assert world.mode is Mode.IDLE
    assert np.abs(world.control.state["dq_set"]).max() < 1e-6
    monkeypatch.undo()
    world.moves.move_to(READY)


def nobody_holds() -> bool:
    return True


def test_words_may_come_from_many_threads_at_once(world: ArmWorld) -> None:
    def say_often() -> None:
        for _ in range(30):
            world.stop()
            world.hold()

    threads = [threading.Thread(target=say_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.mode is Mode.FAULT
    handled = world.control.state["words_handled"]
    np.testing.assert_array_equal(handled, world.control._words_said)


def test_a_word_to_a_closed_arm_is_an_error() -> None:
    world = build()
    world.close()
    with pytest.raises(ArmError, match="disconnected"):
        world.stop()


class HangingDriver(FakeDriver):
    """A driver whose call to read does not return once the file of this name exists."""

    def read(self) -> JointState:
        while HANG in os.environ and Path(os.environ[HANG]).exists():
            time.sleep(60)
        return super().read()


HANG = "PLIANT_TEST_HANG"


@pytest.fixture
def hanging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ArmWorld, Path]]:
    """An arm in an episode, and the file that makes its driver hang."""
    file = tmp_path / "hang"
    monkeypatch.setenv(HANG, str(file))
    with (
        DRIVERS.temporarily("hanging", "test_operator:HangingDriver"),
        TRACKERS.temporarily("live", "fake:LiveTracker"),
    ):
        world = build(driver="hanging", clock="realtime", placer=Person(), tracker="live")
    retry_overruns(world, lambda: world.reset(sample_task()))
    yield world, file
    world.close()


def act_for_long(world: ArmWorld) -> None:
    for _ in range(100):
        world.step(FORWARD)


def test_a_driver_call_that_hangs_is_noticed_and_closing_returns(
    hanging: tuple[ArmWorld, Path],
) -> None:
    world, file = hanging
    file.touch()
    began = time.monotonic()
    with pytest.raises(ArmError, match="hangs"):
        act_for_long(world)
    for word in (world.stop, world.hold, world.clear):
        with pytest.raises(ArmError, match="hangs"):
            word()
    assert time.monotonic() - began < SOON
    pid = pid_of(world)
    world.close()
    assert has_ended(pid)
    end = describe_final_state(world.control.final_state, world.control.process.exitcode)
    assert "not known to be at rest" in end
    assert time.monotonic() - began < 3 * SOON


def test_a_stop_that_was_posted_while_the_driver_hung_is_obeyed_when_it_goes_on(
    hanging: tuple[ArmWorld, Path],
) -> None:
    world, _ = hanging
    pid = pid_of(world)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(ArmError, match="hangs"):
            world.stop()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert eventually(lambda: world.mode is Mode.FAULT)
    assert eventually(lambda: world.control.state["words_handled"].sum() > 0)


@pytest.mark.parametrize("number", ENDING)
def test_a_recorder_that_is_told_to_end_finishes_its_file_and_says_so(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "r.mcap"
    sizes = Sizes(joints=7, actions=2, task_parameters=10)
    shared = SharedState(sizes)
    process, notes = start_recorder(path, shared)
    assert eventually(lambda: path.exists() and path.stat().st_size > 0)
    for k in range(100):
        shared.push(make_row(k, 0.01 * k))
    assert process.pid is not None
    assert os.getsid(process.pid) == process.pid, "it is no part of the terminal's session"
    os.kill(process.pid, number)
    process.join(SOON)
    shared.close()
    assert process.exitcode == 1
    assert b"told to end" in notes.recv(1000)
    assert read_actions(path) == list(range(100))


class Unplugged(FakeDriver):
    """An arm at a port that goes away; after it is plugged in, it must be opened again."""

    plugged = True
    opened = True

    def connect(self) -> None:
        super().connect()
        if not self.plugged:
            raise OSError("no such port")
        self.opened = True

    def _call(self, verb: str) -> None:
        super()._call(verb)
        if not self.opened and verb not in ("connect", "disconnect"):
            raise OSError(f"{verb}: the port is gone")

    def read(self) -> JointState:
        self._call("read")
        return super().read()

    def unplug(self) -> None:
        self.plugged = False
        self.opened = False


def test_a_lost_link_is_opened_anew_by_clear_and_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake.FakeDriver", Unplugged)
    rig = Rig()
    driver = rig.driver
    assert isinstance(driver, Unplugged)
    rig.move()
    driver.unplug()
    rig.act()
    assert rig.mode is Mode.FAULT
    rig.watchdog.clear()
    rig.ticks(5)
    with pytest.raises(ArmError, match="cannot be enabled"):
        rig.controller.begin_move(READY)
    driver.plugged = True
    driver.q = driver.q + 0.05  # someone has moved the arm meanwhile
    rig.watchdog.clear()
    written = len(driver.commands)
    rig.begin()
    assert_within_limits_from(driver, written)
    rig.act()
    assert rig.mode is Mode.RUNNING
    assert driver.calls.count("connect") == 3


def assert_within_limits_from(driver: FakeDriver, written: int) -> None:
    """As ``assert_within_limits``, for the commands after the first ``written``."""
    driver.commands = driver.commands[written:]
    assert_within_limits(driver, tool=False)


def test_a_dynamixel_port_that_was_unplugged_is_opened_again(tmp_path: Path) -> None:
    """The device has the same name again, as a link in /dev/serial/by-id has."""
    family = make_family("reach", "viperx")
    link = tmp_path / "port"
    events: list[Event] = []

    def report(event: Event, detail: float) -> None:
        events.append(event)

    with patient_driver(), contextlib.ExitStack() as buses:
        bus, clock = buses.enter_context(emulated_bus(VIPERX))
        link.symlink_to(bus.port)
        driver = PacedDynamixel(VIPERX, None, DynamixelOptions(str(link)))
        driver.clock = clock
        controller = ArmController(family, Devices(driver), report, WatchdogConfig())
        controller.start()
        bus.close()
        controller.tick(1.0)
        assert events == [Event.DRIVER_FAILED]
        link.unlink()
        controller.watchdog.clear()
        with pytest.raises(ArmError, match="cannot be enabled"):
            controller.begin_move(family.ready)
        bus, clock = buses.enter_context(emulated_bus(VIPERX))
        link.symlink_to(bus.port)
        driver.clock = clock
        controller.watchdog.clear()
        controller.begin_move(controller.gate.setpoint.q[0])
        controller.tick(3.0)
        assert controller.watchdog.mode is Mode.IDLE
        assert controller.state.condition is Condition.READY
        driver.disconnect()


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, 0, "at rest, torque on"),
        ({"dq": 0.5}, 0, "NOT at rest, a joint moves at 0.50 rad/s, torque on"),
        ({"dq": np.nan}, 0, "NOT at rest"),
        ({"arm_error": True}, 0, "at rest, torque unknown"),
        ({"link_broken": True}, 0, "not known to be at rest, its link is lost"),
        ({}, -9, "not known to be at rest, the control process was killed by SIGKILL"),
        ({}, -35, "not known to be at rest, the control process was killed by signal 35"),
        ({}, 1, "not known to be at rest, the control process ended with status 1"),
        ({}, None, "not known to be at rest, the control process hangs"),
    ],
)
def test_the_last_line_claims_no_more_than_is_known(
    changes: dict[str, float], status: int | None, words: str
) -> None:
    shared = SharedState(Sizes.of(FAMILY))
    try:
        shared.state.write(**changes)
        assert words in describe_final_state(shared.state.read_latest(), status)
    finally:
        shared.close()


def test_an_arm_that_is_closed_while_it_moves_is_left_at_rest(world: ArmWorld) -> None:
    world.reset(sample_task())
    for _ in range(3):
        world.step(np.array([[-0.4, 0.0]]))
    world.close()
    end = describe_final_state(world.control.final_state, world.control.process.exitcode)
    assert end == "arm: at rest, torque on"


def test_the_stop_signal_stops_whichever_process_it_reaches() -> None:
    """``killall -USR1`` reaches all of them; by default it would kill them on the spot."""
    world = build(clock="realtime")
    try:
        retry_overruns(world, lambda: world.reset(sample_task()))
        world.step(np.zeros((1, 2)))
        pid = world.control.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        assert eventually(lambda: world.mode is Mode.FAULT)
        assert world.control.process.is_alive()
        assert "OPERATOR_STOP" in [event["event"] for event in world.events]
        world.control.shared.action.write(seq=0)
        assert eventually(lambda: world.control.latest_event() == "OUT_OF_ORDER")
        assert world.control.explain_mode() == "FAULT: OPERATOR_STOP"
        os.kill(pid, signal.SIGUSR2)
        world.clear()
        assert world.mode is Mode.IDLE
    finally:
        world.close()
    assert world.control.process.exitcode == 0


def test_ctrl_c_while_the_arm_comes_up_disconnects_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[ControlClient] = []

    def interrupt(client: ControlClient, *_: object, **__: object) -> None:
        clients.append(client)
        raise KeyboardInterrupt

    monkeypatch.setattr(ControlClient, "wait_for", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build()
    (client,) = clients
    assert not client.process.is_alive()
    assert client.final_state is not None
