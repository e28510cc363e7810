"""A Robotiq gripper behind the URCap, by its own thread, against an emulated one."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from emulated_robotiq import GRIPPER, EmulatedRobotiq, emulated_robotiq

from hw_interface.drivers import gripper_thread, robotiq, robotiq_socket
from hw_interface.drivers.gripper_thread import GripperReading, GripperThread
from hw_interface.drivers.robotiq import CALIBRATION, Robotiq, check_calibration
from hw_interface.drivers.ur_gripper import UrGripper
from hw_interface.emulators.ur import URCAP
from robots.errors import BadArgumentError
from robots.signals import Condition, JointState

COUNT = 0.085 / 227  # m of width that one of the 227 counts between open and closed stands for
OBJECT = 0.015  # m, half the width of what is between the fingers
FORCE = 28.0  # N, of each finger; between the gripper's least, 20 N, and what 15 mm beyond allow
FORCE_ERROR = 2.5  # N: a step of the force, and a count of the position


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def followed(held: float | None = None) -> Iterator[tuple[UrGripper, EmulatedRobotiq]]:
    """A gripper that follows commands, and its emulator."""
    with emulated_robotiq(held) as served:
        gripper = UrGripper(GRIPPER, (), may_activate=False)
        gripper.connect(served.address)
        gripper.enable()
        try:
            yield gripper, served
        finally:
            gripper.close()


@contextmanager
def gripped() -> Iterator[tuple[UrGripper, EmulatedRobotiq]]:
    """The same with an object in its grip."""
    with followed(OBJECT) as (gripper, served):
        gripper.command(OBJECT - 2 * FORCE / GRIPPER.stiffness)
        wait_until(lambda: is_steady(gripper.thread) and abs(served.force - FORCE) < FORCE_ERROR)
        yield gripper, served


def is_steady(thread: GripperThread) -> bool:
    """Whether the grip that was asked for is reached, so that nothing more is sent."""
    reading = thread.reading
    at_object = abs(reading.width - 2 * OBJECT) <= COUNT
    presses = reading.grasped and abs(reading.force - FORCE) < FORCE_ERROR
    return presses and at_object and thread.speed == 0.0


def holds(served: EmulatedRobotiq) -> bool:
    return served.position == pytest.approx(OBJECT, abs=1e-4) and served.force > 20.0


@pytest.mark.parametrize("position", [0.0425, 0.03, 0.0])
def test_the_fingers_go_where_they_are_told_and_report_it(position: float) -> None:
    with followed() as (gripper, served):
        gripper.command(0.02)
        wait_until(lambda: abs(served.position - 0.02) < COUNT / 2)
        gripper.command(position)
        wait_until(lambda: abs(served.position - position) < COUNT / 2)
        wait_until(lambda: abs(gripper.thread.reading.width - 2 * position) <= COUNT)
        wait_until(lambda: gripper.thread.speed == 0.0)
        reading = gripper.thread.reading
        assert not reading.grasped
        assert reading.force == 0.0
        assert gripper.thread.problem == ""


def test_an_object_is_gripped_with_the_force_of_the_simulated_spring() -> None:
    with gripped() as (gripper, served):
        reading = gripper.thread.reading
        assert reading.width == pytest.approx(2 * OBJECT, abs=COUNT)
        assert reading.force == pytest.approx(FORCE, abs=FORCE_ERROR)
        assert served.force == pytest.approx(FORCE, abs=FORCE_ERROR)
        gripper.command(0.03)
        wait_until(lambda: not gripper.thread.reading.grasped)
        wait_until(lambda: served.position > 0.029)


def test_a_reading_of_the_arm_gets_its_fingers() -> None:
    joints = JointState(np.zeros(6), np.zeros(6), np.full(6, np.nan), 1.0)
    with gripped() as (gripper, _):
        state = gripper.extend(joints)
        assert state.q[-1] == pytest.approx(OBJECT, abs=COUNT / 2)
        assert GRIPPER.has_grasped(state, FORCE)
        assert state.target is not None
        assert state.target[-1] == pytest.approx(OBJECT - 2 * FORCE / 4000, abs=COUNT / 2)
        assert state.condition is Condition.READY
        disabled = replace(joints, condition=Condition.DISABLED)
        assert gripper.extend(disabled).condition is Condition.DISABLED


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_width_that_is_not_finite_is_refused_and_the_one_before_it_stays(bad: float) -> None:
    with followed() as (gripper, served):
        gripper.command(0.02)
        with pytest.raises(BadArgumentError, match="finite"):
            gripper.command(bad)
        wait_until(lambda: abs(served.position - 0.02) < COUNT / 2)
        assert gripper.thread.problem == ""


def test_an_enabled_gripper_stays_where_it_is_and_is_not_activated_again() -> None:
    with followed() as (gripper, served):
        gripper.command(0.02)
        wait_until(lambda: abs(served.position - 0.02) < COUNT / 2)
        goals = served.gripper.goals
        gripper.enable()
        wait_until(lambda: gripper.thread.reading.target == pytest.approx(0.04, abs=COUNT))
        assert served.gripper.goals == goals
        assert served.gripper.activations == 0


def test_a_grip_that_another_program_took_is_kept_with_its_force() -> None:
    with emulated_robotiq(OBJECT) as served:
        served.gripper.answer("SET POS 255 SPE 255 FOR 255 GTO 1")
        wait_until(lambda: served.force > 100.0)
        gripper = UrGripper(GRIPPER, (), may_activate=False)
        gripper.connect(served.address)
        gripper.enable()
        state = gripper.extend(JointState(np.zeros(6), np.zeros(6), np.zeros(6), 1.0))
        assert state.target is not None
        gripper.command(float(state.target[-1]))
        newest = gripper.thread.reading
        wait_until(lambda: gripper.thread.reading is not newest)
        wait_until(lambda: gripper.thread.reading.force == pytest.approx(235.0))
        assert served.force > 100.0
        gripper.close()
        assert holds(served)


def test_an_activation_needs_the_operators_word_and_moves_the_fingers() -> None:
    with emulated_robotiq() as served:
        served.gripper.reset()
        careful = UrGripper(GRIPPER, (), may_activate=False)
        careful.connect(served.address)
        with pytest.raises(RuntimeError, match="is not activated: activate it at the pendant"):
            careful.enable()
        careful.close()
        assert served.gripper.activations == 0
        assert served.gripper.goals == 0

        told = UrGripper(GRIPPER, (), may_activate=True)
        told.connect(served.address)
        assert served.gripper.activations == 0, "to connect moves nothing"
        told.enable()
        assert served.gripper.activations == 1
        served.gripper.reset()
        wait_until(lambda: "no longer activated" in told.thread.problem)
        with pytest.raises(RuntimeError, match="is not activated"):
            told.enable()
        assert served.gripper.activations == 1, "the word holds once"
        told.close()


def test_a_gripper_that_cannot_be_activated_is_refused_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(robotiq, "ACTIVATION_PATIENCE", 0.1)
    with emulated_robotiq() as served:
        served.gripper.reset()
        served.gripper.refuses_activation = True
        gripper = UrGripper(GRIPPER, (), may_activate=True)
        gripper.connect(served.address)
        with pytest.raises(RuntimeError, match="cannot be activated: its activation failed"):
            gripper.enable()
        served.gripper.refuses_activation = False
        served.gripper.stays_inactive = True
        with pytest.raises(RuntimeError, match=r"is not active after 0\.1 s"):
            gripper.enable()
        with pytest.raises(BadArgumentError, match="finite"):
            gripper.command(math.nan)
        gripper.command(0.0)
        newest = gripper.thread
        gripper.close()
        assert newest.problem == ""
        assert served.gripper.goals == 0, "nothing is commanded before the activation"


def cut(served: EmulatedRobotiq) -> None:
    served.emulator.cut(URCAP)


def answer(data: bytes) -> Callable[[EmulatedRobotiq], None]:
    def provoke(served: EmulatedRobotiq) -> None:
        served.emulator.faults.gripper_answer = data

    return provoke


def be_slow(served: EmulatedRobotiq) -> None:
    served.emulator.faults.gripper_delay = 5.0


def overcurrent(served: EmulatedRobotiq) -> None:
    served.gripper.fault = 0x0E


def unknown_fault(served: EmulatedRobotiq) -> None:
    served.gripper.fault = 0x30


FAULTS = {
    "a link that is cut": (cut, "is lost: its connection was closed"),
    "no answer": (answer(b""), "is lost: it does not answer"),
    "an answer that is late": (be_slow, "is lost: it does not answer"),
    "a position above 255": (answer(b"POS 300\n"), "is lost: it reports POS 300"),
    "a position below 0": (answer(b"POS -1\n"), "is lost: it reports POS -1"),
    "garbage": (answer(b"\xff\x00\xfe garbage"), "is lost: it answers b'"),
    "garbage without end": (answer(100 * b"POS "), "is lost: it answers b'POS POS"),
    "an answer to something else": (answer(b"ack"), "is lost: it answers b'ack"),
    "an overcurrent": (overcurrent, "reports a fault: it had an overcurrent"),
    "a fault of another firmware": (unknown_fault, "reports a fault: it has the fault 0x30"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_in_words_and_the_grip_is_kept(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    provoke, problem = FAULTS[name]
    with gripped() as (gripper, served):
        monkeypatch.setattr(robotiq_socket, "ANSWER_PATIENCE", 0.05)
        goals = served.gripper.goals
        provoke(served)
        wait_until(lambda: problem in gripper.thread.problem)
        gripper.hold()
        state = gripper.extend(JointState(np.zeros(6), np.zeros(6), np.zeros(6), 1.0))
        assert state.condition is Condition.ERROR
        wait_until(lambda: problem in capfd.readouterr().err)
        assert served.gripper.goals == goals
        assert holds(served)
        gripper.close()
        assert holds(served)


def test_a_link_that_was_cut_is_opened_again_when_the_gripper_is_enabled() -> None:
    with gripped() as (gripper, served):
        cut(served)
        wait_until(lambda: gripper.thread.is_lost)
        gripper.enable()
        assert gripper.thread.problem == ""
        assert holds(served)
        gripper.command(0.03)
        wait_until(lambda: served.position > 0.029)


def test_a_fault_that_lasts_refuses_the_gripper() -> None:
    with gripped() as (gripper, served):
        overcurrent(served)
        with pytest.raises(RuntimeError, match="reports a fault: it had an overcurrent: look at"):
            gripper.enable()
        assert holds(served)


def test_answers_that_are_slow_but_come_are_waited_for() -> None:
    with followed() as (gripper, served):
        served.emulator.faults.gripper_delay = 0.05
        gripper.command(0.02)
        wait_until(lambda: abs(served.position - 0.02) < COUNT / 2)
        wait_until(lambda: abs(gripper.thread.reading.width - 0.04) <= COUNT)
        assert gripper.thread.problem == ""


def test_after_a_stop_nothing_is_sent_and_the_grip_stays() -> None:
    with gripped() as (gripper, served):
        gripper.hold()
        newest = gripper.thread.reading
        wait_until(lambda: gripper.thread.reading is not newest)
        goals = served.gripper.goals
        newest = gripper.thread.reading
        wait_until(lambda: gripper.thread.reading is not newest)
        assert served.gripper.goals == goals
        assert holds(served)


def test_a_calibration_that_does_not_fit_is_named() -> None:
    with emulated_robotiq() as served:
        gripper = UrGripper(GRIPPER, (20.0, 200.0), may_activate=False)
        with pytest.raises(OSError, match=r"its POS is 3, but 20 is open .* gripper_counts=OPEN"):
            gripper.connect(served.address)
    for counts in [(1.0,), (200.0, 3.0), (3.0, 300.0), (math.nan, 230.0)]:
        with pytest.raises(BadArgumentError, match="its open and of its closed fingers"):
            check_calibration(counts)


def test_where_no_gripper_answers_the_urcap_is_named() -> None:
    with pytest.raises(
        OSError, match=r"at 127\.0\.0\.99, port 63352: .* install the Robotiq URCap"
    ):
        Robotiq("127.0.0.99", GRIPPER, CALIBRATION)


class StuckDevice:
    """A GripperDevice whose second exchange does not return until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.stuck = threading.Event()
        self.width = 0.05

    def read(self) -> GripperReading:
        return GripperReading(width=self.width, target=0.05)

    def move(self, width: float) -> None:
        self.stuck.set()
        self.let_go.wait(20)


def test_a_gripper_that_hangs_blocks_no_command_and_counts_as_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gripper_thread, "PATIENCE", 0.1)
    device = StuckDevice()
    thread = GripperThread(device, "the gripper")
    thread.command(0.04)
    assert device.stuck.wait(20)
    thread.command(0.03)
    wait_until(lambda: thread.is_lost)
    assert "the gripper is lost: no answer for" in thread.problem
    device.let_go.set()
    thread.close()


def test_a_reading_that_is_no_number_is_refused() -> None:
    device = StuckDevice()
    device.width = math.nan
    with pytest.raises(OSError, match="not finite"):
        GripperThread(device, "the gripper")
