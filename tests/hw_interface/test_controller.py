"""Every fault that can be provoked at the controller, and its outcome: docs/safety.md as a test."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from fake import (
    ASIDE,
    FAMILY,
    READY,
    TICKS_PER_ACTION,
    FakeDriver,
    FakeTracker,
    Rig,
    assert_within_limits,
    replaced,
)

from hw_interface.control.controller import ArmController
from hw_interface.control.events import Event, Mode
from hw_interface.control.watchdog import WatchdogConfig
from hw_interface.devices import Devices
from robots.errors import ArmError, BadArgumentError
from robots.signals import Condition, ObjectState, Verdict

NAN = float("nan")

Provocation = Callable[[Rig], None]


def flags(rig: Rig) -> Verdict:
    return Verdict(rig.controller.verdict)


def three_nans(rig: Rig) -> None:
    for _ in range(3):
        rig.act(NAN)


def silence(rig: Rig) -> None:
    seconds = 5 * FAMILY.limits.deadline
    rig.ticks(round(seconds / rig.driver.capabilities.dt))


def misread(**fields: object) -> Provocation:
    def provoke(rig: Rig) -> None:
        rig.driver.disturb = replaced(**fields)
        rig.act()

    return provoke


def frozen(rig: Rig) -> None:
    misread(stamp=rig.driver.clock)(rig)


def far_off(rig: Rig) -> None:
    misread(q=rig.driver.q + 0.3)(rig)


def failing(verb: str) -> Provocation:
    def provoke(rig: Rig) -> None:
        rig.driver.failing = {verb}
        rig.act()

    return provoke


def operator_stop(rig: Rig) -> None:
    rig.watchdog.fault(Event.OPERATOR_STOP)
    rig.act()


def overrun(rig: Rig) -> None:
    rig.watchdog.fault(Event.OVERRUN, 0.2)
    rig.act()


def policy_died(rig: Rig) -> None:
    rig.watchdog.fault(Event.POLICY_DIED)
    rig.ticks(TICKS_PER_ACTION)


# a controlled stop, then latched
BRAKED: dict[str, tuple[Provocation, Event]] = {
    "three actions with NaN": (three_nans, Event.ACTION_NOT_FINITE),
    "silence": (silence, Event.SILENT),
    "reading NaN": (misread(q=np.full(7, NAN)), Event.MEASUREMENT_NOT_FINITE),
    "velocity NaN": (misread(dq=np.full(7, NAN)), Event.MEASUREMENT_NOT_FINITE),
    "not tracking": (far_off, Event.NOT_TRACKING),
    "torque": (misread(tau=1.01 * FAMILY.limits.tau), Event.TORQUE_LIMIT),
    "measured too fast": (misread(dq=np.full(7, 50.0)), Event.SPEED_LIMIT),
    "controller's error": (misread(condition=Condition.ERROR), Event.ARM_ERROR),
    "controller disabled": (misread(condition=Condition.DISABLED), Event.ARM_ERROR),
    "operator's stop": (operator_stop, Event.OPERATOR_STOP),
    "overrun": (overrun, Event.OVERRUN),
    "policy died": (policy_died, Event.POLICY_DIED),
}
# nothing more is written
AT_ONCE: dict[str, tuple[Provocation, Event]] = {
    "read raises": (failing("read"), Event.DRIVER_FAILED),
    "write raises": (failing("write"), Event.DRIVER_FAILED),
    "frozen stamp": (frozen, Event.LINK_LOST),
    "stamp NaN": (misread(stamp=NAN), Event.LINK_LOST),
    "external stop": (misread(condition=Condition.EXTERNAL_STOP), Event.ARM_STOPPED),
}
ALL = BRAKED | AT_ONCE
PASSING = ("three actions with NaN", "silence", "operator's stop", "overrun", "policy died")
LASTING = [name for name in ALL if name not in PASSING]
every_fault = pytest.mark.parametrize("name", ALL)


@every_fault
def test_a_fault_latches_is_reported_once_and_ends_with_nothing_written(name: str) -> None:
    rig = Rig()
    rig.move()
    provoke, event = ALL[name]
    provoke(rig)
    external = event is Event.ARM_STOPPED
    assert rig.mode is (Mode.EXTERNAL_STOP if external else Mode.FAULT)
    # every bad action is reported, every other event once
    expected = 3 if event is Event.ACTION_NOT_FINITE else 1
    assert rig.event_kinds.count(event) == expected
    rig.ticks(200)
    assert rig.controller.at_rest
    assert {Verdict.FAULT, Verdict.STOPPED} <= set(flags(rig))
    assert rig.driver.calls.count("stop") == 1
    written = len(rig.driver.commands)
    for _ in range(5):
        rig.act(1.0)  # a policy that goes on posting moves nothing
    assert len(rig.driver.commands) == written
    assert {Verdict.DROPPED, Verdict.FAULT, Verdict.STOPPED} <= set(flags(rig))
    assert_within_limits(rig.driver)


@pytest.mark.parametrize("name", BRAKED)
def test_a_fault_brakes_within_the_limits_before_the_driver_is_stopped(name: str) -> None:
    rig = Rig()
    rig.move()
    provoke, _ = BRAKED[name]
    provoke(rig)
    rig.ticks(200)
    assert np.abs(rig.driver.commands[-1].dq).max() < 1e-6
    assert rig.driver.calls[-2:] == ["write", "stop"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_where_commands_do_not_reach_the_arm_the_driver_is_stopped_at_once(name: str) -> None:
    rig = Rig()
    rig.move()
    written = len(rig.driver.commands)
    provoke, event = AT_ONCE[name]
    provoke(rig)
    # a stamp that repeats for a few readings is no loss yet
    allowed = rig.watchdog.config.frozen_readings if event is Event.LINK_LOST else 0
    assert len(rig.driver.commands) <= written + allowed
    assert rig.driver.calls[-1] == "stop"


def test_a_link_that_freezes_while_the_arm_brakes_gets_no_more_commands() -> None:
    rig = Rig()
    rig.move()
    rig.watchdog.fault(Event.OPERATOR_STOP)
    rig.driver.disturb = replaced(stamp=rig.driver.clock)
    rig.ticks(4)
    assert rig.driver.calls[-1] == "stop"
    assert rig.speed > 1e-6


@pytest.mark.parametrize(
    "condition", [Condition.DISABLED, Condition.ERROR, Condition.EXTERNAL_STOP]
)
@pytest.mark.parametrize("moving", [True, False])
def test_an_arm_that_is_not_ready_is_noticed_in_idle_too(
    condition: Condition, moving: bool
) -> None:
    """On the way to an episode's start, and at rest between two."""
    rig = Rig()
    if moving:
        rig.controller.begin_move(READY + ASIDE)
    rig.ticks(10)
    assert rig.controller.mover.is_moving is moving
    assert rig.mode is Mode.IDLE
    rig.driver.disturb = replaced(condition=condition)
    rig.ticks(1)
    external = condition is Condition.EXTERNAL_STOP
    assert rig.event_kinds == [Event.ARM_STOPPED if external else Event.ARM_ERROR]
    rig.ticks(200)
    assert rig.mode is (Mode.EXTERNAL_STOP if external else Mode.FAULT)
    assert rig.driver.calls[-1] == "stop"
    assert not rig.controller.mover.is_moving


def test_an_arm_is_not_enabled_again_from_a_reading_that_may_be_old() -> None:
    rig = Rig()
    rig.move()
    frozen(rig)
    rig.watchdog.clear()
    written = len(rig.driver.commands)
    with pytest.raises(ArmError, match="cannot be enabled"):
        rig.controller.begin_move(READY)
    rig.ticks(20)
    assert len(rig.driver.commands) == written
    assert rig.mode is Mode.FAULT


@every_fault
def test_nothing_moves_after_clear_until_the_next_episode_begins(name: str) -> None:
    rig = Rig()
    rig.move()
    provoke, _ = ALL[name]
    provoke(rig)
    rig.ticks(200)
    with pytest.raises(ArmError, match="cleared first"):
        rig.controller.begin_move(READY)
    rig.driver.recover()
    rig.watchdog.clear()
    q = rig.driver.q.copy()
    written = len(rig.driver.commands)
    for _ in range(5):
        rig.act(1.0)
    assert rig.mode is Mode.IDLE
    assert len(rig.driver.commands) == written
    np.testing.assert_array_equal(rig.driver.q, q)


@every_fault
def test_the_first_command_after_clear_starts_from_where_the_arm_is(name: str) -> None:
    rig = Rig()
    rig.move()
    provoke, _ = ALL[name]
    provoke(rig)
    rig.ticks(200)
    rig.driver.recover()
    rig.driver.q = READY + ASIDE  # somebody pushed it
    rig.driver.dq = np.zeros(7)
    q = rig.driver.q.copy()
    rig.watchdog.clear()
    rig.ticks(20)
    rig.driver.commands.clear()
    rig.begin()
    assert np.abs(rig.driver.commands[0].q - q).max() < 1e-3
    assert_within_limits(rig.driver, tool=False)  # it was pushed out of the box
    np.testing.assert_allclose(rig.driver.q, READY, atol=2e-3)
    rig.act()
    assert rig.mode is Mode.RUNNING


@pytest.mark.parametrize("name", LASTING)
def test_a_fault_that_lasts_comes_back_after_clear(name: str) -> None:
    """It is found again, at the latest when something is to move."""
    rig = Rig()
    rig.move()
    provoke, _ = ALL[name]
    provoke(rig)
    rig.ticks(200)
    rig.watchdog.clear()
    with contextlib.suppress(ArmError, AssertionError):
        rig.begin()
        rig.act()
    rig.ticks(200)
    assert rig.mode in (Mode.FAULT, Mode.EXTERNAL_STOP)
    assert rig.controller.at_rest
    assert np.isfinite([command.q for command in rig.driver.commands]).all()


def test_one_action_with_nan_is_dropped_and_the_next_resumes() -> None:
    rig = Rig()
    rig.move()
    before = rig.speed
    rig.act(NAN)
    assert rig.mode is Mode.HOLD
    assert flags(rig) == Verdict.DROPPED | Verdict.HELD
    assert rig.events[-1] == (Event.ACTION_NOT_FINITE, 1)
    assert rig.speed < before
    rig.act(-0.4)
    assert rig.mode is Mode.RUNNING
    assert not flags(rig) & (Verdict.DROPPED | Verdict.HELD)
    rig.act(0.0, float("inf"))
    rig.act(0.0, NAN)
    assert rig.mode is Mode.HOLD, "a good action between them restarts the count"
    assert_within_limits(rig.driver)


def test_an_action_out_of_order_is_dropped_and_the_last_one_goes_on() -> None:
    rig = Rig()
    rig.move()
    rig.controller.set_action(rig.seq, rig.now, np.array([1.0, 1.0]))
    assert rig.events[-1] == (Event.OUT_OF_ORDER, rig.seq)
    assert flags(rig) == Verdict.DROPPED
    assert rig.mode is Mode.RUNNING
    np.testing.assert_array_equal(rig.controller._action, [[-0.4, 0.0]])


def test_an_action_that_nothing_limits_has_no_verdict() -> None:
    rig = Rig()
    rig.begin()
    rig.act(0.0)
    assert rig.mode is Mode.RUNNING
    assert rig.controller.verdict == 0


def test_a_late_policy_is_held_and_may_go_on() -> None:
    rig = Rig()
    rig.move()
    rig.ticks(round(2 * FAMILY.limits.deadline / rig.driver.capabilities.dt))
    assert rig.mode is Mode.HOLD
    assert rig.event_kinds == [Event.STALE]
    assert Verdict.HELD in flags(rig)
    assert rig.controller.at_rest
    rig.act()
    assert rig.mode is Mode.RUNNING


def test_an_action_whose_stamp_is_nan_is_a_fault() -> None:
    rig = Rig()
    rig.move()
    rig.controller.set_action(rig.seq + 1, NAN, np.zeros(2))
    rig.ticks(1)
    assert rig.mode is Mode.FAULT


def test_an_operators_hold_lasts_until_its_release() -> None:
    rig = Rig()
    rig.move()
    rig.controller.hold()
    for _ in range(3):
        rig.act(1.0)  # a policy that goes on posting moves nothing
    assert rig.mode is Mode.HOLD
    assert rig.controller.at_rest
    assert flags(rig) == Verdict.DROPPED | Verdict.HELD
    silence(rig)
    assert rig.event_kinds == [Event.OPERATOR_HOLD], "silence during a hold is no fault"
    rig.watchdog.release(rig.now)
    rig.ticks(5)
    assert rig.mode is Mode.HOLD
    assert rig.controller.at_rest, "a release moves nothing"
    rig.act()
    assert rig.mode is Mode.RUNNING
    assert rig.event_kinds == [Event.OPERATOR_HOLD, Event.RELEASED]
    assert_within_limits(rig.driver)


@pytest.mark.parametrize("when", ["on the way to a start", "at rest", "at the end of an episode"])
def test_no_episode_begins_while_an_operator_holds_the_arm(when: str) -> None:
    rig = Rig()
    if when == "on the way to a start":
        rig.controller.begin_move(READY + ASIDE)
        rig.ticks(20)
        assert not rig.controller.at_rest
    elif when == "at the end of an episode":
        rig.move()
    rig.controller.hold()
    rig.controller.hold()
    rig.controller.end_episode()
    rig.ticks(50)
    assert rig.controller.at_rest
    assert not rig.controller.mover.is_moving
    with pytest.raises(ArmError, match="released first"):
        rig.controller.begin_move(READY)
    rig.watchdog.release(rig.now)
    rig.watchdog.release(rig.now)
    rig.act(1.0)
    assert rig.mode is Mode.IDLE
    assert rig.controller.at_rest
    rig.begin()
    assert rig.event_kinds == [Event.OPERATOR_HOLD, Event.RELEASED]
    assert_within_limits(rig.driver)


def test_a_fault_ends_a_hold_and_is_cleared_as_usual() -> None:
    rig = Rig()
    rig.move()
    rig.controller.hold()
    rig.watchdog.fault(Event.OPERATOR_STOP)
    rig.watchdog.release(rig.now)
    assert rig.mode is Mode.FAULT
    rig.watchdog.clear()
    rig.begin()
    assert_within_limits(rig.driver)


def test_silence_between_episodes_is_no_fault() -> None:
    """Adaptation between two episodes may take long."""
    rig = Rig()
    rig.move()
    rig.controller.end_episode()
    silence(rig)
    assert rig.mode is Mode.IDLE
    assert rig.event_kinds == []
    assert rig.controller.at_rest
    rig.begin()
    assert_within_limits(rig.driver)


def test_a_clear_while_braking_goes_on_braking() -> None:
    rig = Rig()
    rig.move()
    rig.watchdog.fault(Event.OPERATOR_STOP)
    rig.ticks(2)
    rig.watchdog.clear()
    rig.ticks(50)
    assert rig.controller.at_rest
    assert_within_limits(rig.driver)


@pytest.mark.parametrize("goal", [np.full(7, 9.0), np.full(7, NAN)])
def test_a_start_outside_the_limits_is_refused(goal: np.ndarray) -> None:
    rig = Rig()
    with pytest.raises(ValueError, match="cannot move to"):
        rig.controller.begin_move(goal)
    rig.ticks(20)
    assert rig.controller.at_rest


def test_an_arm_that_cannot_be_enabled_again_stays_in_its_fault() -> None:
    rig = Rig()
    rig.move()
    operator_stop(rig)
    rig.ticks(200)
    rig.watchdog.clear()
    rig.driver.failing = {"enable"}
    with pytest.raises(ArmError, match="cannot be enabled"):
        rig.controller.begin_move(READY)
    assert rig.mode is Mode.FAULT


def test_a_driver_that_fails_everywhere_does_not_end_the_loop() -> None:
    rig = Rig()
    rig.move()
    rig.driver.failing = {"read", "write", "stop", "enable", "disconnect"}
    rig.ticks(100)
    assert rig.mode is Mode.FAULT
    assert rig.event_kinds == [Event.DRIVER_FAILED]


def test_a_lost_object_holds_the_arm_until_the_next_action() -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    rig.controller.track_object(rig.now)
    assert np.isfinite(rig.controller.object_state).all()
    assert rig.mode is Mode.RUNNING
    tracker.pos = np.full(3, NAN)
    rig.controller.track_object(rig.now)
    rig.controller.track_object(rig.now)
    assert rig.mode is Mode.HOLD
    assert rig.event_kinds == [Event.OBJECT_LOST]
    tracker.failing = True
    rig.act()
    rig.controller.track_object(rig.now)
    assert rig.event_kinds == [Event.OBJECT_LOST] * 2
    assert np.isnan(rig.controller.object_state).all()


def test_an_arm_without_the_tracker_that_its_family_needs_is_not_connected() -> None:
    driver = FakeDriver()
    rig = Rig()
    controller = ArmController(FAMILY, Devices(driver), rig._report, WatchdogConfig())
    with pytest.raises(BadArgumentError, match="give a tracker"):
        controller.start()
    assert driver.calls == []


@pytest.mark.parametrize("seconds", [0.03, 0.09, 0.15, 3.0])
def test_after_a_stall_the_first_step_begins_from_rest(seconds: float) -> None:
    """The arm has come to rest at the last command in the meantime."""
    rig = Rig()
    rig.move()
    before = rig.speed
    rig.now += seconds
    if seconds > rig.watchdog.config.overrun:
        rig.watchdog.fault(Event.OVERRUN, seconds)
    stalled_at = len(rig.driver.commands)
    rig.act(-0.4, ticks=1)
    limits = FAMILY.limits
    dt = rig.driver.capabilities.dt
    fastest = np.minimum(limits.ddq * dt, limits.jerk * dt**2)
    for command in rig.driver.commands[stalled_at : stalled_at + 1]:
        assert (np.abs(command.dq) <= 1.001 * fastest).all()
    rig.act(-0.4)
    resumes = seconds < rig.watchdog.config.overrun
    assert (rig.speed > before / 2) is resumes


def test_a_tick_that_is_a_little_late_does_not_slow_the_arm() -> None:
    rig = Rig()
    rig.move()
    before = rig.speed
    rig.now += 0.009
    rig.act(-0.4, ticks=1)
    assert rig.speed > 0.9 * before


def test_a_tracker_that_repeats_an_old_pose_has_lost_the_object() -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    dt = rig.driver.capabilities.dt

    def track(ticks: int, fresh: bool) -> None:
        for k in range(ticks):
            tracker.stamp += fresh * dt
            rig.act(-0.4, ticks=1)
            rig.controller.track_object(rig.now)
            assert np.isfinite(rig.controller.object_state).all(), k

    timeout = round(rig.watchdog.config.object_timeout / dt)
    track(3 * timeout, fresh=True)
    track(timeout - 1, fresh=False)  # a slow camera is allowed
    track(1, fresh=True)
    assert rig.mode is Mode.RUNNING
    track(timeout - 1, fresh=False)
    rig.ticks(2)
    rig.controller.track_object(rig.now)
    rig.controller.track_object(rig.now)
    assert np.isnan(rig.controller.object_state).all()
    assert rig.mode is Mode.HOLD
    assert rig.event_kinds == [Event.OBJECT_STALE]
    tracker.stamp += 1.0
    rig.controller.track_object(rig.now)
    assert np.isfinite(rig.controller.object_state).all()
    rig.act(-0.4)
    assert rig.mode is Mode.RUNNING


def test_an_armed_arm_waits_while_hands_hide_the_object_from_the_camera() -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.begin()
    tracker.pos = np.full(3, NAN)
    for _ in range(1000):
        rig.ticks(1)
        rig.controller.track_object(rig.now)
    assert rig.mode is Mode.ARMED
    assert rig.event_kinds == []
    rig.act()
    rig.controller.track_object(rig.now)
    assert rig.mode is Mode.HOLD
    assert rig.event_kinds == [Event.OBJECT_LOST]


def test_whatever_is_posted_stays_inside_the_limits() -> None:
    rng = np.random.default_rng(0)
    rig = Rig(max_bad_actions=10**6)
    rig.begin()
    for _ in range(150):
        x, y = rng.choice([-1e300, -1, 0, 0.5, 1, 1e9, np.inf, NAN], 2)
        rig.act(x, y, ticks=int(rng.integers(1, 12)))
    assert rig.mode in (Mode.RUNNING, Mode.HOLD)
    assert_within_limits(rig.driver)


def track_while_running(rig: Rig, tracker: FakeTracker, stamps: list[float]) -> None:
    """One tick for each stamp, in which the policy acts and the tracker measures."""
    for stamp in stamps:
        tracker.stamp = stamp
        rig.act(-0.1, ticks=1)
        rig.controller.track_object(rig.now)


@pytest.mark.parametrize("glitch", [np.inf, 1e300, 50.0])
def test_a_tracker_whose_clock_jumps_or_begins_anew_is_heard_again(glitch: float) -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    dt = rig.driver.capabilities.dt
    timeout = round(rig.watchdog.config.object_timeout / dt)
    track_while_running(rig, tracker, [20.0, glitch])
    again = [1.0 + k * dt for k in range(3 * timeout)]
    track_while_running(rig, tracker, again)
    assert rig.event_kinds == []
    assert np.isfinite(rig.controller.object_state).all()
    track_while_running(rig, tracker, [again[-1]] * (timeout + 2))
    assert set(rig.event_kinds) == {Event.OBJECT_STALE}


@pytest.mark.parametrize("age", [-np.inf, -3.0, 0.2, 0.5, np.inf])
def test_a_tracker_that_is_far_behind_has_lost_the_object_although_new_poses_come(
    age: float,
) -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    tracker.age = age
    track_while_running(rig, tracker, [20.0, 20.01, 20.02])
    is_old = age > rig.watchdog.config.object_timeout
    assert set(rig.event_kinds) == ({Event.OBJECT_STALE} if is_old else set())
    assert np.isnan(rig.controller.object_state).all() == is_old
    if is_old:
        assert rig.events[0][1] == age
        tracker.age = 0.01
        track_while_running(rig, tracker, [20.03])
        assert np.isfinite(rig.controller.object_state).all()


def test_a_pose_whose_age_is_negative_still_grows_old() -> None:
    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    tracker.age = -3.0
    timeout = round(rig.watchdog.config.object_timeout / rig.driver.capabilities.dt)
    track_while_running(rig, tracker, [20.0] * (timeout + 2))
    assert set(rig.event_kinds) == {Event.OBJECT_STALE}


@pytest.mark.parametrize("field", ["pos", "quat", "stamp", "age"])
def test_a_tracker_that_answers_nonsense_has_lost_the_object(field: str) -> None:
    nonsense = {"pos": np.zeros(4), "quat": None, "stamp": "now", "age": NAN}

    class Mad(FakeTracker):
        def read(self) -> ObjectState:
            return replace(super().read(), **{field: nonsense[field]})

    tracker = FakeTracker()
    rig = Rig(tracker)
    rig.move()
    rig.controller.tracker = Mad()
    rig.act(ticks=1)
    rig.controller.track_object(rig.now)
    assert rig.event_kinds == [Event.OBJECT_LOST]
    assert np.isnan(rig.controller.object_state).all()
