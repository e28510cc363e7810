"""The watchdog's transitions, from every mode, without an arm."""

from dataclasses import replace

import numpy as np
import pytest
from fake import FAMILY, READY

from hw_interface.control.events import Event, Mode
from hw_interface.control.measurements import Measurements
from hw_interface.control.watchdog import Watchdog, WatchdogConfig
from robots.driver import Capabilities
from robots.signals import Array, Condition, JointState

LATCHED = (Mode.FAULT, Mode.EXTERNAL_STOP)
IN_EPISODE = (Mode.ARMED, Mode.RUNNING, Mode.HOLD)
NOT_IN_EPISODE = tuple(mode for mode in Mode if mode not in IN_EPISODE)
NOT_LATCHED = tuple(mode for mode in Mode if mode not in LATCHED)
ZERO = np.zeros(7)


def watchdog_in(mode: Mode, dt: float = 0.004) -> tuple[Watchdog, list[Event]]:
    """A watchdog in a mode over an arm with ticks of ``dt`` s, and the list of its events."""
    events: list[Event] = []

    def report(event: Event, detail: float) -> None:
        events.append(event)

    config = WatchdogConfig()
    readings = Measurements(FAMILY.limits, config, Capabilities(dt, realtime=True))
    watchdog = Watchdog(FAMILY.limits, config, report, readings)
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
    impact = [excess] * (watchdog.measurements.overload_ticks - 1)
    torques = [*impact, -limit, *impact, unknown, *impact]
    for k, tau in enumerate(torques):
        watchdog.check_state(reading(1e-3 * k, tau=tau), ZERO)
    assert watchdog.mode is Mode.RUNNING
    only_one_measured = np.where(excess == 0, np.nan, excess)
    watchdog.check_state(reading(0.999, tau=only_one_measured), ZERO)
    assert watchdog.mode is Mode.FAULT
    assert events == [Event.TORQUE_LIMIT]


Change = dict[str, Array]
LIMITS = FAMILY.limits
FAR = READY + np.where(np.arange(7) == 2, 0.2, 0.0)  # rad
PUSHED = np.concatenate([[1.01 * LIMITS.force], np.zeros(5)])
# what is wrong with a reading of an arm that stands, how many in a row are a fault, and which
LASTING: dict[str, tuple[Change, str, Event]] = {
    "far from the setpoint": ({"q": FAR}, "tracking_ticks", Event.NOT_TRACKING),
    "torque": ({"tau": 1.01 * LIMITS.tau}, "overload", Event.TORQUE_LIMIT),
    "force": ({"wrench": PUSHED}, "overload", Event.FORCE_LIMIT),
    "beyond a limit": ({"q": LIMITS.q_high + 0.06}, "limit_ticks", Event.POSITION_LIMIT),
    "too fast": ({"dq": 1.51 * LIMITS.dq}, "limit_ticks", Event.SPEED_LIMIT),
}


@pytest.mark.parametrize("kind", LASTING)
def test_a_fault_takes_as_many_ticks_in_a_row_as_its_limit_says_and_again_after_clear(
    kind: str,
) -> None:
    change, name, event = LASTING[kind]
    watchdog, events = watchdog_in(Mode.RUNNING)
    ticks = {"tracking_ticks": 5, "overload": 10, "limit_ticks": 5}[name]
    wrong = replace(reading(), **{"q": READY, **change})
    setpoint = LIMITS.q_high if kind == "beyond a limit" else READY
    stamp = 0.0
    for _ in range(2):
        for count in range(ticks):
            assert watchdog.mode is not Mode.FAULT, f"after {count}"
            stamp += 1.0
            watchdog.check_state(replace(wrong, stamp=stamp), setpoint)
        assert watchdog.mode is Mode.FAULT
        watchdog.clear()
    assert [found for found in events if found is not Event.WILD_READINGS] == [
        event,
        Event.CLEARED,
        event,
        Event.CLEARED,
    ]


@pytest.mark.parametrize("dt", [0.002, 0.004, 0.01])
@pytest.mark.parametrize("change", [{"tau": 1.01 * LIMITS.tau}, {"wrench": PUSHED}])
def test_an_overload_is_a_fault_after_the_same_time_at_every_rate(
    change: Change, dt: float
) -> None:
    watchdog, events = watchdog_in(Mode.RUNNING, dt)
    overloaded = replace(reading(), q=READY, **change)
    began = 1.0
    stamp = began
    while watchdog.mode is not Mode.FAULT and stamp < began + 1.0:
        stamp += dt
        watchdog.check_state(replace(overloaded, stamp=stamp), READY)
    assert stamp - began == pytest.approx(0.04)
    assert len(events) == 1


def test_the_cause_of_a_fault_is_kept_whatever_is_reported_after_it() -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    watchdog.fault(Event.OVERRUN, 0.2)
    watchdog.accept_action(1, 0.0, np.zeros(2))
    watchdog.accept_action(1, 0.0, np.zeros(2))
    watchdog.fault(Event.SILENT)
    assert events == [Event.OVERRUN, Event.OUT_OF_ORDER]
    assert watchdog.cause is Event.OVERRUN
    watchdog.check_state(reading(condition=Condition.EXTERNAL_STOP), ZERO)
    assert watchdog.cause is Event.ARM_STOPPED


def test_a_controller_whose_clock_begins_anew_after_clear_is_no_lost_link() -> None:
    """As that of an arm which was switched off meanwhile."""
    watchdog, events = watchdog_in(Mode.RUNNING)
    for _ in range(1 + watchdog.config.frozen_readings):
        watchdog.check_state(reading(100.0), ZERO)
    assert events == [Event.LINK_LOST]
    watchdog.clear()
    for k in range(2 * watchdog.config.frozen_readings):
        watchdog.check_state(reading(0.1 * k), ZERO)
    assert events == [Event.LINK_LOST, Event.CLEARED]


def test_torque_is_not_judged_while_nothing_is_commanded() -> None:
    watchdog, events = watchdog_in(Mode.IDLE)
    for k in range(3 * watchdog.measurements.overload_ticks):
        watchdog.check_state(reading(k, tau=2 * FAMILY.limits.tau), None)
    assert events == []


@pytest.mark.parametrize("side", ["low", "high"])
def test_a_joint_may_be_pushed_past_its_limit_briefly_but_not_for_long(side: str) -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    config = watchdog.config
    limits = FAMILY.limits
    edge = limits.q_low if side == "low" else limits.q_high
    outward = -1.0 if side == "low" else 1.0
    pushed = edge + outward * (config.position_margin + 1e-3) * (np.arange(7) == 2)
    positions = [pushed] * (config.limit_ticks - 1)
    positions += [edge, *positions]
    for k, q in enumerate(positions):
        watchdog.check_state(JointState(q, ZERO, ZERO, 0.01 * k), edge)
    assert watchdog.mode is Mode.RUNNING
    watchdog.check_state(JointState(pushed, ZERO, ZERO, 1.0), edge)
    assert watchdog.mode is Mode.FAULT
    assert events == [Event.POSITION_LIMIT]


def test_a_joint_that_comes_back_from_beyond_its_limit_is_no_fault() -> None:
    """An arm may rest a little outside; its setpoint begins there."""
    watchdog, events = watchdog_in(Mode.IDLE)
    limits = FAMILY.limits
    for k in range(50):
        setpoint = limits.q_low - 0.08 + 1e-3 * k
        watchdog.check_state(JointState(setpoint - 0.01, ZERO, ZERO, 0.01 * k), setpoint)
    assert events == []


@pytest.mark.parametrize("joint", [0, 6])
def test_a_joint_may_be_too_fast_briefly_but_not_for_long(joint: int) -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    config = watchdog.config
    limits = FAMILY.limits
    fast = np.where(np.arange(7) == joint, -1.01 * config.speed_margin * limits.dq, 0.0)
    allowed = fast / 1.02
    speeds = [fast] * (config.limit_ticks - 1)
    speeds += [allowed, *speeds]
    for k, dq in enumerate(speeds):
        watchdog.check_state(JointState(ZERO, dq, ZERO, 0.01 * k), ZERO)
    assert watchdog.mode is Mode.RUNNING
    watchdog.check_state(JointState(ZERO, fast, ZERO, 1.0), ZERO)
    assert watchdog.mode is Mode.FAULT
    assert events[-1] is Event.SPEED_LIMIT


def test_limits_of_a_measurement_are_not_judged_while_nothing_is_commanded() -> None:
    """An arm that is moved by hand may be anywhere."""
    watchdog, events = watchdog_in(Mode.FAULT)
    for k in range(50):
        q = FAMILY.limits.q_high + 0.01 * k
        watchdog.check_state(JointState(q, ZERO, ZERO, 0.01 * k, Condition.DISABLED), None)
    assert events == []


def test_a_torque_that_stays_away_for_seconds_is_reported_once_for_each_loss() -> None:
    watchdog, events = watchdog_in(Mode.RUNNING)
    timeout = watchdog.config.torque_timeout
    never = np.where(np.arange(7) == 5, np.nan, 0.0)  # one joint has no sensor
    lost = np.where(np.arange(7) == 2, np.nan, never)
    stamps = np.arange(0.0, 4 * timeout, 0.1)
    for _ in range(2):
        events.clear()
        offset = watchdog.measurements.believed.stamp if watchdog.measurements.believed else 0.0
        for stamp in stamps:
            gone = 2 * timeout > stamp > 0.5 * timeout
            tau = lost if gone else never
            watchdog.check_state(reading(offset + 0.1 + stamp, tau=tau), ZERO)
        assert events == [Event.TORQUE_UNKNOWN]
    assert watchdog.mode is Mode.RUNNING


@pytest.mark.parametrize("ahead", [0.5, 1e6, np.inf])
def test_an_action_from_the_future_counts_as_now(ahead: float) -> None:
    watchdog, events = watchdog_in(Mode.ARMED)
    watchdog.accept_action(1, 10.0 + ahead, np.zeros(2))
    watchdog.check_age(10.0)
    assert watchdog.mode is Mode.RUNNING
    deadline = FAMILY.limits.deadline
    watchdog.check_age(10.0 + 1.01 * deadline)
    assert watchdog.mode is Mode.HOLD
    watchdog.check_age(10.0 + 1.01 * deadline * watchdog.config.silent_deadlines)
    assert events == [Event.STALE, Event.SILENT]


@pytest.mark.parametrize("stamp", [np.nan, -np.inf])
def test_an_action_without_an_age_is_a_fault(stamp: float) -> None:
    watchdog, events = watchdog_in(Mode.ARMED)
    watchdog.accept_action(1, stamp, np.zeros(2))
    watchdog.check_age(10.0)
    assert events == [Event.SILENT]
