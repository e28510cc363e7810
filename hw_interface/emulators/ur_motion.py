"""How an emulated Universal Robots controller moves its joints' targets.

Simpler than the real controller: ``servoj`` follows its target through a first-order filter, whose
time constant is the lookahead time. This is about the lag that users measure.
"""

from enum import Enum, auto

import numpy as np

from robots.arm import ArmSpec
from robots.signals import Array


class Motion(Enum):
    """What the joints' targets do."""

    HOLD = auto()
    SERVO = auto()  # follow positions
    SPEED = auto()  # follow velocities
    BRAKE = auto()  # come to rest


class JointTargets:
    """Position and velocity targets of the controller's joints."""

    def __init__(self, arm: ArmSpec, q: Array) -> None:
        """The targets are at rest at ``q`` (j,) rad, of the joints that move the tool."""
        self.q = q.copy()
        self.dq = np.zeros_like(q)
        self.motion = Motion.HOLD
        self.slider = 1.0  # the speed slider: the fraction of every speed that is applied
        self._fastest = arm.limits.dq[: len(q)]  # rad/s, (j,)
        # Motors with a velocity target exert kp (q* - q) + kd (dq* - dq). This equals the torque of
        # servos with the position target q* + (kd / kp) dq* and the damping kd.
        self._lead = (arm.damping / arm.stiffness)[: len(q)]  # s, (j,)
        self._goal = q.copy()  # rad, of SERVO
        self._speed = np.zeros_like(q)  # rad/s, of SPEED
        self._acceleration = 0.0  # rad/s², of SPEED and BRAKE
        self._lookahead = 0.1  # s, of SERVO

    @property
    def motor_targets(self) -> Array:
        """Position targets of the joints' motors, (j,) rad, which include the target velocity."""
        return self.q + self._lead * self.dq

    @property
    def at_rest(self) -> bool:
        """Whether the targets are at rest."""
        return not self.dq.any()

    def servo(self, goal: Array, lookahead: float) -> None:
        """Follow a position (j,) rad; ``lookahead`` is in s."""
        self.motion = Motion.SERVO
        self._goal = goal
        self._lookahead = lookahead

    def speed(self, speed: Array, acceleration: float) -> None:
        """Follow a velocity (j,) rad/s; ``acceleration`` is in rad/s²."""
        self.motion = Motion.SPEED
        self._speed = speed
        self._acceleration = acceleration

    def brake(self, acceleration: float) -> None:
        """Come to rest with ``acceleration`` rad/s²; no effect on targets at rest."""
        if self.motion is not Motion.HOLD:
            self.motion = Motion.BRAKE
            self._acceleration = acceleration

    def hold(self, q: Array) -> None:
        """Set the targets to ``q`` (j,) rad, at rest."""
        self.motion = Motion.HOLD
        self.q = q.copy()
        self.dq = np.zeros_like(q)

    def advance(self, dt: float) -> None:
        """Move the targets by ``dt`` s."""
        if dt <= 0:
            return
        before = self.q
        if self.motion is Motion.SERVO:
            fraction = 1 - np.exp(-dt / self._lookahead)
            farthest = self._fastest * dt
            step = np.clip(fraction * (self._goal - before), -farthest, farthest)
            self.q = before + self.slider * step
            self.dq = (self.q - before) / dt
        elif self.motion is not Motion.HOLD:
            wanted = np.zeros_like(self.dq)
            if self.motion is Motion.SPEED:
                fastest = self._fastest
                wanted = self.slider * np.clip(self._speed, -fastest, fastest)
            change = self._acceleration * dt
            self.dq = self.dq + np.clip(wanted - self.dq, -change, change)
            self.q = before + self.dq * dt
            if self.motion is Motion.BRAKE and self.at_rest:
                self.motion = Motion.HOLD
