"""Every fault that can be provoked at the servo's seams, and what comes of it: docs/safety.md as a test."""

import contextlib
from collections.abc import Callable

import numpy as np
import pytest
from fake import FAMILY, PERIOD, READY, Desk, assert_within_limits, lying

from hw_interface.control.watchdog import Event, Mode
from robots.signals import Condition, Verdict

NAN = float("nan")


def flags(desk: Desk) -> Verdict:
    return Verdict(desk.servo.verdict)


def three_nans(desk: Desk) -> None:
    for _ in range(3):
        desk.act(NAN)


def silence(desk: Desk) -> None:
    desk.ticks(round(5 * FAMILY.limits.deadline / desk.driver.dt))


def misread(**changes: object) -> Callable[[Desk], None]:
    def provoke(desk: Desk) -> None:
        desk.driver.lie = lying(**changes)
        desk.act()

    return provoke


def frozen(desk: Desk) -> None:
    misread(stamp=desk.driver.clock)(desk)


def astray(desk: Desk) -> None:
    misread(q=desk.driver.q + 0.3)(desk)


def broken(verb: str) -> Callable[[Desk], None]:
    def provoke(desk: Desk) -> None:
        desk.driver.broken = {verb}
        desk.act()

    return provoke


def operator(desk: Desk) -> None:
    desk.servo.watchdog.fault(Event.OPERATOR_STOP)
    desk.act()


def overrun(desk: Desk) -> None:
    desk.servo.watchdog.fault(Event.OVERRUN, 0.2)
    desk.act()


def died(desk: Desk) -> None:
    desk.servo.watchdog.fault(Event.POLICY_DIED)
    desk.ticks(PERIOD)


BRAKED: dict[str, tuple[Callable[[Desk], None], Event]] = {  # a controlled stop, then latched
    "three actions with NaN": (three_nans, Event.NOT_FINITE),
    "silence": (silence, Event.SILENT),
    "reading NaN": (misread(q=np.full(7, NAN)), Event.NOT_A_NUMBER_READ),
    "velocity NaN": (misread(dq=np.full(7, NAN)), Event.NOT_A_NUMBER_READ),
    "not tracking": (astray, Event.NOT_TRACKING),
    "torque": (misread(tau=1.01 * FAMILY.limits.tau), Event.TORQUE),
    "controller's error": (misread(condition=Condition.ERROR), Event.ARM_ERROR),
    "controller disabled": (misread(condition=Condition.DISABLED), Event.ARM_ERROR),
    "operator's stop": (operator, Event.OPERATOR_STOP),
    "overrun": (overrun, Event.OVERRUN),
    "policy died": (died, Event.POLICY_DIED),
}
AT_ONCE: dict[str, tuple[Callable[[Desk], None], Event]] = {  # nothing more is written
    "read raises": (broken("read"), Event.DRIVER_FAILED),
    "write raises": (broken("write"), Event.DRIVER_FAILED),
    "frozen stamp": (frozen, Event.LINK_LOST),
    "stamp NaN": (misread(stamp=NAN), Event.LINK_LOST),
    "external stop": (misread(condition=Condition.EXTERNAL_STOP), Event.ARM_STOPPED),
}
EVERY = BRAKED | AT_ONCE
PASSING = ("three actions with NaN", "silence", "operator's stop", "overrun", "policy died")
every_fault = pytest.mark.parametrize("name", EVERY)


@every_fault
def test_a_fault_latches_says_so_once_and_ends_in_silence(name: str) -> None:
    desk = Desk()
    desk.move()
    provoke, event = EVERY[name]
    provoke(desk)
    assert desk.mode is (Mode.EXTERNAL_STOP if event is Event.ARM_STOPPED else Mode.FAULT)
    assert desk.seen.count(event) == (3 if event is Event.NOT_FINITE else 1)
    desk.ticks(200)
    assert desk.servo.resting
    assert {Verdict.FAULT, Verdict.STOPPED} <= set(flags(desk))
    assert desk.driver.calls.count("stop") == 1
    written = len(desk.driver.told)
    for _ in range(5):
        desk.act(1.0)  # a policy that goes on posting moves nothing
    assert len(desk.driver.told) == written
    assert {Verdict.DROPPED, Verdict.FAULT, Verdict.STOPPED} <= set(flags(desk))
    assert_within_limits(desk.driver)


@pytest.mark.parametrize("name", BRAKED)
def test_a_fault_brakes_as_the_limits_allow_before_the_driver_is_stopped(name: str) -> None:
    desk = Desk()
    desk.move()
    BRAKED[name][0](desk)
    desk.ticks(200)
    assert np.abs(desk.driver.told[-1].dq).max() < 1e-6
    assert desk.driver.calls[-2:] == ["write", "stop"]


@pytest.mark.parametrize("name", AT_ONCE)
def test_where_words_do_not_reach_the_arm_it_is_stopped_at_once(name: str) -> None:
    desk = Desk()
    desk.move()
    written = len(desk.driver.told)
    AT_ONCE[name][0](desk)
    stutter = (
        desk.servo.watchdog.config.frozen if AT_ONCE[name][1] is Event.LINK_LOST else 0
    )  # not yet a loss
    assert len(desk.driver.told) <= written + stutter
    assert desk.driver.calls[-1] == "stop"


def test_a_link_that_freezes_while_the_arm_brakes_is_written_to_no_more() -> None:
    desk = Desk()
    desk.move()
    desk.servo.watchdog.fault(Event.OPERATOR_STOP)
    desk.driver.lie = lying(stamp=desk.driver.clock)
    desk.ticks(4)
    assert desk.driver.calls[-1] == "stop"
    assert not desk.servo._still


@pytest.mark.parametrize(
    "condition", [Condition.DISABLED, Condition.ERROR, Condition.EXTERNAL_STOP]
)
@pytest.mark.parametrize("moving", [True, False])
def test_an_arm_that_is_not_ready_is_noticed_wherever_it_is_told_something(
    condition: Condition, moving: bool
) -> None:
    """On the way to an episode's start, and at rest between two."""
    desk = Desk()
    if moving:
        desk.servo.begin(READY + 0.2 * np.array([1, 1, 1, 1, 1, -1, 1]), desk.now)
    desk.ticks(10)
    assert desk.servo.going is moving
    assert desk.mode is Mode.IDLE
    desk.driver.lie = lying(condition=condition)
    desk.ticks(1)
    stopped = condition is Condition.EXTERNAL_STOP
    assert desk.seen == [Event.ARM_STOPPED if stopped else Event.ARM_ERROR]
    desk.ticks(200)
    assert desk.mode is (Mode.EXTERNAL_STOP if stopped else Mode.FAULT)
    assert desk.driver.calls[-1] == "stop"
    assert not desk.servo.going


def test_an_arm_is_not_told_to_start_from_a_reading_that_may_be_old() -> None:
    desk = Desk()
    desk.move()
    frozen(desk)
    desk.servo.watchdog.clear()
    written = len(desk.driver.told)
    with pytest.raises(ValueError, match="cannot be enabled"):
        desk.servo.begin(READY, desk.now)
    desk.ticks(20)
    assert len(desk.driver.told) == written
    assert desk.mode is Mode.FAULT


@every_fault
def test_nothing_moves_after_clear_until_begun_again(name: str) -> None:
    desk = Desk()
    desk.move()
    EVERY[name][0](desk)
    desk.ticks(200)
    with pytest.raises(ValueError, match="cleared first"):
        desk.servo.begin(READY, desk.now)
    desk.driver.broken, desk.driver.lie = set(), lambda truth: truth
    desk.servo.watchdog.clear()
    here, written = desk.driver.q.copy(), len(desk.driver.told)
    for _ in range(5):
        desk.act(1.0)
    assert desk.mode is Mode.IDLE
    assert len(desk.driver.told) == written
    np.testing.assert_array_equal(desk.driver.q, here)


@every_fault
def test_the_first_command_after_clear_starts_from_where_the_arm_is(name: str) -> None:
    desk = Desk()
    desk.move()
    EVERY[name][0](desk)
    desk.ticks(200)
    desk.driver.broken, desk.driver.lie = set(), lambda truth: truth
    desk.driver.q = desk.driver.q + 0.2 * np.array(
        [1, 1, 1, 1, 1, -1, 1]
    )  # somebody pushed it aside
    desk.driver.dq = np.zeros(7)
    here = desk.driver.q.copy()
    desk.servo.watchdog.clear()
    desk.ticks(20)
    del desk.driver.told[:]
    desk.begin()
    assert np.abs(desk.driver.told[0].q - here).max() < 1e-3
    assert_within_limits(desk.driver, tool=False)  # it was pushed out of the box
    np.testing.assert_allclose(desk.driver.q, READY, atol=2e-3)
    desk.act()
    assert desk.mode is Mode.RUNNING


@pytest.mark.parametrize("name", [name for name in EVERY if name not in PASSING])
def test_a_fault_that_lasts_comes_back_after_clear(name: str) -> None:
    """What is still wrong is found again, at the latest when something is to move."""
    desk = Desk()
    desk.move()
    EVERY[name][0](desk)
    desk.ticks(200)
    desk.servo.watchdog.clear()
    with contextlib.suppress(ValueError, AssertionError):
        desk.begin()
        desk.act()
    desk.ticks(200)
    assert desk.mode in (Mode.FAULT, Mode.EXTERNAL_STOP)
    assert desk.servo.resting
    assert np.isfinite([c.q for c in desk.driver.told]).all()


def test_one_action_with_nan_is_dropped_and_the_next_resumes() -> None:
    desk = Desk()
    desk.move()
    before = desk.speed
    desk.act(NAN)
    assert desk.mode is Mode.HOLD
    assert flags(desk) == Verdict.DROPPED | Verdict.HELD
    assert desk.events[-1] == (Event.NOT_FINITE, 1)
    assert desk.speed < before
    desk.act(-0.4)
    assert desk.mode is Mode.RUNNING
    assert not flags(desk) & (Verdict.DROPPED | Verdict.HELD)
    desk.act(0.0, float("inf"))
    desk.act(0.0, NAN)
    assert desk.mode is Mode.HOLD, "a good one between them begins the count anew"
    assert_within_limits(desk.driver)


def test_an_action_out_of_order_is_dropped_and_the_last_one_goes_on() -> None:
    desk = Desk()
    desk.move()
    desk.servo.follow(desk.number, desk.now, np.array([1.0, 1.0]))
    assert desk.events[-1] == (Event.OUT_OF_ORDER, desk.number)
    assert flags(desk) == Verdict.DROPPED
    assert desk.mode is Mode.RUNNING
    np.testing.assert_array_equal(desk.servo._action, [[-0.4, 0.0]])


def test_a_late_policy_is_held_and_may_go_on() -> None:
    desk = Desk()
    desk.move()
    desk.ticks(round(2 * FAMILY.limits.deadline / desk.driver.dt))
    assert desk.mode is Mode.HOLD
    assert desk.seen == [Event.STALE]
    assert Verdict.HELD in flags(desk)
    assert desk.servo.resting
    desk.act()
    assert desk.mode is Mode.RUNNING


def test_an_action_whose_stamp_is_nan_does_not_keep_the_arm_going() -> None:
    desk = Desk()
    desk.move()
    desk.servo.follow(desk.number + 1, NAN, np.zeros(2))
    desk.ticks(1)
    assert desk.mode is Mode.FAULT


def test_an_operators_hold_lasts_until_its_release() -> None:
    desk = Desk()
    desk.move()
    desk.servo.hold()
    for _ in range(3):
        desk.act(1.0)  # a policy that goes on posting moves nothing
    assert desk.mode is Mode.HOLD
    assert desk.servo.resting
    assert flags(desk) == Verdict.DROPPED | Verdict.HELD
    silence(desk)
    assert desk.seen == [Event.OPERATOR_HOLD], "who is held is not late"
    desk.servo.watchdog.release(desk.now)
    desk.ticks(5)
    assert desk.mode is Mode.HOLD
    assert desk.servo.resting, "a release moves nothing"
    desk.act()
    assert desk.mode is Mode.RUNNING
    assert desk.seen == [Event.OPERATOR_HOLD, Event.RELEASED]
    assert_within_limits(desk.driver)


@pytest.mark.parametrize("when", ["on the way to a start", "at rest", "at the end of an episode"])
def test_no_episode_begins_while_an_operator_holds_the_arm(when: str) -> None:
    desk = Desk()
    if when == "on the way to a start":
        desk.servo.begin(READY + 0.2 * np.array([1, 1, 1, 1, 1, -1, 1]), desk.now)
        desk.ticks(20)
        assert not desk.servo.resting
    elif when == "at the end of an episode":
        desk.move()
    desk.servo.hold()
    desk.servo.hold()
    desk.servo.rest()
    desk.ticks(50)
    assert desk.servo.resting
    assert not desk.servo.going
    with pytest.raises(ValueError, match="released first"):
        desk.servo.begin(READY, desk.now)
    desk.servo.watchdog.release(desk.now)
    desk.servo.watchdog.release(desk.now)
    desk.act(1.0)
    assert desk.mode is Mode.IDLE
    assert desk.servo.resting
    desk.begin()
    assert desk.seen == [Event.OPERATOR_HOLD, Event.RELEASED]
    assert_within_limits(desk.driver)


def test_a_fault_ends_a_hold_and_is_cleared_as_any() -> None:
    desk = Desk()
    desk.move()
    desk.servo.hold()
    desk.servo.watchdog.fault(Event.OPERATOR_STOP)
    desk.servo.watchdog.release(desk.now)
    assert desk.mode is Mode.FAULT
    desk.servo.watchdog.clear()
    desk.begin()
    assert_within_limits(desk.driver)


def test_between_episodes_silence_is_no_fault() -> None:
    """Adaptation takes as long as it takes."""
    desk = Desk()
    desk.move()
    desk.servo.rest()
    silence(desk)
    assert desk.mode is Mode.IDLE
    assert desk.seen == []
    assert desk.servo.resting
    desk.begin()
    assert_within_limits(desk.driver)


def test_a_clear_while_braking_goes_on_braking() -> None:
    desk = Desk()
    desk.move()
    desk.servo.watchdog.fault(Event.OPERATOR_STOP)
    desk.ticks(2)
    desk.servo.watchdog.clear()
    desk.ticks(50)
    assert desk.servo.resting
    assert_within_limits(desk.driver)


@pytest.mark.parametrize("goal", [np.full(7, 9.0), np.full(7, NAN)])
def test_a_start_outside_the_limits_is_refused(goal: np.ndarray) -> None:
    desk = Desk()
    with pytest.raises(ValueError, match="cannot move to"):
        desk.servo.begin(goal, desk.now)
    desk.ticks(20)
    assert desk.servo.resting


def test_an_arm_that_cannot_be_enabled_again_stays_in_its_fault() -> None:
    desk = Desk()
    desk.move()
    operator(desk)
    desk.ticks(200)
    desk.servo.watchdog.clear()
    desk.driver.broken = {"enable"}
    with pytest.raises(ValueError, match="cannot be enabled"):
        desk.servo.begin(READY, desk.now)
    assert desk.mode is Mode.FAULT


def test_a_driver_that_fails_everywhere_does_not_end_the_loop() -> None:
    desk = Desk()
    desk.move()
    desk.driver.broken = {"read", "write", "stop", "enable", "disconnect"}
    desk.ticks(100)
    assert desk.mode is Mode.FAULT
    assert desk.seen == [Event.DRIVER_FAILED]


class _Tracked:
    """A tracker in front of the fake arm."""

    def __init__(self, desk: Desk) -> None:
        self.pos, self.stamp = np.zeros(3), 0.0
        desk.driver.track = lambda: self  # type: ignore[attr-defined]
        self.quat, self.vel = np.array([1.0, 0, 0, 0]), np.zeros(6)


def test_a_lost_object_is_held_until_an_action_follows() -> None:
    desk = Desk()
    tracker = _Tracked(desk)
    desk.move()
    desk.servo.look(desk.now)
    assert np.isfinite(desk.servo.object).all()
    assert desk.mode is Mode.RUNNING
    tracker.pos = np.full(3, NAN)
    desk.servo.look(desk.now)
    desk.servo.look(desk.now)
    assert desk.mode is Mode.HOLD
    assert desk.seen == [Event.OBJECT_LOST]
    desk.driver.track = None  # type: ignore[attr-defined]
    desk.act()
    desk.servo.look(desk.now)
    assert desk.seen == [Event.OBJECT_LOST] * 2
    assert np.isnan(desk.servo.object).all()


def test_a_tracker_that_repeats_an_old_pose_is_as_lost_as_its_object() -> None:
    desk = Desk()
    tracker = _Tracked(desk)
    desk.move()

    def watched(ticks: int, fresh: bool) -> None:
        for k in range(ticks):
            tracker.stamp += fresh * desk.driver.dt
            desk.act(-0.4, ticks=1)
            desk.servo.look(desk.now)
            assert np.isfinite(desk.servo.object).all(), k

    late = round(desk.servo.watchdog.config.unseen / desk.driver.dt)
    watched(3 * late, fresh=True)
    watched(late - 1, fresh=False)  # a slow camera is no old pose
    watched(1, fresh=True)
    assert desk.mode is Mode.RUNNING
    watched(late - 1, fresh=False)
    desk.ticks(2)
    desk.servo.look(desk.now)
    desk.servo.look(desk.now)
    assert np.isnan(desk.servo.object).all()
    assert desk.mode is Mode.HOLD
    assert desk.seen == [Event.OBJECT_STALE]
    tracker.stamp += 1.0
    desk.servo.look(desk.now)
    assert np.isfinite(desk.servo.object).all()
    desk.act(-0.4)
    assert desk.mode is Mode.RUNNING


def test_an_armed_arm_waits_for_whoever_places_the_object_with_their_hands_before_the_camera() -> (
    None
):
    desk = Desk()
    tracker = _Tracked(desk)
    desk.begin()
    tracker.pos = np.full(3, NAN)
    for _ in range(1000):
        desk.ticks(1)
        desk.servo.look(desk.now)
    assert desk.mode is Mode.ARMED
    assert desk.seen == []
    desk.act()
    desk.servo.look(desk.now)
    assert desk.mode is Mode.HOLD
    assert desk.seen == [Event.OBJECT_LOST]


def test_whatever_is_posted_stays_inside_the_limits() -> None:
    rng = np.random.default_rng(0)
    desk = Desk(not_finite=10**6)
    desk.begin()
    for _ in range(150):
        action = rng.choice([-1e300, -1, 0, 0.5, 1, 1e9, np.inf, NAN], 2)
        desk.act(*action, ticks=int(rng.integers(1, 12)))
    assert desk.mode in (Mode.RUNNING, Mode.HOLD)
    assert_within_limits(desk.driver)
