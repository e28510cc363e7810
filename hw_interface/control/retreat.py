"""Release of a contact after a fault: the setpoint moves back to the measured positions."""

from dataclasses import replace

import numpy as np

from hw_interface.control.pressing import STANDS, PressingJoints
from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, JointState, Setpoint

GAIN = 10.0  # 1/s, of the approach; ours: 90 % of the distance within 0.3 s
BRAKING_SHARE = 0.5  # share of the acceleration limit, so that the gate follows without overshoot
ARRIVED_TOLERANCE = 1e-4  # rad; ours: a load sinks by at most this much with each stop
SETTLING = 0.5  # s, for the joints to come to rest; ours: soft servos need 0.2 s
DURATION = 2.0  # s; ours: then the driver is stopped, wherever the setpoint is
# s after the first test within which the joints may be tested again; ours: the longest test takes
# this long, and together with ``SETTLING`` and ``DURATION`` it stays below ``QUIT_TIMEOUT``
TEST_AGAIN = 1.5


class Retreat:
    """Moves one arm's setpoint back from an obstacle; like every command it passes the gate.

    The joints have just moved along this path, so it is free, unless something follows the arm: a
    person, or an object on a spring.
    """

    def __init__(self, limits: Limits, kinematics: Kinematics, holds_weight: bool = False) -> None:
        """Create it without a goal: no contact is known.

        Args:
            limits: of the arm.
            kinematics: of the arm, with its masses.
            holds_weight: see ``Capabilities``.
        """
        self.limits = limits
        # A gripper comes after these; it keeps its setpoint, and so what it holds.
        self._tool_joints = len(kinematics.arm.tool_joints)
        self._kinematics = kinematics
        self._holds_weight = holds_weight
        self._goal: Array | None = None  # (j,) rad, after a fault of contact
        self._test_by: float | None = None  # s, after any other fault: when to test at the latest
        self._pressing: PressingJoints | None = None  # the test; None before it
        self._ends = np.inf  # s, when the retreat ends at the latest
        self._remaining = 0.0  # rad to the goal, of the farthest joint

    @property
    def has_begun(self) -> bool:
        """Whether the retreat has begun."""
        return self._goal is not None or self._test_by is not None

    def cancel(self) -> None:
        """End the retreat and forget its goal."""
        self._goal = None
        self._test_by = None
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
        measured = self._with_grip(setpoint, measured)
        if self._goal is None:
            self._ends = now + DURATION
        if self._goal is None or overloaded:
            self._goal = measured
        return self._approach(setpoint, self._goal)

    def release_contact(self, setpoint: Setpoint, state: JointState, now: float) -> Array:
        """Joint velocities (1, j) rad/s after other faults, once the setpoint is at rest.

        The joints are tested (``PressingJoints``) once they are at rest too, or after ``SETTLING``.
        If one of them pressed, all are tested again at the end: joints that press with the same
        tool also hold each other.

        Args:
            setpoint: the gate's, of one arm.
            state: the newest reading.
            now: s.
        """
        held = setpoint.q[0]
        state = replace(state, q=self._with_grip(setpoint, state.q))
        if self._test_by is None:
            self._test_by = now + SETTLING
            self._ends = self._test_by + TEST_AGAIN + DURATION
        if self._pressing is None:
            moves = bool((np.abs(state.dq) > STANDS).any())
            if moves and now < self._test_by:
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
            self._test_by = now + SETTLING
            self._remaining = np.inf
        return velocity

    def _with_grip(self, setpoint: Setpoint, measured: Array) -> Array:
        """Measured positions (j,), but of a gripper its setpoint, at which it stays."""
        kept = measured.copy()
        kept[self._tool_joints :] = setpoint.q[0, self._tool_joints :]
        return kept

    def _approach(self, setpoint: Setpoint, goal: Array) -> Array:
        """Joint velocities (1, j) rad/s towards a goal (j,) rad.

        Near the goal the speed is proportional to the distance d. Farther away it is at most
        √(2·a·d), from which the joint can brake with the acceleration a.
        """
        q = setpoint.q[0]
        # a setpoint outside the limits, as in a move, need not return inside them
        low = np.minimum(self.limits.q_low, q)
        high = np.maximum(self.limits.q_high, q)
        displacement = np.clip(goal, low, high) - q
        distance = np.abs(displacement)
        self._remaining = float(distance.max())
        braking = BRAKING_SHARE * self.limits.ddq
        speed = np.minimum(GAIN * distance, np.sqrt(2 * braking * distance))
        speed[distance < ARRIVED_TOLERANCE] = 0.0
        velocity: Array = np.sign(displacement) * speed
        return velocity[None]

    def ended(self, standing: bool, now: float) -> bool:
        """Whether the retreat is over: at rest at the goal, if there is one, or out of time.

        Args:
            standing: whether the setpoint is at rest.
            now: s.
        """
        if not self.has_begun:
            return standing
        arrived = self._remaining < ARRIVED_TOLERANCE
        return now > self._ends or (standing and arrived)
