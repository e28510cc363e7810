"""What an action means: maps from [-1, 1] to joint velocities, given where the joints are told to be."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from robots.arm import ArmSpec, Body, Limits
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Spec

AXES = ("x", "y", "z")
DAMPING = 1e-6 * np.eye(3)[..., None]  # (m/s)², of the least squares


def standstill(spec: Spec) -> Array:
    """The action (a,) in [-1, 1] that asks for a speed of zero, or for the least there is."""
    return np.clip((spec.high + spec.low) / (spec.low - spec.high), -1, 1)


class JointVelocity:
    """Each joint's velocity, as a share of ``scale`` (j,) rad/s."""

    def __init__(self, body: Body, scale: Array | float | None = None) -> None:
        self.scale = np.broadcast_to(
            body.limits.dq if scale is None else scale, body.limits.dq.shape
        )
        if (self.scale > body.limits.dq).any():
            raise ValueError(
                f"a scale of {self.scale} lies above the velocity limits {body.limits.dq}"
            )
        names = tuple(f"{joint}.velocity" for joint in body.joints)
        self.spec = Spec(names, -self.scale, self.scale, ("rad/s",) * len(names))

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """(n, a) in [-1, 1] to rad/s (n, j)."""
        return np.clip(action, -1, 1) * self.scale


class ToolVelocity:
    """The tool's velocity along some axes of the base frame; the others hold their place, orientation is free.

    Resolved by least squares weighted with the joints' speed limits, so that fast joints carry more, with the
    posture drawn to home in the null space. The tool slows down before the faces of its box, each axis by itself.
    """

    BRAKE = 4.0  # m/s², deceleration before a face of the box
    HOLD = 5.0  # 1/s, how fast a held axis returns
    POSTURE = 1.0  # 1/s, how fast the posture returns

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        bounds: dict[str, tuple[float, float]],
        hold: Sequence[float],
    ) -> None:
        """``bounds`` gives each moved axis its m/s at -1 and 1; ``hold`` (3,) m is where the other axes stay."""
        if not bounds or set(bounds) - set(AXES):
            raise ValueError(f"axes {tuple(bounds)} are not some of {AXES}")
        self.kinematics = Kinematics(arm)
        self.moved = [AXES.index(axis) for axis in bounds]
        low, high = np.array(list(bounds.values()), dtype=np.float64).T
        self.spec = Spec(tuple(f"tool.v{axis}" for axis in bounds), low, high, ("m/s",) * len(low))
        # all as columns, for arms come last inside
        self._middle, self._reach = (low + high)[:, None] / 2, (high - low)[:, None] / 2
        self._hold, (self._low, self._high) = (
            np.array(hold, dtype=np.float64)[:, None],
            limits.tool_box.T[..., None],
        )
        self._home, self._top = arm.home[:, None], limits.dq[:, None]

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """(n, a) in [-1, 1] to joint velocities rad/s (n, j), none above its limit, the direction kept."""
        pos, _, jacobian = self.kinematics.forward_jacobian(setpoint.q)
        pos, linear = pos.T, jacobian.T[:, :3]  # (3, n), (j, 3, n)
        velocity = self.HOLD * (self._hold - pos)
        velocity[self.moved] = self._middle + self._reach * np.minimum(
            np.maximum(action.T, -1.0), 1.0
        )
        velocity = np.maximum(velocity, -self._brakeable(pos - self._low))
        velocity = np.minimum(velocity, self._brakeable(self._high - pos))

        # in shares of the joints' top speeds: how they move the tool, and where the posture draws them
        share = np.empty((len(linear), 4, len(action)))
        np.multiply(linear, self._top[:, None], share[:, :3])
        np.multiply(self.POSTURE / self._top, self._home - setpoint.q.T, share[:, 3])
        system = np.einsum("jan,jbn->abn", share[:, :3], share)
        system[:, :3] += DAMPING
        system[:, 3] = velocity - system[:, 3]
        speed = share[:, 3] + (share[:, :3] * _solve(system)).sum(1)
        return (speed * (self._top / np.maximum(np.abs(speed).max(0), 1.0))).T

    def _brakeable(self, distance: Array) -> Array:
        return np.sqrt(2 * self.BRAKE * np.maximum(distance, 0.0))


def _solve(system: Array) -> Array:
    """x (k, n) of a·x = b, given a and b side by side, (k, k + 1, n), and a positive definite.

    By Gauss and Jordan, who need no pivots for such: for many small systems far faster than LAPACK.
    """
    for i in range(len(system)):
        row = system[i] / system[i, i]
        system = system - system[:, i, None] * row
        system[i] = row
    return system[:, -1]


class ActionMap(Protocol):
    """Turns actions (n, a) in [-1, 1] into what the body's gate takes, (n, j), from where the joints are told to be.

    Joint velocities; torques, of a body that is driven by them.
    """

    spec: "Spec"

    def __call__(self, action: Array, setpoint: Setpoint) -> Array: ...


class JointTorque:
    """Each joint's torque, as a share of its limit."""

    def __init__(self, body: Body) -> None:
        self.scale = body.limits.tau
        names = tuple(f"{joint}.torque" for joint in body.joints)
        self.spec = Spec(names, -self.scale, self.scale, ("N·m",) * len(names))

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """(n, a) in [-1, 1] to N·m (n, j)."""
        return np.clip(action, -1, 1) * self.scale
