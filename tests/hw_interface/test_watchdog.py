"""The watchdog's transitions, from every mode, without an arm."""

import numpy as np
import pytest
from fake import FAMILY

from hw_interface.control.watchdog import Event, Mode, Watchdog, WatchdogConfig
from robots.signals import Array, Condition, JointState

LATCHED = (Mode.FAULT, Mode.EXTERNAL_STOP)
IN_EPISODE = (Mode.ARMED, Mode.RUNNING, Mode.HOLD)
NOT_IN_EPISODE = tuple(mode for mode in Mode if mode not in IN_EPISODE)
NOT_LATCHED = tuple(mode for mode in Mode if mode not in LATCHED)
ZERO = np.zeros(7)


def watchdog_in(mode: Mode) -> tuple[Watchdog, list[Event]]:
    """A watchdog in a mode, and the list that its events are added to."""
    events: list[Event] = []

    def report(event: Event, detail: float) -> None:
        events.append(event)

    watchdog = Watchdog(FAMILY.limits, WatchdogConfig(), report)
    watchdog.mode = mode
    return watchdog, events


def reading(
    stamp: float = 1.0, condition: Condition = Condition.READY, tau: Array = ZERO
) -> JointState:
    return JointState(ZERO, ZERO, tau, stamp, condition)


@pytest.mark.parametrize("mode", Mode)
def test_an_action_is_accepted_in_an_episode_only(mode: Mode) -> None:
    watchdog, _ = watchdog_in(mode)
    in_episode = mode in IN_EPISODE
    assert watchdog.accept_action(1, 0.0, np.zeros(2)) is in_episode
    assert watchdog.mode is (Mode.RUNNING if in_episode else mode)


@pytest.mark.parametrize("mode", LATCHED)
def test_only_clear_leaves_a_latched_mode(mode: Mode) -> None:
    watchdog, events = watchdog_in(mode)
    watchdog.accept_action(1, 0.0, np.zeros(2))
    watchdog.hold()
    watchdog.release(0.0)
    watchdog.end_episode()
    watchdog.check_age(1e9)
    watchdog.check_state(reading(), ZERO)
    watchdog.fault(Event.OVERRUN)
    assert watchdog.mode is mode
    assert events == []
    watchdog.clear()
    assert watchdog.mode is Mode.IDLE
    assert events == [Event.CLEARED]


@pytest.mark.parametrize("mode", NOT_LATCHED)
def test_clear_changes_nothing_where_nothing_is_latched(mode: Mode) -> None:
    watchdog, events = watchdog_in(mode)
    watchdog.clear()
    assert watchdog.mode is mode
    assert events == []


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.EXTERNAL_STOP])
def test_an_external_stop_is_taken_over_from_every_mode(mode: Mode) -> None:
    watchdog, events = watchdog_in(mode)
    for stamp in (1.0, 2.0):
        watchdog.check_state(reading(stamp, Condition.EXTERNAL_STOP), ZERO)
    assert watchdog.mode is Mode.EXTERNAL_STOP
    assert events == [Event.ARM_STOPPED]


@pytest.mark.parametrize("mode", NOT_IN_EPISODE)
def test_outside_an_episode_nothing_is_late_or_paused(mode: Mode) -> None:
    watchdog, events = watchdog_in(mode)
    watchdog.check_age(1e9)
    watchdog.pause(Event.OBJECT_LOST)
    watchdog.release(1e9)
    assert watchdog.mode is mode
    assert events == []


@pytest.mark.parametrize(
    ("deadlines", "mode"),
    [
        (0.99, Mode.RUNNING),
        (1.01, Mode.HOLD),
        (0.99 * WatchdogConfig().silent_deadlines, Mode.HOLD),
        (1.01 * WatchdogConfig().silent_deadlines, Mode.FAULT),
    ],
)
def test_the_age_of_an_action_is_judged_at_its_two_bounds(deadlines: float, mode: Mode) -> None:
    watchdog, _ = watchdog_in(Mode.ARMED)
    watchdog.accept_action(1, 10.0, np.zeros(2))
    watchdog.check_age(10.0 + deadlines * FAMILY.limits.deadline)
    assert watchdog.mode is mode


def test_a_stamp_may_repeat_for_two_readings_but_not_for_three() -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    for stamp in (1, 1, 1, 2, 2, 2, 3):
        watchdog.check_state(reading(stamp), ZERO)
    assert watchdog.mode is Mode.RUNNING
    for _ in range(3):
        watchdog.check_state(reading(2.5), ZERO)  # a step backwards is no advance either
    assert watchdog.mode is Mode.FAULT
    assert events == [Event.LINK_LOST]


def test_a_joint_may_lag_briefly_but_not_for_long() -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    far = np.array([0, 0, 0.2, 0, 0, 0, 0])
    setpoints = [far] * 4 + [ZERO] + [far] * 4
    for k, setpoint in enumerate(setpoints):
        watchdog.check_state(reading(k), setpoint)
    assert watchdog.mode is Mode.RUNNING
    watchdog.check_state(reading(99), far)
    assert events == [Event.NOT_TRACKING]


def test_a_joint_may_be_struck_but_not_pressed() -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    limit = FAMILY.limits.tau
    excess = np.where(np.arange(7) == 3, -1.01 * limit, 0.0)
    unknown = np.full(7, np.nan)
    impact = [excess] * (watchdog.config.torque_ticks - 1)
    torques = [*impact, -limit, *impact, unknown, *impact]
    for k, tau in enumerate(torques):
        watchdog.check_state(reading(k, tau=tau), ZERO)
    assert watchdog.mode is Mode.RUNNING
    only_one_measured = np.where(excess == 0, np.nan, excess)
    watchdog.check_state(reading(999, tau=only_one_measured), ZERO)
    assert watchdog.mode is Mode.FAULT
    assert events == [Event.TORQUE_LIMIT]


def test_torque_is_not_judged_while_nothing_is_commanded() -> None:
    watchdog, events = watchdog_in(Mode.IDLE)
    for k in range(3 * watchdog.config.torque_ticks):
        watchdog.check_state(reading(k, tau=2 * FAMILY.limits.tau), None)
    assert events == []
