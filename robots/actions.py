"""Action maps: they turn an action in [-1, 1] into a joint command."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from robots.arm import ArmSpec, Body, Limits
from robots.errors import BadArgumentError
from robots.joint_steps import clip
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Spec

AXES = ("x", "y", "z")
DAMPING = 1e-6  # (m/s)², of the least squares in ToolVelocity


class ActionMap(Protocol):
    """Turns a policy's actions into targets for the gate of the body.

    The map only translates: it is deterministic, keeps no state between calls, and leaves limits to
    the gate. The same map serves simulation and the arm.
    """

    @property
    def spec(self) -> Spec:
        """What the action's columns (a,) mean, with their physical range at -1 and 1.

        It is part of the policy contract, and is compared when a policy is deployed.
        """
        ...

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Translate the actions of n worlds for one tick.

        Args:
            action: (n, a) in [-1, 1]; values beyond are clipped. A row with NaN gives a row with
                NaN, which the gate drops.
            setpoint: the gate's last command, (n, j), where the joints should be. Maps start from
                it, not from a measurement, so that they do not feed back noise.

        Returns:
            The input of the body's gate, (n, j): joint velocities in rad/s, or torques in N·m
            for a body that is driven by torques.
        """
        ...

    def standstill(self, setpoint: Setpoint) -> Array:
        """The actions (n, a) in [-1, 1] at which the body stays, or moves least, at its setpoint.

        They are in effect until the first delayed action arrives, and replace dropped actions.

        Args:
            setpoint: as in ``__call__``.
        """
        ...


def zero_action(spec: Spec) -> Array:
    """The action (a,) in [-1, 1] whose value is zero, or as near to zero as the range allows."""
    zero = (spec.high + spec.low) / (spec.low - spec.high)
    return np.clip(zero, -1, 1)


class JointVelocity:
    """Each joint's velocity as a fraction of a largest velocity."""

    def __init__(self, body: Body, scale: Array | float | None = None) -> None:
        """Create the map of one body.

        Args:
            body: whose joints are moved.
            scale: (j,) rad/s at an action of 1, or one number for all joints; None: the body's
                velocity limits.

        Raises:
            BadArgumentError: ``scale`` is above the velocity limits, or not positive.
        """
        limit = body.limits.dq
        if scale is None:
            scale = limit
        self.scale = np.broadcast_to(scale, limit.shape)
        too_fast = self.scale > limit
        if too_fast.any():
            raise BadArgumentError(
                f"a scale of {self.scale} lies above the velocity limits {limit}"
            )
        self.spec = _symmetric_spec(body, self.scale, "velocity", "rad/s")

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, j) in [-1, 1] to joint velocities (n, j) rad/s."""
        dq: Array = clip(action, -1, 1) * self.scale
        return dq

    def standstill(self, setpoint: Setpoint) -> Array:
        """Zero velocities (n, j)."""
        return _zero_actions(self.spec, setpoint)


class JointTorque:
    """Each joint's torque as a fraction of its limit."""

    def __init__(self, body: Body) -> None:
        self.scale = body.limits.tau
        self.spec = _symmetric_spec(body, self.scale, "torque", "N·m")

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, j) in [-1, 1] to joint torques (n, j) N·m."""
        return clip(action, -1, 1) * self.scale

    def standstill(self, setpoint: Setpoint) -> Array:
        """Zero torques (n, j)."""
        return _zero_actions(self.spec, setpoint)


class ToolVelocity:
    """The tool's velocity along some axes of the base frame.

    The tool is held in place along the other axes; its orientation is free. It slows down before
    the faces of its box, along each axis separately. Joint velocities follow by damped least
    squares, weighted with the joints' velocity limits so that fast joints carry more of the motion;
    the null space pulls the posture to the home position.
    """

    BRAKE = 4.0  # m/s², deceleration before a face of the box
    HOLD_GAIN = 5.0  # 1/s, of the return to the held position
    POSTURE_GAIN = 1.0  # 1/s, of the return to the home position

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        bounds: dict[str, tuple[float, float]],
        hold: Sequence[float],
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool is moved.
            limits: with the tool's box and the joints' velocity limits.
            bounds: of each moved axis, ``"x"``, ``"y"`` or ``"z"``: m/s at actions of -1 and 1.
            hold: (3,) m, where the tool is held along the axes that are not in ``bounds``.

        Raises:
            BadArgumentError: ``bounds`` is empty or names another axis.
        """
        if not bounds or set(bounds) - set(AXES):
            raise BadArgumentError(f"the moved axes must be some of {AXES}, got {tuple(bounds)}")
        self.kinematics = Kinematics(arm)
        columns = []
        for axis, (at_minus_one, at_one) in bounds.items():
            columns.append((f"tool.v{axis}", at_minus_one, at_one, "m/s"))
        self._set_columns(columns)
        self._moved_axes = [AXES.index(axis) for axis in bounds]
        position = np.array(hold, dtype=np.float64)
        self._hold = position[:, None]
        box = limits.tool_box
        self._box_low = box[:, :1]
        self._box_high = box[:, 1:]
        self._home = arm.home[:, None]
        self._dq_max = limits.dq[:, None]

    def _set_columns(self, columns: Sequence[tuple[str, float, float, str]]) -> None:
        """Define the action's columns by (name, value at -1, value at 1, unit) of each."""
        self.spec = Spec.of(*columns)
        # Column vectors: in the computation the axis of worlds comes last.
        low = self.spec.low[:, None]
        high = self.spec.high[:, None]
        self._middle = (low + high) / 2
        self._half_range = (high - low) / 2

    def _actions_of(self, values: Array) -> Array:
        """The actions (n, a) in [-1, 1] with the columns' values nearest to ``values`` (n, a)."""
        low = self.spec.low
        share = (values - low) / (self.spec.high - low)
        return np.clip(2 * share - 1, -1, 1)

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, a) in [-1, 1] to joint velocities (n, j) rad/s.

        If a joint would exceed its velocity limit, all joints are slowed down, so that the tool's
        direction is kept.
        """
        pos, _, jacobian = self.kinematics.forward_jacobian(setpoint.q)
        linear = jacobian.T[:, :3]  # (j, 3, n)
        velocity = self._tool_velocity(action.T, pos.T)
        return self._joint_velocity(velocity, linear, setpoint.q.T).T

    def standstill(self, setpoint: Setpoint) -> Array:
        """The velocities nearest to zero in their range, (n, a)."""
        return _zero_actions(self.spec, setpoint)

    def _tool_velocity(self, action: Array, pos: Array) -> Array:
        """The tool's velocity (3, n) m/s for actions (a, n) at positions (3, n) m."""
        clipped = np.minimum(np.maximum(action, -1.0), 1.0)
        velocity = self.HOLD_GAIN * (self._hold - pos)
        velocity[self._moved_axes] = self._requested_velocity(clipped, pos)
        room_below = pos - self._box_low
        room_above = self._box_high - pos
        slowest = -self._braking_speed(room_below)
        fastest = self._braking_speed(room_above)
        velocity = np.maximum(velocity, slowest)
        return np.minimum(velocity, fastest)

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """Velocities (k, n) m/s along the k moved axes for actions (a, n) at pos (3, n) m."""
        velocity: Array = self._middle + self._half_range * action
        return velocity

    def _braking_speed(self, distance: Array) -> Array:
        """The speed from which the tool stops within ``distance`` m: v = √(2·brake·distance)."""
        room = np.maximum(distance, 0.0)
        speed: Array = np.sqrt(2 * self.BRAKE * room)
        return speed

    def _joint_velocity(
        self,
        velocity: Array,
        linear: Array,
        q: Array,
    ) -> Array:
        """Joint velocities (j, n) rad/s that move the tool at ``velocity`` (k, n) m/s.

        In units of the velocity limits, with A = J·diag(dq_max) and p the velocity toward the home
        posture, minimize |x - p|² subject to A·x = velocity:
        x = p + Aᵀ·(A·Aᵀ + damping)⁻¹·(velocity - A·p).

        Args:
            velocity: (k, n) m/s, the linear velocity; with k = 6 rad/s of the angular one too.
            linear: (j, k, n), the first k rows of the Jacobian J.
            q: (j, n) rad.
        """
        dq_max = self._dq_max
        j, n = q.shape
        k = len(velocity)
        both = np.empty((j, k + 1, n))  # Aᵀ and p side by side: one product gives A·Aᵀ and A·p
        a_transposed = both[:, :k]
        p = both[:, k]
        np.multiply(linear, dq_max[:, None], a_transposed)
        np.multiply(self.POSTURE_GAIN / dq_max, self._home - q, p)

        system = np.einsum("jan,jbn->abn", a_transposed, both)  # (k, k + 1, n)
        left = system[:, :k]
        left += DAMPING * np.eye(k)[..., None]
        right = system[:, k]
        np.subtract(velocity, right, right)
        y = _solve(system)
        x = p + (a_transposed * y).sum(1)

        largest = np.abs(x).max(0)
        slowdown = np.maximum(largest, 1.0)
        dq: Array = x * (dq_max / slowdown)
        return dq


def _zero_actions(spec: Spec, setpoint: Setpoint) -> Array:
    """``zero_action`` for each of the n bodies of a setpoint, (n, a)."""
    return np.tile(zero_action(spec), (len(setpoint.q), 1))


def _symmetric_spec(
    body: Body,
    scale: Array,
    quantity: str,
    unit: str,
) -> Spec:
    """One column per joint, from -scale to scale."""
    columns = []
    for joint, value in zip(body.joints, scale.tolist(), strict=True):
        columns.append((f"{joint}.{quantity}", -value, value, unit))
    return Spec.of(*columns)


def _solve(system: Array) -> Array:
    """Solve a·x = b for many small positive definite matrices a at once.

    Gauss-Jordan elimination, which needs no pivoting for such matrices: for many small systems it
    is far faster than LAPACK.

    Args:
        system: (k, k + 1, n), a and b side by side.

    Returns:
        x (k, n).
    """
    size = len(system)
    for i in range(size):
        pivot = system[i, i]
        row = system[i] / pivot
        factors = system[:, i, None]
        system = system - factors * row
        system[i] = row
    return system[:, -1]
