"""What an action means: maps from [-1, 1] to joint velocities, given where the joints are told to be."""

from collections.abc import Sequence

import numpy as np

from robots.arm import ArmSpec, Body, Limits, Setpoint
from robots.kinematics import Kinematics
from robots.signals import Array
from robots.world import Spec

AXES = ("x", "y", "z")


def standstill(spec: Spec) -> Array:
    """The action (a,) in [-1, 1] that asks for a speed of zero, or for the least there is."""
    return np.clip((spec.high + spec.low) / (spec.low - spec.high), -1, 1)


class JointVelocity:
    """Each joint's velocity, as a share of ``scale`` (j,) rad/s."""

    def __init__(self, body: Body, scale: Array | float | None = None) -> None:
        self.scale = np.broadcast_to(body.limits.dq if scale is None else scale, body.limits.dq.shape)
        if (self.scale > body.limits.dq).any():
            raise ValueError(f"a scale of {self.scale} lies above the velocity limits {body.limits.dq}")
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
        self, arm: ArmSpec, limits: Limits, bounds: dict[str, tuple[float, float]], hold: Sequence[float]
    ) -> None:
        """``bounds`` gives each moved axis its m/s at -1 and 1; ``hold`` (3,) m is where the other axes stay."""
        if not bounds or set(bounds) - set(AXES):
            raise ValueError(f"axes {tuple(bounds)} are not some of {AXES}")
        self.kinematics, self.limits, self.home = Kinematics(arm), limits, arm.home
        self.moved = [AXES.index(axis) for axis in bounds]
        self.hold = np.asarray(hold, dtype=np.float64)
        low, high = np.array(list(bounds.values()), dtype=np.float64).T
        self.spec = Spec(tuple(f"tool.v{axis}" for axis in bounds), low, high, ("m/s",) * len(low))
        self._weights = limits.dq**2

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """(n, a) in [-1, 1] to joint velocities rad/s (n, j), none above its limit, the direction kept."""
        pos, _, jacobian = self.kinematics.forward_jacobian(setpoint.q)
        velocity = self.HOLD * (self.hold - pos)
        share = (np.clip(action, -1, 1) + 1) / 2
        velocity[:, self.moved] = self.spec.low + share * (self.spec.high - self.spec.low)
        box = self.limits.tool_box
        velocity = np.clip(velocity, -self._brakeable(pos - box[:, 0]), self._brakeable(box[:, 1] - pos))

        linear = jacobian[:, :3]
        posture = self.POSTURE * (self.home - setpoint.q)
        weighted = self._weights[:, None] * linear.swapaxes(1, 2)  # (n, j, 3)
        gram = linear @ weighted + 1e-6 * np.eye(3)
        missing = velocity[..., None] - linear @ posture[..., None]
        dq = posture + (weighted @ np.linalg.solve(gram, missing))[..., 0]
        return dq / np.maximum(1.0, (np.abs(dq) / self.limits.dq).max(-1, keepdims=True))

    def _brakeable(self, distance: Array) -> Array:
        return np.sqrt(2 * self.BRAKE * np.maximum(distance, 0.0))
