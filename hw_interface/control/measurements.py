"""Checks of an arm's measurements, reading by reading; the watchdog decides on the reaction."""

from dataclasses import dataclass, replace

import numpy as np

from hw_interface.control.silence import Silence
from robots.arm import Limits
from robots.driver import Capabilities
from robots.signals import Array, JointState


@dataclass(frozen=True)
class MeasurementConfig:
    """When a reading is rejected, and when it is a fault; the numbers are our own choice."""

    frozen_readings: int = 3  # readings in a row whose stamp did not advance
    jump: float = 0.1  # rad, tolerance on top of what a joint can move between two readings
    # implausible readings in a row that agree and are then accepted; in all, that are then reported
    wild_readings: int = 3
    tracking_error: float = 0.15  # rad between setpoint and joint
    tracking_ticks: int = 5  # in a row
    # s for which all readings of a torque or force are above the limit: longer than an impact. A
    # strike in the family slide lasts 0.03 s, its force a third of that
    overload: float = 0.04
    # share of a torque or force limit above which an arm at rest presses against something: their
    # own weight takes at most 0.6 of our arms' torque limits, in any pose
    pressing: float = 0.8
    position_margin: float = 0.05  # rad beyond a limit: an arm under load sags by less
    speed_margin: float = 1.5  # multiple of the limit: a joint that catches up may exceed it
    limit_ticks: int = 5  # in a row beyond a margin
    # s without torque from a joint that has measured it, or without a promised wrench
    torque_timeout: float = 1.0


class Measurements:
    """Counts implausible and excessive readings of one arm.

    ``believed`` is the newest plausible reading; a single implausible (wild) one is left out.
    """

    believed: JointState | None = None

    def __init__(
        self,
        limits: Limits,
        config: MeasurementConfig,
        capabilities: Capabilities,
        tool_joints: int | None = None,
    ) -> None:
        """Begin without a reading.

        Args:
            limits: of the arm.
            config: what is tolerated.
            capabilities: the arm's rate, and what it measures.
            tool_joints: how many joints move the tool; None: all. A gripper's fingers come after
                them; their motion is not checked, because an object in the grasp may move them, nor
                whether they press, which they are for.
        """
        self.limits = limits
        self._checked = slice(tool_joints)
        self.config = config
        ticks = round(config.overload / capabilities.dt)
        self.overload_ticks = max(1, ticks)  # ticks of overload in a row that are a fault
        joints = len(limits.dq)
        self.tracking_error = 0.0  # rad, the largest of the newest reading
        self.load = np.zeros(joints)  # torque as a share of its limit
        self.force = 0.0  # N, at the tool; NaN where none is measured
        self.excess = 0.0  # rad, the farthest beyond a position limit
        self.speed = 0.0  # the largest as a share of its limit
        self.jumped = False  # whether a reading was accepted that no motion can explain
        self._wild: JointState | None = None  # the previous reading, if it was not believed
        self._wild_in_row = 0
        self._wild_unreported = 0
        self._no_torque = Silence(np.zeros(joints, dtype=bool), config.torque_timeout)
        self._no_force = Silence(np.array([capabilities.wrench]), config.torque_timeout)
        self.reset()

    def reset(self) -> None:
        """Reset all counters."""
        self.frozen_readings = 0  # these counters are of readings in a row
        self.tracking_ticks = 0
        self.torque_ticks = 0
        self.force_ticks = 0
        self.pressing_ticks = 0
        self.position_ticks = 0
        self.speed_ticks = 0
        self._stamp = -np.inf  # s, the newest stamp of the arm's controller

    @property
    def link_lost(self) -> bool:
        """Whether the controller's stamp has stopped: commands may not arrive, or arrive late."""
        return self.frozen_readings >= self.config.frozen_readings

    @property
    def torque_exceeded(self) -> bool:
        """Whether a joint's torque is above its limit in the newest reading."""
        return bool((self.load > 1).any())  # False for NaN

    @property
    def force_exceeded(self) -> bool:
        """Whether the force at the tool is above its limit in the newest reading."""
        return self.force > self.limits.force  # False for NaN

    @property
    def overloaded(self) -> bool:
        """Whether a torque or the force is above its limit in the newest reading."""
        return self.torque_exceeded or self.force_exceeded

    @property
    def presses(self) -> bool:
        """Whether a load above that of the arm's weight has lasted longer than an impact."""
        return self.pressing_ticks >= self.overload_ticks

    def take(self, state: JointState, setpoint: Array | None) -> None:
        """Check a finite reading; ``setpoint`` (j,) rad is None while the driver is stopped."""
        advanced = state.stamp > self._stamp
        self.frozen_readings = 0 if advanced else self.frozen_readings + 1
        self._choose(state)
        self._stamp = max(self._stamp, state.stamp)
        commanded = setpoint is not None
        self._check_tracking(state.q, setpoint)
        self._check_position(state.q, setpoint)
        speeds = np.abs(state.dq) / self.limits.dq
        self.speed = float(speeds[self._checked].max())
        too_fast = commanded and self.speed > self.config.speed_margin
        self.speed_ticks = _count(self.speed_ticks, too_fast)
        self._check_loads(state, commanded)

    def _choose(self, state: JointState) -> None:
        """Accept the reading, or keep the last accepted one."""
        last = self.believed
        if last is None or (self._is_near(state, last) and self._is_slow(state)):
            self._believe(state)
            return
        self._wild_unreported += 1
        agrees = self._wild is not None and self._is_near(state, self._wild)
        self._wild_in_row = self._wild_in_row + 1 if agrees else 1
        self._wild = state
        if self._wild_in_row >= self.config.wild_readings:
            self.jumped = True
            self._believe(state)
        else:
            self.believed = replace(last, condition=state.condition)

    def begin_at(self, state: JointState) -> None:
        """Accept a reading without checks: the arm is enabled there."""
        self.jumped = False
        self._believe(state)

    def _believe(self, state: JointState) -> None:
        self.believed = state
        self._wild = None
        self._wild_in_row = 0

    def _is_near(self, state: JointState, last: JointState) -> bool:
        """Whether the joints can have moved from one reading to the other."""
        elapsed = max(0.0, state.stamp - last.stamp)  # s
        fastest = self.config.speed_margin * self.limits.dq
        reach = self.config.jump + fastest * elapsed  # rad
        is_near = np.abs(state.q - last.q) <= reach
        return bool(is_near[self._checked].all())

    def _is_slow(self, state: JointState) -> bool:
        """Whether the measured joint velocities are plausible."""
        fastest = self.config.speed_margin * self.limits.dq
        is_slow = np.abs(state.dq) <= fastest
        return bool(is_slow[self._checked].all())

    def _check_tracking(self, q: Array, setpoint: Array | None) -> None:
        """Count ticks far from the setpoint."""
        self.tracking_error = 0.0
        if setpoint is not None:
            error = np.abs(q - setpoint)
            self.tracking_error = float(error[self._checked].max())
        far = self.tracking_error > self.config.tracking_error
        self.tracking_ticks = _count(self.tracking_ticks, far)

    def _check_position(self, q: Array, setpoint: Array | None) -> None:
        """Count ticks beyond a position limit, or beyond a setpoint that is itself outside it."""
        self.excess = 0.0
        if setpoint is not None:
            low = np.minimum(self.limits.q_low, setpoint)
            high = np.maximum(self.limits.q_high, setpoint)
            beyond = np.maximum(low - q, q - high)
            self.excess = float(beyond[self._checked].max())
        outside = self.excess > self.config.position_margin
        self.position_ticks = _count(self.position_ticks, outside)

    def _check_loads(self, state: JointState, commanded: bool) -> None:
        """Count ticks with too much torque or force; NaN is never too much."""
        self.load = np.abs(state.tau) / self.limits.tau
        self.force = float(np.linalg.norm(state.wrench[:3]))

        torque_exceeded = commanded and self.torque_exceeded
        force_exceeded = commanded and self.force_exceeded
        self.torque_ticks = _count(self.torque_ticks, torque_exceeded)
        self.force_ticks = _count(self.force_ticks, force_exceeded)

        share = self.config.pressing
        checked = self.load[self._checked]
        torque_presses = bool((checked > share).any())
        force_presses = self.force > share * self.limits.force
        pressing = commanded and (torque_presses or force_presses)
        self.pressing_ticks = _count(self.pressing_ticks, pressing)

    def wild_to_report(self) -> int:
        """How many readings were rejected since the last report, once there are several."""
        count = self._wild_unreported
        if count < self.config.wild_readings:
            return 0
        self._wild_unreported = 0
        return count

    def torque_lost_for(self, state: JointState) -> float:
        """For how long, s, a joint has no longer measured torque; a loss is returned once."""
        return self._no_torque.newly_lost_for(np.isfinite(state.tau), state.stamp)

    def force_lost_for(self, state: JointState) -> float:
        """For how long, s, the force at the tool was no longer measured; returned once."""
        measured = np.isfinite(state.wrench[:3]).all()
        return self._no_force.newly_lost_for(np.array([measured]), state.stamp)


def _count(ticks: int, wrong: bool) -> int:
    """Ticks in a row in which something is wrong."""
    return ticks + 1 if wrong else 0
