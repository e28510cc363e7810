"""Letting go after a fault of contact: the setpoint goes back to where the joints were measured."""

import numpy as np

from robots.arm import Limits
from robots.signals import Array, Setpoint

GAIN = 10.0  # 1/s, of the approach; ours: nine tenths of the way within 0.3 s
BRAKING_SHARE = 0.5  # of the acceleration limit, so that the gate can follow without overshoot
ARRIVED_TOLERANCE = 1e-3  # rad
DURATION = 2.0  # s; ours: then the driver is stopped, however far the setpoint came


class Retreat:
    """The way of one arm's setpoint out of an obstacle; like every command it passes the gate.

    The joints have just come this way, so it is free.
    """

    def __init__(self, limits: Limits, q: Array, now: float) -> None:
        """Go to ``q`` (j,) rad, the measured positions, from ``now`` s on."""
        self.limits = limits
        self.ends = now + DURATION  # s
        self.follow(q)

    def follow(self, q: Array) -> None:
        """Go to ``q`` (j,) rad instead: the joints were pushed further."""
        self.goal = np.clip(q, self.limits.q_low, self.limits.q_high)

    def __call__(self, setpoint: Setpoint) -> Array:
        """Joint velocities (1, j) rad/s for the gate.

        Near the goal they fall in proportion to the distance d. Far from it they stay below
        √(2·a·d), from which the joint can brake with the acceleration a.
        """
        way = self.goal - setpoint.q[0]
        distance = np.abs(way)
        braking = BRAKING_SHARE * self.limits.ddq
        speed = np.minimum(GAIN * distance, np.sqrt(2 * braking * distance))
        speed[distance < ARRIVED_TOLERANCE] = 0.0
        velocity: Array = np.sign(way) * speed
        return velocity[None]

    def arrived(self, setpoint: Setpoint) -> bool:
        """Whether the setpoint is where the joints were measured."""
        distance = np.abs(self.goal - setpoint.q[0])
        return bool(distance.max() < ARRIVED_TOLERANCE)
