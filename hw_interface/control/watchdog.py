"""The reaction to faults: one state machine without clocks or hardware.

DISCONNECTED -> IDLE -> ARMED -> RUNNING <-> HOLD -> FAULT (latched), and EXTERNAL_STOP (latched).
docs/safety.md has the table of faults.
"""

from dataclasses import dataclass

import numpy as np

from hw_interface.control.events import CONTACT, UNTRUSTED, Event, Mode, Report
from hw_interface.control.measurements import MeasurementConfig, Measurements
from robots.arm import Limits
from robots.signals import Array, Condition, JointState, Verdict


@dataclass(frozen=True)
class WatchdogConfig(MeasurementConfig):
    """When a disturbance becomes a fault."""

    max_bad_actions: int = 3  # actions in a row that are not finite; three are common practice
    silent_deadlines: float = 4.0  # deadlines without an action, after which a hold is a fault
    object_timeout: float = 0.25  # s, largest age of a pose; ours: seven frames of a 30 Hz camera
    overrun: float = 0.1  # s that the control loop may be late
    # Distances of an observation from the middle of its range, in half ranges; random actions in
    # simulation stay within 3 (tests/contracts/test_families.py), degrees for radians are at 57.
    unusual: float = 3.0  # the arm is slowed down beyond it
    far: float = 10.0  # the arm stops beyond it
    stall: float = 0.02  # s without a tick; ours: by then a servo has reached its last command


class Watchdog:
    """Checks actions and measurements; the controller obeys its ``mode``."""

    def __init__(
        self, limits: Limits, config: WatchdogConfig, report: Report, measurements: Measurements
    ) -> None:
        """``report`` is called once for every event; ``measurements`` checks the readings."""
        self.limits = limits
        self.config = config
        self.mode = Mode.DISCONNECTED
        self._report = report
        self._mode_after_release: Mode | None = None  # set while an operator holds the arm
        self._last_action_stamp = 0.0  # s, of the observation that the newest action answers
        self._last_arrival = 0.0  # s, arrival time of the newest action
        self._last_action_seq = 0
        self._object_stamp = -np.inf  # s, of the newest pose, on the tracker's clock
        self._object_arrival = 0.0  # s, arrival time of the newest pose, on our clock
        self.cause: Event | None = None  # of the newest fault or external stop
        self._bad_actions = 0
        self._unusual = False  # whether the newest observation was unusual
        self.leaving = False  # whether the arm is coming to rest because the process ends
        self.measurements = measurements

    def _reset_counters(self) -> None:
        self._bad_actions = 0
        self.measurements.reset()

    @property
    def in_episode(self) -> bool:
        """Whether actions are expected: ARMED, RUNNING or HOLD."""
        return self.mode in (Mode.ARMED, Mode.RUNNING, Mode.HOLD)

    @property
    def latched(self) -> bool:
        """Whether the present mode can only be left by ``clear``."""
        return self.mode in (Mode.FAULT, Mode.EXTERNAL_STOP)

    @property
    def operator_hold(self) -> bool:
        """Whether an operator holds the arm."""
        return self._mode_after_release is not None

    @property
    def in_contact(self) -> bool:
        """Whether the fault is a contact to release, with readings that have not jumped."""
        contact = self.mode is Mode.FAULT and self.cause in CONTACT
        return contact and not self.measurements.jumped

    @property
    def may_release_contact(self) -> bool:
        """Whether the arm is coming to rest, with readings that its setpoint may move back to."""
        in_fault = self.mode is Mode.FAULT
        comes_to_rest = in_fault or (self.leaving and not self.latched)
        in_doubt = self.measurements.jumped or (in_fault and self.cause in UNTRUSTED)
        return comes_to_rest and not in_doubt

    @property
    def flags(self) -> int:
        """The verdict flags of the mode."""
        if self.latched:
            return int(Verdict.FAULT | Verdict.STOPPED)
        return int(Verdict.HELD) if self.mode is Mode.HOLD else 0

    def arm(self, now: float) -> None:
        """IDLE -> ARMED: follow actions from now on, not earlier ones."""
        self.mode = Mode.ARMED
        self._last_action_stamp = now
        self._last_arrival = now
        self._reset_counters()

    def accept_action(
        self,
        seq: int,
        stamp: float,
        action: Array,
        taken: float | None = None,
        continues: bool = False,
    ) -> bool:
        """Check an action; returns whether it is to be followed.

        Args:
            seq: its sequence number.
            stamp: s, of the observation that it answers.
            action: (a,)
            taken: s, its arrival time; None: its stamp.
            continues: whether it repeats an earlier decision; it is then followed in RUNNING only.
        """
        taken = stamp if taken is None else taken
        if seq <= self._last_action_seq:
            self._report(Event.OUT_OF_ORDER, seq)
            return False
        self._last_action_seq = seq
        self._last_action_stamp = taken if stamp > taken else stamp
        self._last_arrival = taken
        if not np.isfinite(action).all():
            self._count_bad_action()
            return False
        self._bad_actions = 0
        if not self.in_episode or self.operator_hold:
            return False
        too_old = taken - stamp > self.limits.deadline
        if too_old or (continues and self.mode is not Mode.RUNNING):
            return False
        self.mode = Mode.RUNNING
        return True

    def check_observation(self, distance: float) -> float:
        """Check how far an observation lies outside its range; NaN is a fault.

        Args:
            distance: in half ranges, see ``range_distance``.

        Returns:
            The share of the action's velocities to follow; it falls with the distance.
        """
        unusual = not distance <= self.config.unusual
        if not distance <= self.config.far:
            self.fault(Event.OBSERVATION_FAR, distance)
        elif unusual and not self._unusual:
            self._report(Event.OBSERVATION_UNUSUAL, distance)
        self._unusual = unusual
        return self.config.unusual / distance if unusual else 1.0

    def _count_bad_action(self) -> None:
        self._bad_actions += 1
        too_many = self._bad_actions >= self.config.max_bad_actions
        if too_many and not self.latched:
            self.fault(Event.ACTION_NOT_FINITE, self._bad_actions)
            return
        self._report(Event.ACTION_NOT_FINITE, self._bad_actions)
        if self.in_episode:
            self.mode = Mode.HOLD

    def check_age(self, now: float) -> None:
        """Hold if the observation is old, fault after a long silence; not in an operator's hold."""
        if self.mode not in (Mode.RUNNING, Mode.HOLD) or self.operator_hold:
            return
        # a stamp in the future, which would never become old, counts as now
        self._last_action_stamp = min(self._last_action_stamp, now)
        self._last_arrival = min(self._last_arrival, now)
        age = now - self._last_action_stamp
        silence = now - self._last_arrival
        if np.isnan(age) or silence > self.config.silent_deadlines * self.limits.deadline:
            self.fault(Event.SILENT, silence)
        elif age > self.limits.deadline and self.mode is Mode.RUNNING:
            self.mode = Mode.HOLD
            self._report(Event.STALE, age)

    def check_state(self, state: JointState, setpoint: Array | None) -> None:
        """Check one measurement.

        Args:
            state: the driver's newest reading.
            setpoint: (j,) rad; None while the driver is stopped and the arm need not be ready.
        """
        if not (np.isfinite(state.q).all() and np.isfinite(state.dq).all()):
            self.fault(Event.MEASUREMENT_NOT_FINITE)
            return
        found = self.measurements
        found.take(state, setpoint)
        self._report_measurements(state)
        disabled = state.condition is Condition.DISABLED and setpoint is not None
        if state.condition is Condition.EXTERNAL_STOP:
            self._external_stop()
        elif state.condition is Condition.ERROR or disabled:
            self.fault(Event.ARM_ERROR)
        elif found.link_lost:
            self.fault(Event.LINK_LOST, state.stamp)
        elif found.tracking_ticks >= self.config.tracking_ticks:
            self.fault(Event.NOT_TRACKING, found.tracking_error)
        elif found.torque_ticks >= found.overload_ticks:
            self.fault(Event.TORQUE_LIMIT, float(np.nanmax(found.load)))
        elif found.force_ticks >= found.overload_ticks:
            self.fault(Event.FORCE_LIMIT, found.force)
        elif found.position_ticks >= self.config.limit_ticks:
            self.fault(Event.POSITION_LIMIT, found.excess)
        elif found.speed_ticks >= self.config.limit_ticks:
            self.fault(Event.SPEED_LIMIT, found.speed)

    def _report_measurements(self, state: JointState) -> None:
        """Report problems with the measurements that are not faults."""
        wild = self.measurements.wild_to_report()
        if wild:
            self._report(Event.WILD_READINGS, wild)
        silent = self.measurements.torque_lost_for(state)
        if silent:
            self._report(Event.TORQUE_UNKNOWN, silent)
        silent = self.measurements.force_lost_for(state)
        if silent:
            self._report(Event.FORCE_UNKNOWN, silent)

    def _external_stop(self) -> None:
        if self.mode is not Mode.EXTERNAL_STOP:
            self.mode = Mode.EXTERNAL_STOP
            self.cause = Event.ARM_STOPPED
            self._mode_after_release = None
            self._report(Event.ARM_STOPPED, 0.0)

    def check_object(self, state: Array, stamp: float, age: float, now: float) -> bool:
        """Check a tracked pose and velocity (13,); returns whether it is current.

        Args:
            state: pose and twist, NaN where the tracker failed.
            stamp: s, the tracker's clock.
            age: s, since the measurement, as the tracker says; a negative one counts as 0.
            now: s, our clock.
        """
        if not np.isfinite(state).all():
            self.pause(Event.OBJECT_LOST)
            return False
        if stamp != self._object_stamp:  # not ``>``: the tracker's clock may restart
            self._object_stamp = stamp
            self._object_arrival = now
        age = max(now - self._object_arrival, age)
        if age > self.config.object_timeout:
            self.pause(Event.OBJECT_STALE, age)
        return age <= self.config.object_timeout

    def pause(self, event: Event, detail: float = 0.0) -> None:
        """RUNNING -> HOLD until the next fresh action; an arm that is ARMED is at rest already."""
        if self.mode is Mode.RUNNING:
            self.mode = Mode.HOLD
            self._report(event, detail)

    def hold(self) -> None:
        """Operator: brake, and follow no action until ``release``."""
        if self.operator_hold:
            return
        if self.mode in (Mode.IDLE, Mode.ARMED):
            self._mode_after_release = self.mode
        elif self.in_episode:
            self._mode_after_release = Mode.HOLD
        else:
            return
        self.mode = Mode.HOLD
        self._report(Event.OPERATOR_HOLD, 0.0)

    def release(self, now: float) -> None:
        """Operator: end the hold. In an episode the next action resumes, else the arm is idle."""
        if self._mode_after_release is not None:
            self.mode = self._mode_after_release
            self._mode_after_release = None
            self._last_action_stamp = now
            self._last_arrival = now
            self._report(Event.RELEASED, 0.0)

    def end_episode(self) -> None:
        """Follow no action until armed again."""
        if self.operator_hold:
            self._mode_after_release = Mode.IDLE
        elif self.in_episode:
            self.mode = Mode.IDLE

    def fault(self, event: Event, detail: float = 0.0) -> None:
        """Latch FAULT, which only ``clear`` leaves, and report its cause."""
        if self.latched:
            return
        self.mode = Mode.FAULT
        self.cause = event
        self._mode_after_release = None
        self._report(event, detail)

    def clear(self) -> None:
        """Operator: latched -> IDLE. Nothing moves until the next episode begins."""
        if self.latched:
            self.mode = Mode.IDLE
            self._reset_counters()
            self._report(Event.CLEARED, 0.0)
