"""The watchdog's states, from every one of them, without an arm."""

from dataclasses import replace

import numpy as np
import pytest
from fake import FAMILY

from hw_interface.control.watchdog import Event, Mode, Watchdog, WatchdogConfig
from robots.signals import Condition, JointState

LATCHED = (Mode.FAULT, Mode.EXTERNAL_STOP)
MOVING = (Mode.ARMED, Mode.RUNNING, Mode.HOLD)
STILL = tuple(mode for mode in Mode if mode not in MOVING)


def dog(mode: Mode) -> tuple[Watchdog, list[Event]]:
    seen: list[Event] = []
    watchdog = Watchdog(FAMILY.limits, WatchdogConfig(), lambda event, _: seen.append(event))
    watchdog.mode = mode
    return watchdog, seen


def reading(stamp: float = 1.0, condition: Condition = Condition.READY) -> JointState:
    return JointState(np.zeros(7), np.zeros(7), np.zeros(7), stamp, condition)


@pytest.mark.parametrize("mode", Mode)
def test_only_an_armed_arm_follows_an_action(mode: Mode) -> None:
    watchdog, _ = dog(mode)
    assert watchdog.accept(1, 0.0, np.zeros(2)) is (mode in MOVING)
    assert watchdog.mode is (Mode.RUNNING if mode in MOVING else mode)


@pytest.mark.parametrize("mode", LATCHED)
def test_a_latched_state_is_left_by_clear_alone(mode: Mode) -> None:
    watchdog, seen = dog(mode)
    watchdog.accept(1, 0.0, np.zeros(2))
    watchdog.hold()
    watchdog.release(0.0)
    watchdog.rest()
    watchdog.check_age(1e9)
    watchdog.check_state(reading(), np.zeros(7))
    watchdog.fault(Event.OVERRUN)
    assert watchdog.mode is mode
    assert seen == []
    watchdog.clear()
    assert watchdog.mode is Mode.IDLE
    assert seen == [Event.CLEARED]


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode not in LATCHED])
def test_clear_means_nothing_where_nothing_is_latched(mode: Mode) -> None:
    watchdog, seen = dog(mode)
    watchdog.clear()
    assert watchdog.mode is mode
    assert seen == []


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.EXTERNAL_STOP])
def test_the_arms_own_stop_outranks_every_state(mode: Mode) -> None:
    watchdog, seen = dog(mode)
    for stamp in (1.0, 2.0):
        watchdog.check_state(reading(stamp, Condition.EXTERNAL_STOP), np.zeros(7))
    assert watchdog.mode is Mode.EXTERNAL_STOP
    assert seen == [Event.ARM_STOPPED]


@pytest.mark.parametrize("mode", STILL)
def test_who_does_not_move_cannot_be_late_or_paused(mode: Mode) -> None:
    watchdog, seen = dog(mode)
    watchdog.check_age(1e9)
    watchdog.pause(Event.OBJECT_LOST)
    watchdog.release(1e9)
    assert watchdog.mode is mode
    assert seen == []


def test_an_age_is_judged_at_its_two_bounds() -> None:
    deadline, silent = FAMILY.limits.deadline, WatchdogConfig().silent
    for age, mode in (
        (0.99, Mode.RUNNING),
        (1.01, Mode.HOLD),
        (0.99 * silent, Mode.HOLD),
        (1.01 * silent, Mode.FAULT),
    ):
        watchdog, _ = dog(Mode.ARMED)
        watchdog.accept(1, 10.0, np.zeros(2))
        watchdog.check_age(10.0 + age * deadline)
        assert watchdog.mode is mode, age


def test_a_link_may_stutter_but_not_stop() -> None:
    watchdog, seen = dog(Mode.RUNNING)
    for stamp in (1, 1, 1, 2, 2, 2, 3):
        watchdog.check_state(reading(stamp), np.zeros(7))
    assert watchdog.mode is Mode.RUNNING
    for _ in range(3):
        watchdog.check_state(reading(2.5), np.zeros(7))  # backwards is no news either
    assert watchdog.mode is Mode.FAULT
    assert seen == [Event.LINK_LOST]


def test_a_joint_may_lag_for_a_moment_but_not_for_long() -> None:
    watchdog, seen = dog(Mode.RUNNING)
    far = np.array([0, 0, 0.2, 0, 0, 0, 0])
    for k, setpoint in enumerate([far] * 4 + [0 * far] + [far] * 4):
        watchdog.check_state(reading(k), setpoint)
    assert watchdog.mode is Mode.RUNNING
    watchdog.check_state(reading(99), far)
    assert seen == [Event.NOT_TRACKING]


def test_a_joint_may_be_struck_but_not_pressed() -> None:
    watchdog, seen = dog(Mode.RUNNING)
    ticks, limit = watchdog.config.torque_ticks, FAMILY.limits.tau
    blow, unknown = np.where(np.arange(7) == 3, -1.01 * limit, 0.0), np.full(7, np.nan)
    readings = (
        [blow] * (ticks - 1) + [-limit] + [blow] * (ticks - 1) + [unknown] + [blow] * (ticks - 1)
    )
    for k, tau in enumerate(readings):
        watchdog.check_state(replace(reading(k), tau=tau), np.zeros(7))
    assert watchdog.mode is Mode.RUNNING
    watchdog.check_state(replace(reading(999), tau=np.where(blow == 0, np.nan, blow)), np.zeros(7))
    assert watchdog.mode is Mode.FAULT
    assert seen == [Event.TORQUE]


def test_what_a_joint_is_pressed_with_is_no_matter_while_it_is_told_nothing() -> None:
    watchdog, seen = dog(Mode.IDLE)
    for k in range(3 * watchdog.config.torque_ticks):
        watchdog.check_state(replace(reading(k), tau=2 * FAMILY.limits.tau), None)
    assert seen == []
