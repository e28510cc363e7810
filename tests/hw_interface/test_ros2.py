"""The driver of arms under ros2_control, through the controller, with the faults of its arm."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from driver_rig import DriverRig

pytest.importorskip("cyclonedds", reason="needs the extra 'ros2'")

from emulated_ros2 import VIPERX, PacedRos2, emulated_ros2

from hw_interface.control.events import Event, Mode
from hw_interface.drivers import ros2_messages as messages
from hw_interface.drivers.lead import LEAD
from hw_interface.drivers.ros2_dds import COMMAND, join, make_writer, topic_name
from hw_interface.drivers.ros2_link import to_sample
from hw_interface.drivers.ros2_options import controller_of
from hw_interface.emulators.ros2 import Ros2Emulator
from robots.signals import Array, Command, Condition
from sim.families.reach import Reach
from sim.plant import Plant

Arm = tuple[PacedRos2, Ros2Emulator]
STILL = np.zeros(len(VIPERX.joints))


@pytest.fixture
def arm() -> Iterator[Arm]:
    with emulated_ros2(Plant(VIPERX, VIPERX.home)) as made:
        yield made


@pytest.fixture
def connected(arm: Arm) -> Arm:
    arm[0].connect()
    return arm


def test_the_bytes_of_a_command_are_those_of_the_definition() -> None:
    """Plain CDR: header, lengths of four bytes, floats aligned to eight after the header."""
    header = bytes.fromhex("00010000")
    no_dimensions = bytes(4)
    no_offset = bytes(4)
    two = bytes.fromhex("02000000") + bytes(4)  # then aligned
    values = np.array([1.5, -2.0], "<f8").tobytes()
    by_hand = header + no_dimensions + no_offset + two + values
    assert messages.Commands(data=[1.5, -2.0]).serialize() == by_hand


def test_the_bytes_of_a_joint_state_are_read_as_its_definition_says() -> None:
    header = bytes.fromhex("00010000")
    stamp = np.array([7, 500_000_000], "<u4").tobytes()
    no_frame = bytes.fromhex("01000000 00 000000")  # a text ends with a zero; then aligned
    names = bytes.fromhex("01000000 02000000") + b"a\0" + bytes(2)
    one = bytes.fromhex("01000000") + bytes(4)
    position = bytes.fromhex("01000000") + np.array([0.25], "<f8").tobytes()
    velocity = one + np.array([0.5], "<f8").tobytes()
    no_effort = bytes(4)
    body = stamp + no_frame + names + position + velocity + no_effort
    assert (len(stamp + no_frame + names) + 4) % 8 == 0  # the position needs no bytes between
    sample = to_sample(messages.JointStates.deserialize(header + body), ["a"])
    assert (sample.q[0], sample.dq[0], sample.stamp) == (0.25, 0.5, 7.5)


def test_a_request_begins_with_the_id_that_rmw_cyclonedds_sends() -> None:
    ids = np.array([3, -1], "<i8").tobytes()
    header = bytes.fromhex("00010000")
    asked = messages.ListControllers(guid=3, seq=-1).serialize()
    assert asked.rstrip(b"\0") == (header + ids).rstrip(b"\0")
    assert len(asked) > len(header + ids)  # no structure is empty in ROS 2
    order = messages.SwitchController(3, -1, ["a"], [], messages.STRICT, True, messages.Duration(2))
    one_name = bytes.fromhex("01000000 02000000") + b"a\0" + bytes(2)
    no_name = bytes(4)
    strictness = bytes.fromhex("02000000")
    at_once = bytes.fromhex("01 000000")  # then aligned
    duration = bytes.fromhex("02000000 00000000")
    by_hand = header + ids + one_name + no_name + strictness + at_once + duration
    assert order.serialize() == by_hand


def test_the_bytes_of_a_trajectory_are_those_of_the_definition() -> None:
    point = messages.TrajectoryPoint([1.5], [-2.0], time_from_start=messages.Duration(1, 5))
    sent = messages.JointTrajectory(joint_names=["a"], points=[point]).serialize()
    stamp_and_frame = bytes(8) + bytes.fromhex("01000000 00 000000")
    names = bytes.fromhex("01000000 02000000") + b"a\0" + bytes(2)
    one = bytes.fromhex("01000000")
    position = one + bytes(4) + np.array([1.5], "<f8").tobytes()  # aligned to eight
    velocity = one + bytes(4) + np.array([-2.0], "<f8").tobytes()
    no_others = bytes(8)
    time = bytes.fromhex("01000000 05000000")
    assert len(stamp_and_frame + names + one) % 8 == 0
    body = stamp_and_frame + names + one + position + velocity + no_others + time
    assert sent == bytes.fromhex("00010000") + body


def test_joints_are_found_by_their_names_in_states_and_in_commands(connected: Arm) -> None:
    driver, emulator = connected
    assert emulator.order != VIPERX.joints
    np.testing.assert_allclose(driver.read().q, VIPERX.home, atol=0.05)
    driver.enable()
    goal = driver.read().q.copy()
    goal[3] += 0.1
    for _ in range(100):
        driver.write(Command(goal, STILL))
        state = driver.read()
    moved = state.q - VIPERX.home
    assert np.abs(moved).argmax() == 3
    assert moved[3] == pytest.approx(0.1, abs=0.03)


def test_the_first_command_is_where_the_arm_is(connected: Arm) -> None:
    driver, _ = connected
    before = driver.read().q
    driver.enable()
    target = driver.read().target
    assert target is not None
    np.testing.assert_allclose(target, before, atol=5e-3)


def test_no_command_is_far_ahead_of_the_arm(connected: Arm) -> None:
    driver, _ = connected
    driver.enable()
    state = driver.read()
    driver.write(Command(state.q + 1.0, STILL))
    target = driver.read().target
    assert target is not None
    np.testing.assert_allclose(target - state.q, LEAD, atol=1e-9)


def test_a_wild_reading_does_not_make_the_arm_leap(
    connected: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by a command that is held back nor by a stop, which holds joints where they are."""
    driver, emulator = connected
    driver.enable()
    start = driver.read().q
    plain = emulator._physics.read
    for wrong in (1.0, -1.0):

        def read(wrong: float = wrong) -> tuple[Array, Array, Array]:
            q, dq, tau = plain()
            return q + wrong, dq, tau

        monkeypatch.setattr(emulator._physics, "read", read)
        while abs(driver.read().q - start - wrong).max() > 0.1:
            continue
        driver.write(Command(start + 0.01, STILL))
        driver.stop()
        assert driver._target is not None
        np.testing.assert_allclose(driver._target, start, atol=0.02)
        monkeypatch.setattr(emulator._physics, "read", plain)
        for _ in range(100):
            driver.read()
        driver.enable()


def test_an_arm_that_moves_is_not_enabled(connected: Arm) -> None:
    driver, _ = connected
    driver.enable()
    state = driver.read()
    driver.write(Command(state.q + 0.15, STILL))
    for _ in range(4):
        driver.read()
    with pytest.raises(RuntimeError, match="the arm moves"):
        driver.enable()


PROBLEMS = {
    "silence": (OSError, "no joint states"),
    "missing": (RuntimeError, "no joint 'wrist_rotate'"),
    "nan": (RuntimeError, "'wrist_rotate' is not finite"),
    "deactivated": (RuntimeError, "cannot be activated: the hardware is in an error"),
    "stale": (RuntimeError, "Hz are needed"),
}


@pytest.mark.parametrize("fault", PROBLEMS)
def test_an_arm_with_a_fault_is_refused(arm: Arm, fault: str) -> None:
    driver, emulator = arm
    emulator.fault = fault
    error, words = PROBLEMS[fault]

    def use() -> None:
        driver.connect()
        driver.enable()

    with pytest.raises(error, match=words):
        use()
    assert emulator.goals == 0


def test_slow_joint_states_are_refused() -> None:
    slow = emulated_ros2(Plant(VIPERX, VIPERX.home), rate=50.0)
    with slow as (driver, _), pytest.raises(RuntimeError, match="100 Hz are needed"):
        driver.connect()


def test_another_program_that_commands_the_controller_is_noticed(arm: Arm) -> None:
    driver, emulator = arm
    options = emulator.options
    name = topic_name(options.namespace, f"{controller_of(options)}/commands")
    other = make_writer(join(options.domain, options.port), name, messages.Commands, COMMAND)
    with pytest.raises(RuntimeError, match="another program commands"):
        driver.connect()
    del other


def test_a_controller_of_other_joints_is_refused(arm: Arm) -> None:
    driver, emulator = arm
    emulator.order = ("waist", "shoulder")
    with pytest.raises(RuntimeError, match="the controller's joints are waist, shoulder"):
        driver.connect()


OUTCOMES = {
    "silence": Event.LINK_LOST,
    "stale": Event.LINK_LOST,
    "missing": Event.DRIVER_FAILED,
    "nan": Event.DRIVER_FAILED,
    "deactivated": Event.DRIVER_FAILED,
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_a_fault_in_motion_stops_the_arm(arm: Arm, fault: str) -> None:
    driver, emulator = arm
    rig = DriverRig(Reach(VIPERX), driver)
    rig.begin()
    for _ in range(5):
        rig.act(10)
    assert rig.mode is Mode.RUNNING
    emulator.fault = fault
    for _ in range(3):
        rig.act(10)
    assert rig.mode is Mode.FAULT
    assert rig.watchdog.cause is OUTCOMES[fault]
    goals = emulator.goals
    rig.ticks(20)
    assert emulator.goals == goals
    emulator.fault = ""
    for _ in range(100):
        driver.advance(0.01)
    _, dq, _ = emulator._physics.read()
    assert np.abs(dq).max() < 0.02


def test_joint_states_that_come_later_and_later_are_not_taken(connected: Arm) -> None:
    """As from a queue that grows: their stamps advance, but they are old."""
    driver, _ = connected
    fresh = to_sample(messages.JointStates(), ["a"])
    now = driver.clock.now
    assert driver._is_fresh(replace(fresh, stamp=now))
    assert not driver._is_fresh(replace(fresh, stamp=now - 0.15))
    assert driver._is_fresh(replace(fresh, stamp=now - 0.05))


def test_motors_cannot_be_switched_off(connected: Arm) -> None:
    driver, _ = connected
    driver.enable()
    with pytest.raises(RuntimeError, match="the maker's own switch"):
        driver.torque_off()
    assert driver.read().condition is Condition.DISABLED
