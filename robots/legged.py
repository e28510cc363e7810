"""Robots on legs whose joints are held by position servos. Axes: n robots, j driven joints."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robots.arm import Body, Limits
from robots.bodies import Gate, make_gate
from robots.safety import LIMITED, UNUSABLE, checked_target
from robots.signals import Array, Mask, Setpoint, Spec


@dataclass(frozen=True)
class LeggedRobot(Body):
    """A floating base, and joints with servos: torque = stiffness·(target - q) - damping·dq.

    Its root joint is free: 7 positions x, y, z (m) and a unit quaternion w, x, y, z, and 6
    velocities, m/s in the world's frame and rad/s in the body's.
    """

    stiffness: float = 35.0  # N·m/rad
    damping: float = 0.5  # N·m·s/rad

    @property
    def root(self) -> tuple[str, ...]:
        """The free joint."""
        return ("root",)


class ServoGate:
    """Keeps the targets of servos within the joints' ranges and speeds.

    It is used like a ``SafetyGate``, but braking distances, accelerations and jerks are left to the
    servos, as the firmware of a legged robot does.
    """

    def __init__(self, limits: Limits, dt: float, n: int) -> None:
        """Create the gate of n robots, whose ticks are ``dt`` s apart."""
        self.limits = limits
        self._dt = dt
        zero = np.zeros((n, len(limits.tau)))
        self.setpoint = Setpoint(zero, zero, zero)

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at the positions of the driven joints, the last j columns of ``q``."""
        shape = self.setpoint.q.shape
        rows = np.ones(shape[0], dtype=bool) if mask is None else mask
        begin = np.clip(q[:, -shape[1] :], self.limits.q_low, self.limits.q_high)
        zero = np.zeros(shape)
        self.setpoint = Setpoint(np.where(rows[:, None], begin, self.setpoint.q), zero, zero)

    def __call__(self, target: Array) -> tuple[Setpoint, NDArray[np.int64]]:
        """Move the targets by the velocities ``target`` (n, j) rad/s for one tick.

        Where a row is not finite, all targets of the robot stay.

        Returns:
            The setpoint (n, j), and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        old = self.setpoint.q
        target = checked_target(target, old.shape)
        finite = np.asarray(np.isfinite(target).all(-1))
        requested = np.where(finite[:, None], target, 0.0)
        limit = self.limits.dq
        slowed = np.clip(requested, -limit, limit)
        q = np.clip(old + slowed * self._dt, self.limits.q_low, self.limits.q_high)
        is_limited = np.abs(q - old - requested * self._dt) > 1e-12
        self.setpoint = Setpoint(q, (q - old) / self._dt, np.zeros_like(q))
        dropped = ~finite * UNUSABLE
        return self.setpoint, dropped | is_limited.any(-1) * LIMITED


@make_gate.register
def _(body: LeggedRobot, limits: Limits, dt: float, n: int) -> Gate:
    return ServoGate(limits, dt, n)


class JointPosition:
    """The target of each joint as an offset from the home position, as in legged_gym."""

    def __init__(self, body: Body, scale: float, dt: float) -> None:
        """Create the map of one body.

        Args:
            body: whose joints are moved.
            scale: rad, the offset at an action of 1.
            dt: s between two ticks, in which a target is reached unless the gate slows it down.
        """
        self._home = body.home
        self._scale = scale
        self._dt = dt
        columns = []
        for joint, home in zip(body.joints, body.home.tolist(), strict=True):
            columns.append((f"{joint}.target", home - scale, home + scale, "rad"))
        self.spec = Spec.of(*columns)

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, j) in [-1, 1] to velocities (n, j) rad/s of the targets."""
        target = self._home + self._scale * np.clip(action, -1, 1)
        return np.asarray((target - setpoint.q) / self._dt)

    def standstill(self, setpoint: Setpoint) -> Array:
        """The actions at which the targets stay, or come nearest to where they are."""
        return np.clip((setpoint.q - self._home) / self._scale, -1, 1)
