"""How an emulated Universal Robots controller moves its joints' targets.

Simpler than the real one: ``servoj`` follows its target as a filter of first order does. Its time
constant is the lookahead time, which is about the lag that users measure.
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
    """The positions and velocities that the controller's joints are driven with."""

    def __init__(self, arm: ArmSpec, q: Array) -> None:
        """The joints stand at ``q`` (j,) rad."""
        self.q = q.copy()
        self.dq = np.zeros_like(q)
        self.motion = Motion.HOLD
        self.slider = 1.0  # the speed slider: a share of every speed
        self._limits = arm.limits
        # Motors that are driven with the target's velocity too press with kp (q* - q) + kd (dq* -
        # dq): as servos do that are pulled towards q* + (kd / kp) dq*, and are only damped.
        self._lead = arm.damping / arm.stiffness  # s, (j,)
        self._goal = q.copy()  # rad, of SERVO
        self._speed = np.zeros_like(q)  # rad/s, of SPEED
        self._acceleration = 0.0  # rad/s², of SPEED and BRAKE
        self._lookahead = 0.1  # s, of SERVO

    @property
    def pulled_to(self) -> Array:
        """Where the joints' motors are to pull, (j,) rad."""
        return self.q + self._lead * self.dq

    @property
    def stands(self) -> bool:
        """Whether the targets stand still."""
        return not self.dq.any()

    def servo(self, goal: Array, lookahead: float) -> None:
        """Follow a position (j,) rad."""
        self.motion = Motion.SERVO
        self._goal = goal
        self._lookahead = lookahead

    def speed(self, speed: Array, acceleration: float) -> None:
        """Follow a velocity (j,) rad/s."""
        self.motion = Motion.SPEED
        self._speed = speed
        self._acceleration = acceleration

    def brake(self, acceleration: float) -> None:
        """Come to rest; no effect on targets that stand."""
        if self.motion is not Motion.HOLD:
            self.motion = Motion.BRAKE
            self._acceleration = acceleration

    def hold(self, q: Array) -> None:
        """Stand at ``q`` (j,) rad from now on."""
        self.motion = Motion.HOLD
        self.q = q.copy()
        self.dq = np.zeros_like(q)

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass."""
        if dt <= 0:
            return
        before = self.q
        if self.motion is Motion.SERVO:
            share = 1 - np.exp(-dt / self._lookahead)
            farthest = self._limits.dq * dt
            step = np.clip(share * (self._goal - before), -farthest, farthest)
            self.q = before + self.slider * step
            self.dq = (self.q - before) / dt
        elif self.motion is not Motion.HOLD:
            wanted = np.zeros_like(self.dq)
            if self.motion is Motion.SPEED:
                fastest = self._limits.dq
                wanted = self.slider * np.clip(self._speed, -fastest, fastest)
            change = self._acceleration * dt
            self.dq = self.dq + np.clip(wanted - self.dq, -change, change)
            self.q = before + self.dq * dt
            if self.motion is Motion.BRAKE and self.stands:
                self.motion = Motion.HOLD
