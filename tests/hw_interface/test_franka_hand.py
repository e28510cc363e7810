"""The Franka Hand through the driver of the arm, against the emulated hand: what may go wrong."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from emulated_franka import FR3_HAND, emulated_hand, patient_driver
from emulated_ur import Remote, RemotePlant
from lift_rig import LiftRig

from hw_interface.control.events import Mode
from hw_interface.drivers import DRIVERS
from robots.driver import Driver
from robots.errors import BadArgumentError
from robots.signals import Command, Condition, JointState
from sim.families.lift import Lift
from sim.plant import Plant

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("franky") is None, reason="needs the extra 'franka'"
)
OBJECT = 30  # mm
LONGEST = 2500  # ticks until what is awaited has come


@contextmanager
def hand_driver(between: int = 0, **options: Any) -> Iterator[tuple[Driver, Remote]]:
    """A driver that is not connected, and its controller."""
    kind = DRIVERS["franka"]
    with patient_driver(), emulated_hand(between) as remote:
        driver: Driver = kind(FR3_HAND, None, kind.Options(remote.address, **options))
        try:
            yield driver, remote
        finally:
            driver.disconnect()


@contextmanager
def enabled_hand(between: int = 0) -> Iterator[tuple[Driver, Remote]]:
    with hand_driver(between) as (driver, remote):
        driver.connect()
        driver.enable()
        yield driver, remote


def tick(driver: Driver, width: float) -> JointState:
    """One tick: the arm stands, the fingers are told a width, m."""
    state = driver.read()
    assert state.target is not None
    goal = state.target.copy()
    goal[-1] = width / 2
    driver.write(Command(goal, np.zeros_like(goal)))
    return state


def tick_until(
    driver: Driver, width: float, holds: Callable[[JointState], bool]
) -> tuple[JointState, int]:
    """Ticks until a reading is as awaited, and how many they were."""
    for count in range(LONGEST):
        state = tick(driver, width)
        if holds(state):
            return state, count
    raise AssertionError(f"it never came: {state}")


def grasps(state: JointState) -> bool:
    assert FR3_HAND.gripper is not None
    return FR3_HAND.gripper.has_grasped(state, 30.0)


def has_failed(state: JointState) -> bool:
    return state.condition is Condition.ERROR


def finger_force(server: Any) -> float:
    """N, with which each simulated finger presses."""
    return float(-server.plant.read()[2][-1] / 2)


def log_of(server: Any) -> list[str]:
    log: list[str] = server.hand.log
    return log


def refuse_commands(server: Any) -> None:
    server.hand.faults.refuses = True


def answer_late(server: Any) -> None:
    server.hand.faults.delay = 2000


def forget_homing(server: Any) -> None:
    server.hand.max_width = 0.0


def cut_link(server: Any) -> None:
    server.hand.faults.is_silent = True
    server.hand.reset_state()


def repair_link(server: Any) -> None:
    server.hand.faults.is_silent = False


def test_other_grippers_and_forces_are_refused() -> None:
    kind = DRIVERS["franka"]
    assert FR3_HAND.gripper is not None
    other = replace(FR3_HAND, gripper=replace(FR3_HAND.gripper, name="other"))
    with pytest.raises(BadArgumentError, match="not other"):
        kind(other, None, kind.Options("127.0.0.1"))
    with pytest.raises(BadArgumentError, match="at most 70 N"):
        kind(FR3_HAND, None, kind.Options("127.0.0.1", grip=80.0))


def test_an_object_is_held_with_the_force_of_the_option_also_after_a_stop() -> None:
    with enabled_hand(OBJECT) as (driver, remote):
        tick_until(driver, 0.0, grasps)
        assert remote.do(finger_force) == pytest.approx(30.0, rel=0.05)
        assert remote.do(log_of) == ["grasp 30"]
        driver.stop()
        driver.disconnect()
        assert remote.do(finger_force) == pytest.approx(30.0, rel=0.05)
        assert remote.do(log_of) == ["grasp 30"], "nothing was sent to it"


def test_after_a_stop_nothing_is_sent_whatever_becomes_of_the_object() -> None:
    """Fingers that close on, below the width that was wanted, would be opened to it else."""
    with enabled_hand(OBJECT) as (driver, remote):
        tick_until(driver, 0.02, grasps)
        driver.stop()
        remote.do(take_object)
        tick_until(driver, 0.02, has_closed)
        for _ in range(100):
            tick(driver, 0.02)
        assert remote.do(log_of) == ["grasp 30"]


def take_object(server: Any) -> None:
    server.plant.put_between(None)


def test_a_slow_hand_delays_no_tick() -> None:
    """Its grasp is answered after 2 s. Ticks that waited for the answer would be few."""
    with enabled_hand(OBJECT) as (driver, remote):
        remote.do(answer_late)
        before = driver.read().stamp
        state, ticks = tick_until(driver, 0.0, grasps)
        assert state.stamp - before > 1.9
        assert ticks > 40


def test_fingers_that_cannot_open_are_a_fault_and_the_hand_is_ready_after_it() -> None:
    with enabled_hand() as (driver, remote):
        tick_until(driver, 0.0, has_closed)
        remote.do(hold_fingers)
        state, _ = tick_until(driver, 0.08, has_failed)
        assert state.q[-1] < 0.01
        driver.stop()
        remote.do(free_fingers)
        driver.enable()
        assert driver.read().condition is Condition.READY
        tick_until(driver, 0.08, is_open)


def has_closed(state: JointState) -> bool:
    return bool(state.q[-1] < 0.001)


def is_open(state: JointState) -> bool:
    return bool(state.q[-1] > 0.039)


def hold_fingers(server: Any) -> None:
    """Nothing lets the closed fingers open."""
    model = server.plant._model
    model.joint("finger_left").range[1] = 0.005


def free_fingers(server: Any) -> None:
    model = server.plant._model
    model.joint("finger_left").range[1] = 0.04


def test_a_command_that_the_hand_refuses_is_a_fault(capfd: pytest.CaptureFixture[str]) -> None:
    with enabled_hand(OBJECT) as (driver, remote):
        remote.do(refuse_commands)
        tick_until(driver, 0.0, has_failed)
        assert "Command failed" in capfd.readouterr().err


def test_a_link_that_is_lost_in_motion_is_a_fault_and_is_opened_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The fingers close, and go on closing: they hold what they meet."""
    with enabled_hand(OBJECT) as (driver, remote):
        tick_until(driver, 0.0, has_begun)
        remote.do(cut_link)
        state, _ = tick_until(driver, 0.0, has_failed)
        later = driver.read()
        assert later.stamp > state.stamp, "the arm is still measured"
        await_force(driver, remote)
        driver.stop()
        remote.do(repair_link)
        driver.enable()
        tick_until(driver, 0.03, grasps)
        assert "the link to the hand is lost" in capfd.readouterr().err


def await_force(driver: Driver, remote: Remote) -> None:
    """Ticks until the fingers press with the force that they were told."""
    for _ in range(LONGEST):
        driver.read()
        if remote.do(finger_force) > 28.0:
            return
    raise AssertionError("the fingers do not press")


def has_begun(state: JointState) -> bool:
    return bool(state.q[-1] < 0.035)


def test_a_hand_that_is_not_homed_is_refused_and_homed_by_the_operators_word_only() -> None:
    with hand_driver() as (driver, remote):
        remote.do(forget_homing)
        with pytest.raises(RuntimeError, match=r"not homed.*home=true"):
            driver.connect()
        assert remote.do(log_of) == []
        driver.disconnect()

        kind = DRIVERS["franka"]
        permitted = kind(FR3_HAND, None, kind.Options(remote.address, home=True))
        permitted.connect()
        assert remote.do(log_of) == [], "nothing moves before it is enabled"
        permitted.enable()
        permitted.enable()
        assert remote.do(log_of) == ["homing"]
        permitted.disconnect()


def plant_of(server: Any) -> Plant:
    plant: Plant = server.plant
    return plant


def stop_from_outside(server: Any) -> None:
    server.user_stop(True)


def test_an_fr3_lifts_and_holds_what_it_lifts_through_a_stop() -> None:
    """The commands and the states of lift, through the controller."""
    family = Lift(FR3_HAND)
    family.action.SPEED = 0.1  # m/s: a late test lags behind by little
    with hand_driver() as (driver, remote):
        rig = LiftRig(family, driver, remote, RemotePlant(remote, plant_of))
        rig.move(family.zone.ready)
        rig.grasp()
        assert rig.events == []
        remote.do(stop_from_outside)
        rig.ticks(20)
        assert rig.mode is Mode.EXTERNAL_STOP
        assert rig.holds
