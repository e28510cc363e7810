"""Letting go after a fault: the setpoint moves back to the measured joint positions."""

import numpy as np

from hw_interface.control.pressing import STANDS, PressingJoints
from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, JointState, Setpoint

GAIN = 10.0  # 1/s, of the approach; ours: nine tenths of the distance within 0.3 s
BRAKING_SHARE = 0.5  # of the acceleration limit, so that the gate can follow without overshoot
ARRIVED_TOLERANCE = 1e-4  # rad; ours: a load sinks by at most this much with each stop
SETTLING = 0.5  # s; ours: soft servos arrive within 0.2 s after their setpoint
DURATION = 2.0  # s; ours: then the driver is stopped, wherever the setpoint is
# s after the first test, within which the joints may be tested again; ours: the longest test takes
# this long, and with ``SETTLING`` and ``DURATION`` it stays below ``QUIT_TIMEOUT``
JUDGE_AGAIN = 1.5


class Retreat:
    """Moves one arm's setpoint back from an obstacle; like every command it passes the gate.

    The joints have just come this way, so the way is free, unless something follows the arm: a
    person, or an object on a spring.
    """

    def __init__(self, limits: Limits, kinematics: Kinematics, holds_weight: bool = False) -> None:
        """Begin without a goal: no contact is known; ``holds_weight``: see ``Capabilities``."""
        self.limits = limits
        self._kinematics = kinematics
        self._holds_weight = holds_weight
        self._goal: Array | None = None  # (j,) rad, after a fault of contact
        self._judge_by: float | None = None  # s, after any other fault
        self._pressing: PressingJoints | None = None  # once the joints are judged
        self._ends = np.inf  # s
        self._remaining = 0.0  # rad, of the farthest joint

    @property
    def has_begun(self) -> bool:
        """Whether the retreat has begun."""
        return self._goal is not None or self._judge_by is not None

    def cancel(self) -> None:
        """End the retreat and forget its goal."""
        self._goal = None
        self._judge_by = None
        self._pressing = None

    def __call__(self, setpoint: Setpoint, measured: Array, overloaded: bool, now: float) -> Array:
        """Joint velocities (1, j) rad/s for the gate.

        The goal is the measured position at the beginning of the retreat. While a torque is above
        its limit, something still pushes the joints, and the goal follows them.

        Args:
            setpoint: the gate's, of one arm.
            measured: (j,) rad.
            overloaded: whether a joint's torque is above its limit.
            now: s.
        """
        if self._goal is None:
            self._ends = now + DURATION
        if self._goal is None or overloaded:
            self._goal = measured
        return self._approach(setpoint, self._goal)

    def release_contact(self, setpoint: Setpoint, state: JointState, now: float) -> Array:
        """The same without a fault of contact, once the setpoint is at rest: ``PressingJoints``.

        The joints are tested once they are at rest too, or after ``SETTLING``. If one pressed, they
        are tested again at the end: joints that press with the same tool also hold each other.
        """
        held = setpoint.q[0]
        if self._judge_by is None:
            self._judge_by = now + SETTLING
            self._ends = self._judge_by + JUDGE_AGAIN + DURATION
        if self._pressing is None:
            moves = bool((np.abs(state.dq) > STANDS).any())
            if moves and now < self._judge_by:
                self._remaining = np.inf
                return np.zeros_like(setpoint.q)
            self._pressing = PressingJoints(
                self.limits, self._kinematics, held, state, self._holds_weight
            )
        goal = self._pressing.goal(held, state.q)
        velocity = self._approach(setpoint, goal)
        arrived = self._remaining < ARRIVED_TOLERANCE
        has_time = now + DURATION < self._ends
        if arrived and has_time and self._pressing.found:
            self._pressing = None
            self._judge_by = now + SETTLING
            self._remaining = np.inf
        return velocity

    def _approach(self, setpoint: Setpoint, goal: Array) -> Array:
        """Joint velocities (1, j) rad/s towards a goal (j,) rad.

        Near it the speeds fall in proportion to the distance d. Far from it they stay below
        √(2·a·d), from which the joint can brake with the acceleration a.
        """
        here = setpoint.q[0]
        # a setpoint that is outside the limits, as of a move, is not pulled inside
        low = np.minimum(self.limits.q_low, here)
        high = np.maximum(self.limits.q_high, here)
        way = np.clip(goal, low, high) - here
        distance = np.abs(way)
        self._remaining = float(distance.max())
        braking = BRAKING_SHARE * self.limits.ddq
        speed = np.minimum(GAIN * distance, np.sqrt(2 * braking * distance))
        speed[distance < ARRIVED_TOLERANCE] = 0.0
        velocity: Array = np.sign(way) * speed
        return velocity[None]

    def ended(self, standing: bool, now: float) -> bool:
        """Whether a ``standing`` setpoint is at the goal, if there is one, or time is up."""
        if not self.has_begun:
            return standing
        arrived = self._remaining < ARRIVED_TOLERANCE
        return now > self._ends or (standing and arrived)
