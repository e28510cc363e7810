"""Letting go after a fault: the setpoint goes back to where the joints were measured."""

import numpy as np

from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, JointState, Setpoint

GAIN = 10.0  # 1/s, of the approach; ours: nine tenths of the way within 0.3 s
BRAKING_SHARE = 0.5  # of the acceleration limit, so that the gate can follow without overshoot
ARRIVED_TOLERANCE = 1e-3  # rad
DURATION = 2.0  # s; ours: then the driver is stopped, however far the setpoint came
STANDS = 0.02  # rad/s, below which a measured joint stands; a Dynamixel servo's own unit is 0.024
ROUNDING = 1e-6  # share of a torque limit: an upright axis carries no weight, but for rounding


class Retreat:
    """The way of one arm's setpoint out of an obstacle; like every command it passes the gate.

    The joints have just come this way, so it is free.
    """

    def __init__(self, limits: Limits, kinematics: Kinematics) -> None:
        """Begin without a goal: nothing is in the way."""
        self.limits = limits
        self._kinematics = kinematics
        self._goal: Array | None = None  # (j,) rad
        self._ends = np.inf  # s
        self._remaining = 0.0  # rad, of the farthest joint

    @property
    def has_begun(self) -> bool:
        """Whether there is a goal."""
        return self._goal is not None

    def cancel(self) -> None:
        """Forget the goal: nothing is in the way any more."""
        self._goal = None

    def __call__(self, setpoint: Setpoint, measured: Array, overloaded: bool, now: float) -> Array:
        """Joint velocities (1, j) rad/s for the gate.

        The goal is where the joints are measured when the retreat begins. While a torque is above
        its limit the joints are still pushed: the goal follows them.

        Near the goal the speeds fall in proportion to the distance d. Far from it they stay below
        √(2·a·d), from which the joint can brake with the acceleration a.

        Args:
            setpoint: the gate's, of one arm.
            measured: (j,) rad.
            overloaded: whether a joint's torque is above its limit.
            now: s.
        """
        if self._goal is None:
            self._ends = now + DURATION
        if self._goal is None or overloaded:
            # a setpoint that is outside the limits, as of a move, is not pulled inside
            low = np.minimum(self.limits.q_low, setpoint.q[0])
            high = np.maximum(self.limits.q_high, setpoint.q[0])
            self._goal = np.clip(measured, low, high)
        way = self._goal - setpoint.q[0]
        distance = np.abs(way)
        self._remaining = float(distance.max())
        braking = BRAKING_SHARE * self.limits.ddq
        speed = np.minimum(GAIN * distance, np.sqrt(2 * braking * distance))
        speed[distance < ARRIVED_TOLERANCE] = 0.0
        velocity: Array = np.sign(way) * speed
        return velocity[None]

    def lean_off(self, setpoint: Setpoint, state: JointState, now: float) -> Array:
        """The same after a fault without contact, once the setpoint stands.

        Only joints that lean on something go back. One that sags under its weight keeps its
        setpoint, or it would sink a little with every fault; so does one that still moves.
        """
        if self._goal is not None:  # it was chosen when this began
            return self(setpoint, state.q, False, now)
        held = setpoint.q[0]
        weight = self._kinematics.gravity(state.q[None])[0]  # (j,) N·m that hold the arm up
        weight[np.abs(weight) < ROUNDING * self.limits.tau] = 0.0
        sags = (held - state.q) * weight > 0
        stands = np.abs(state.dq) < STANDS
        # of an arm whose URDF has no masses it is not known what sags
        leans = stands & ~sags & weight.any()
        return self(setpoint, np.where(leans, state.q, held), False, now)

    def ended(self, standing: bool, now: float) -> bool:
        """Whether a ``standing`` setpoint is at the goal, if there is one, or time is up."""
        if self._goal is None:
            return standing
        arrived = self._remaining < ARRIVED_TOLERANCE
        return now > self._ends or (standing and arrived)
