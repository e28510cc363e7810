"""Readings that cannot be true: they never reach the policy, and never start the gate."""

from dataclasses import replace

import numpy as np
import pytest
from fake import ASIDE, FAMILY, READY, Disturbance, FakeDriver, Rig, assert_within_limits

from hw_interface.control.events import Event, Mode
from hw_interface.control.measurements import MeasurementConfig, Measurements
from robots.catalog.panda_hand import PANDA_HAND
from robots.signals import Condition, JointState


def one_joint_off(state: JointState) -> JointState:
    return replace(state, q=state.q + 1.0 * (np.arange(7) == 4))


def all_joints_off(state: JointState) -> JointState:
    return replace(state, q=state.q - 1.0)


def much_too_fast(state: JointState) -> JointState:
    return replace(state, dq=np.full(7, 50.0))


WILD = [one_joint_off, all_joints_off, much_too_fast]


def read_once(rig: Rig, disturb: Disturbance) -> None:
    """One tick whose reading is disturbed; what is published is the reading before it."""
    published = rig.controller.state
    rig.driver.disturb = disturb
    rig.act(-0.4, ticks=1)
    rig.driver.recover()
    np.testing.assert_array_equal(rig.controller.state.q, published.q)
    np.testing.assert_array_equal(rig.controller.state.dq, published.dq)


@pytest.mark.parametrize("disturb", WILD)
def test_a_single_wild_reading_is_not_published_and_no_event(disturb: Disturbance) -> None:
    rig = Rig()
    rig.move()
    read_once(rig, disturb)
    rig.act(-0.4, ticks=5)
    assert np.abs(rig.controller.state.q - rig.driver.q).max() < 0.02
    assert rig.mode is Mode.RUNNING
    assert rig.event_kinds == []


@pytest.mark.parametrize("disturb", WILD)
def test_wild_readings_that_come_again_are_reported(disturb: Disturbance) -> None:
    rig = Rig()
    rig.move()
    count = rig.watchdog.config.wild_readings
    for _ in range(2 * count):
        read_once(rig, disturb)
        rig.act(0.1, ticks=2)
    assert rig.events == [(Event.WILD_READINGS, count)] * 2
    assert rig.mode is Mode.RUNNING


def test_a_reading_that_is_no_number_is_a_fault_and_is_not_published() -> None:
    rig = Rig()
    rig.move()

    def no_number(state: JointState) -> JointState:
        return replace(state, q=np.full(7, np.nan))

    read_once(rig, no_number)
    assert rig.mode is Mode.FAULT
    assert rig.event_kinds == [Event.MEASUREMENT_NOT_FINITE]


def test_wild_readings_that_differ_are_never_believed() -> None:
    rig = Rig()
    rig.move()
    rng = np.random.default_rng(0)

    def anywhere(state: JointState) -> JointState:
        return replace(state, q=rng.uniform(-2, 2, 7))

    before = rig.controller.state.q
    rig.driver.disturb = anywhere
    rig.ticks(30)
    assert np.abs(rig.controller.state.q - before).max() < 1e-9
    assert rig.mode is Mode.FAULT
    assert Event.NOT_TRACKING in rig.event_kinds


def test_an_arm_that_was_moved_by_hand_is_believed_after_a_few_readings() -> None:
    rig = Rig()
    rig.watchdog.fault(Event.OPERATOR_STOP)
    rig.ticks(50)
    rig.driver.q = rig.driver.q + ASIDE
    rig.ticks(rig.watchdog.config.wild_readings)
    np.testing.assert_allclose(rig.controller.state.q, rig.driver.q)


@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("again", [False, True])
def test_the_gate_does_not_begin_at_a_wild_reading(when: int, again: bool) -> None:
    rig = Rig()
    if again:
        rig.watchdog.fault(Event.OPERATOR_STOP)
        rig.ticks(50)
        rig.watchdog.clear()
    readings = 0

    def wild_once(state: JointState) -> JointState:
        nonlocal readings
        readings += 1
        return all_joints_off(state) if readings == when + 1 else state

    rig.driver.disturb = wild_once
    if again:
        rig.controller.begin_move(READY + ASIDE)
    else:
        rig.controller.start()
    np.testing.assert_allclose(rig.controller.gate.setpoint.q[0], READY)
    assert readings >= 2
    rig.ticks(50)
    assert_within_limits(rig.driver, tool=False)


def reading(q: float, stamp: float) -> JointState:
    """All joints ``q`` rad from READY, at rest."""
    return JointState(READY + q, np.zeros(7), np.zeros(7), stamp)


def test_a_reading_after_a_pause_may_be_as_far_as_the_joints_can_move_in_it() -> None:
    found = Measurements(FAMILY.limits, MeasurementConfig(), FakeDriver.capabilities)
    found.take(reading(0.0, 1.0), None)
    found.take(reading(0.3, 1.01), None)
    assert found.believed is not None
    np.testing.assert_array_equal(found.believed.q, READY)
    found.take(reading(0.3, 1.5), None)
    np.testing.assert_array_equal(found.believed.q, READY + 0.3)


def test_fingers_may_be_moved_by_what_they_hold_and_joints_may_not() -> None:
    arm = PANDA_HAND
    finger = len(arm.joints) - 1
    for joint, is_judged in ((0, True), (finger, False)):
        capabilities = FakeDriver.capabilities
        found = Measurements(arm.limits, MeasurementConfig(), capabilities, len(arm.tool_joints))
        for tick in range(6):
            dq = np.zeros(8)
            dq[joint] = 3 * arm.limits.dq[joint]
            found.take(JointState(arm.home, dq, np.zeros(8), 0.01 * (tick + 1)), arm.home)
        assert (found.speed > 1.5) == is_judged
        assert (found.speed_ticks > 0) == is_judged


def test_a_stamp_that_went_back_has_not_advanced_before_it_passes_the_newest() -> None:
    found = Measurements(FAMILY.limits, MeasurementConfig(), FakeDriver.capabilities)
    for stamp in (1.0, 0.5, 0.6):
        found.take(reading(0.0, stamp), None)
    assert not found.link_lost
    found.take(reading(0.0, 0.7), None)
    assert found.link_lost
    found.take(reading(0.0, 1.1), None)
    assert not found.link_lost


@pytest.mark.parametrize("jump", [1.0, 2 * np.pi, 1e300])
def test_an_encoder_that_jumps_for_good_does_not_move_the_arm(jump: float) -> None:
    """Its fault looks like a contact; letting go there would follow the wrong reading."""
    rig = Rig()
    rig.move()

    def shifted(state: JointState) -> JointState:
        return replace(state, q=state.q + jump * (np.arange(7) == 3))

    rig.driver.disturb = shifted
    before = rig.driver.q.copy()
    rig.ticks(300)
    assert rig.mode is Mode.FAULT
    assert Event.NOT_TRACKING in rig.event_kinds
    assert np.abs(rig.driver.q - before).max() < 0.1, "it brakes"
    assert rig.driver.calls[-1] == "stop"
    assert_within_limits(rig.driver)


@pytest.mark.parametrize("condition", [2, 3, 7, -1])
def test_a_condition_that_is_a_bare_or_an_unknown_number_is_no_readiness(condition: int) -> None:
    rig = Rig()
    rig.move()

    def reports(state: JointState) -> JointState:
        return replace(state, condition=condition)  # type: ignore[arg-type]

    rig.driver.disturb = reports
    rig.act()
    stopped = condition == Condition.EXTERNAL_STOP
    assert rig.mode is (Mode.EXTERNAL_STOP if stopped else Mode.FAULT)
    assert rig.event_kinds == [Event.ARM_STOPPED if stopped else Event.ARM_ERROR]
