"""What is done when something is wrong: one state machine, one table of faults, no clocks and no hardware inside.

DISCONNECTED -> IDLE -> ARMED -> RUNNING <-> HOLD -> FAULT (latched), and EXTERNAL_STOP (latched)
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from robots.arm import Limits
from robots.signals import Array, Condition, JointState


class Mode(IntEnum):
    """The states; only RUNNING follows the policy."""

    DISCONNECTED = 0
    IDLE = 1
    ARMED = 2  # driver enabled, at rest, no action yet
    RUNNING = 3
    HOLD = 4  # braking to, or at, a standstill; a fresh action resumes, unless an operator holds it
    FAULT = 5  # latched: standstill, where the arm can still be told, then nothing more is written
    EXTERNAL_STOP = 6  # latched: the arm's own safety controller has stopped it


class Event(IntEnum):
    """What happened; the detail beside it is a number."""

    NOT_FINITE = 1  # an action with NaN or infinity: dropped; detail: how many in a row
    OUT_OF_ORDER = 2  # an action older than the last: dropped; detail: its number
    STALE = 3  # no action within the deadline: hold; detail: age s
    SILENT = 4  # none for long: fault; detail: age s
    LINK_LOST = 5  # the controller's stamp does not move: fault; detail: stamp s
    DRIVER_FAILED = 6  # the driver raised: fault
    NOT_TRACKING = 7  # joints far from their setpoint: fault; detail: rad
    ARM_ERROR = 8  # the controller reports an error, or has disabled itself: fault
    ARM_STOPPED = 9  # emergency or protective stop at the arm
    OPERATOR_HOLD = 10  # held until RELEASED
    OPERATOR_STOP = 11  # controlled stop, then fault
    POLICY_DIED = 12  # its process is gone: fault
    NOT_A_NUMBER_READ = 13  # a measurement that is not finite: fault
    OVERRUN = 14  # the servo loop itself was later than its budget: fault; detail: s
    CLEARED = 15  # an operator's word
    OBJECT_LOST = 16  # the tracker failed: hold
    TORQUE = 17  # a joint's torque lies above its limit: fault; detail: as a share of the limit
    RELEASED = 18  # an operator's word after their hold
    OBJECT_STALE = 19  # the tracker repeats an old pose: hold; detail: age s


@dataclass(frozen=True)
class WatchdogConfig:
    """When a disturbance becomes a fault."""

    not_finite: int = 3  # actions in a row (ecosystem practice: the third NaN is no accident)
    silent: float = 4.0  # deadlines without an action, before a hold becomes a fault
    frozen: int = 3  # periods with an unmoved stamp
    tracking: float = 0.15  # rad between setpoint and joint
    tracking_ticks: int = 5  # in a row
    torque_ticks: int = (
        10  # in a row above the limit: ours, longer than a blow and shorter than a push
    )
    unseen: float = 0.25  # s without a new pose of the object: ours, seven of a camera's pictures
    overrun: float = 0.1  # s the servo may be late


class Watchdog:
    """Judges actions and measurements; the servo obeys its ``mode``."""

    def __init__(
        self, limits: Limits, config: WatchdogConfig, report: Callable[[Event, float], None]
    ) -> None:
        """``report`` is told every event once, with its detail."""
        self.limits, self.config, self._report = limits, config, report
        self.mode = Mode.DISCONNECTED
        self._after: Mode | None = None  # held by an operator, and this follows their release
        self._heard = 0.0  # s, when the newest action was posted
        self._number = 0
        self._not_finite = self._unmoved = self._astray = self._pressed = 0
        self._stamp = -np.inf
        self._seen, self._looked = -np.inf, 0.0  # s, the newest pose's own stamp, and when it came

    @property
    def moving(self) -> bool:
        """Whether the policy is in charge."""
        return self.mode in (Mode.ARMED, Mode.RUNNING, Mode.HOLD)

    @property
    def held(self) -> bool:
        """Whether an operator holds the arm."""
        return self._after is not None

    @property
    def cut_off(self) -> bool:
        """Whether the controller's stamp stands still: nobody knows what would come of a command, or when."""
        return self._unmoved >= self.config.frozen

    def arm(self, now: float) -> None:
        """Ready to follow; what was posted before counts for nothing."""
        self.mode, self._heard = Mode.ARMED, now
        self._forget()

    def _forget(self) -> None:
        self._not_finite = self._unmoved = self._astray = self._pressed = 0
        self._stamp = -np.inf

    def accept(self, number: int, stamp: float, action: Array) -> bool:
        """Whether a newly posted action is to be followed."""
        if number <= self._number:
            self._report(Event.OUT_OF_ORDER, number)
            return False
        self._number = number
        if not np.isfinite(action).all():
            self._not_finite += 1
            self._report(Event.NOT_FINITE, self._not_finite)
            if self.moving:
                self.mode = Mode.HOLD
            if self._not_finite >= self.config.not_finite:
                self.fault()
            self._heard = stamp
            return False
        self._not_finite, self._heard = 0, stamp
        if not self.moving or self.held:
            return False
        self.mode = Mode.RUNNING
        return True

    def check_age(self, now: float) -> None:
        """A policy that is late is held; one that is silent is a fault, unless an operator has the arm."""
        if self.mode not in (Mode.RUNNING, Mode.HOLD) or self.held:
            return
        age = now - self._heard
        if (
            not age <= self.config.silent * self.limits.deadline
        ):  # a stamp that is NaN is no news either
            self.fault(Event.SILENT, age)
        elif age > self.limits.deadline and self.mode is Mode.RUNNING:
            self.mode = Mode.HOLD
            self._report(Event.STALE, age)

    def check_state(self, state: JointState, setpoint: Array | None) -> None:
        """A measurement that is not finite, does not move, is astray, presses, or reports a stop.

        ``setpoint`` (j,) rad is None while the driver is told nothing: the arm need not be ready, nor anywhere.
        """
        if not (np.isfinite(state.q).all() and np.isfinite(state.dq).all()):
            return self.fault(Event.NOT_A_NUMBER_READ)
        self._unmoved = 0 if state.stamp > self._stamp else self._unmoved + 1
        self._stamp = max(self._stamp, state.stamp)
        astray = 0.0 if setpoint is None else float(np.abs(state.q - setpoint).max())
        self._astray = self._astray + 1 if astray > self.config.tracking else 0
        share = np.abs(state.tau) / self.limits.tau
        pressed = (
            setpoint is not None and (share > 1).any()
        )  # NaN, of an arm that measures none, is no press
        self._pressed = self._pressed + 1 if pressed else 0
        if state.condition is Condition.EXTERNAL_STOP:
            if self.mode is not Mode.EXTERNAL_STOP:
                self.mode, self._after = Mode.EXTERNAL_STOP, None
                self._report(Event.ARM_STOPPED, 0.0)
        elif state.condition is Condition.ERROR or (
            state.condition is Condition.DISABLED and setpoint is not None
        ):
            self.fault(Event.ARM_ERROR)
        elif self.cut_off:
            self.fault(Event.LINK_LOST, state.stamp)
        elif self._astray >= self.config.tracking_ticks:
            self.fault(Event.NOT_TRACKING, astray)
        elif self._pressed >= self.config.torque_ticks:
            self.fault(Event.TORQUE, np.nanmax(share))
        return None

    def check_object(self, pose: Array, stamp: float, now: float) -> bool:
        """Whether a tracker's pose and velocity (13,) are to be believed; the arm is held where they are not."""
        if not np.isfinite(pose).all():
            self.pause(Event.OBJECT_LOST)
            return False
        if stamp > self._seen:
            self._seen, self._looked = stamp, now
        age = now - self._looked
        if age > self.config.unseen:
            self.pause(Event.OBJECT_STALE, age)
        return age <= self.config.unseen

    def pause(self, event: Event, detail: float = 0.0) -> None:
        """Brake until the next action resumes; who stands, armed, has nothing to brake."""
        if self.mode is Mode.RUNNING:
            self.mode = Mode.HOLD
            self._report(event, detail)

    def hold(self) -> None:
        """An operator's word: brake, and move for nobody until they ``release``."""
        if (self.moving or self.mode is Mode.IDLE) and not self.held:
            self.mode, self._after = Mode.HOLD, Mode.HOLD if self.moving else Mode.IDLE
            self._report(Event.OPERATOR_HOLD, 0.0)

    def release(self, now: float) -> None:
        """An operator's word: back to idle, or in an episode to where the next action resumes."""
        if self._after is not None:
            self.mode, self._after, self._heard = self._after, None, now
            self._report(Event.RELEASED, 0.0)

    def rest(self) -> None:
        """Follow nobody any more, until armed again."""
        if self.held:
            self._after = Mode.IDLE
        elif self.moving:
            self.mode = Mode.IDLE

    def fault(self, event: Event | None = None, detail: float = 0.0) -> None:
        """Latch; only ``clear`` leaves it."""
        if self.mode in (Mode.FAULT, Mode.EXTERNAL_STOP):
            return
        self.mode, self._after = Mode.FAULT, None
        if event is not None:
            self._report(event, detail)

    def clear(self) -> None:
        """An operator's word: back to idle, at rest; nothing moves until armed again."""
        if self.mode in (Mode.FAULT, Mode.EXTERNAL_STOP):
            self.mode = Mode.IDLE
            self._forget()
            self._report(Event.CLEARED, 0.0)
