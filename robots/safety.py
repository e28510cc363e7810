"""The safety gate: every joint command passes it, in simulation and on the arm. Batched.

Axes: n arms, j joints. It enforces limits; it performs no safety function.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array, Mask, Setpoint, Torque, Verdict
from robots.tool_box import TINY, ToolBox

# (q, dq, ddq) of the joints, (j, n) each. Inside the gate arms come last and constants are repeated
# n times: arithmetic without broadcasting takes a third of the time.
State = tuple[Array, Array, Array]

CUT_TOLERANCE = 1e-9  # rad/s, a smaller change of a request is rounding
# How far outside its position limits a joint may start, as a fraction of its range. An arm that
# rests on a stop or a cradle stands a little beyond: the ViperX in its maker's sleep pose 0.03 rad.
START_TOLERANCE = 0.02
UNUSABLE = int(Verdict.DROPPED | Verdict.HELD)
LIMITED = int(Verdict.LIMITED)
BOX_BRAKE = int(Verdict.LIMITED | Verdict.HELD)


class SafetyGate:
    """Turns requested joint velocities into setpoints that keep every limit, tick by tick.

    Every setpoint keeps the limits of position, velocity, acceleration and jerk, provided that the
    first one, given to ``reset``, is inside; the tool's box is kept to two millimeters. The gate
    only enters states from which the joints, braking together along a straight line in joint space,
    come to rest inside all limits. Each step starts from the last setpoint, never from a
    measurement.
    """

    setpoint: Setpoint  # the last command, (n, j)

    def __init__(
        self,
        limits: Limits,
        dt: float,
        n: int,
        kinematics: Kinematics | None = None,
    ) -> None:
        """Create the gate of n arms, at rest at joint positions 0 until ``reset``.

        Args:
            limits: of each of the arms.
            dt: s between two ticks.
            n: number of arms.
            kinematics: of the tool; None: there is no tool, and its box is not checked.

        Raises:
            BadArgumentError: ``dt`` is not finite and positive.
        """
        if not (np.isfinite(dt) and dt > 0):
            raise BadArgumentError(f"the gate's tick must be finite and positive, got {dt} s")
        self.limits = limits
        self.dt = dt
        dq = limits.dq
        ddq = limits.ddq
        jerk = limits.jerk

        # s, how long the joints travel on at full speed while the deceleration builds up
        build_up = 2 * ddq / jerk
        lag = float(build_up.max()) + 3 * dt
        # s, within which all joints can stop together
        braking = dq / (2 * ddq)
        joint_stop_time = float(braking.max()) + lag
        slack = ddq * joint_stop_time  # rad/s, see _braking_speed

        def per_arm(value: Array) -> Array:
            """(j,) to (j, n)."""
            return np.repeat(value[:, None], n, 1)

        self._q_low = per_arm(limits.q_low)
        self._q_high = per_arm(limits.q_high)
        self._dq_max = per_arm(dq)
        self._ddq_max = per_arm(ddq)
        self._two_ddq = per_arm(2 * ddq)
        self._slack = per_arm(slack)
        self._slack_squared = per_arm(slack**2)
        self._ddq_step = per_arm(jerk * dt)  # rad/s², largest change in a tick
        self._half_ddq_step = per_arm(jerk * dt / 2)

        self._box: ToolBox | None = None
        if kinematics is not None:
            self._box = ToolBox(limits, kinematics, lag, n)
        zero = np.zeros_like(self._dq_max)
        self._set_state((zero, zero, zero))

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at rest at ``q`` (n, j) rad, for all arms or for those in ``mask`` (n,).

        A joint may start outside its limits by ``START_TOLERANCE`` of its range, and the tool
        anywhere outside its box. From there they may come back, but never go further out.

        Raises:
            BadArgumentError: a position is further outside its limits, or not a number.
        """
        q = np.asarray(q, dtype=np.float64)
        if mask is None:
            mask = np.ones(len(q), dtype=bool)
        _check_start(q[mask], self.limits)
        position = np.ascontiguousarray(q.T)
        zero = np.zeros_like(position)
        start = (position, zero, zero)
        state = _choose(mask, start, self._state)
        self._set_state(state)

    def __call__(self, target: Array) -> tuple[Setpoint, NDArray[np.int64]]:
        """Take one tick towards joint velocities ``target`` (n, j) rad/s.

        An arm with a target that is not finite brakes to a standstill.

        Returns:
            The setpoint, (n, j) each, and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        target = _checked_target(target, self.setpoint.q.shape)
        requested = np.ascontiguousarray(target.T)
        verdict = np.zeros(len(target), dtype=np.int64)
        finite = np.isfinite(requested)
        if not finite.all():
            dropped = ~finite.all(0)
            requested = np.where(dropped, 0.0, requested)
            verdict |= dropped * UNUSABLE

        q = self._q
        dq = self._dq
        slowest = -self._braking_speed(q - self._q_low)
        fastest = self._braking_speed(self._q_high - q)
        allowed = _clip(requested, slowest, fastest)
        change = np.abs(allowed - requested)
        cut = change > CUT_TOLERANCE
        urgent = cut | (dq < slowest) | (dq > fastest)
        limited = cut.any(0)

        box = self._box
        if box is None:
            state = self._step_toward(allowed, urgent)
        else:
            fraction, tool = box.allowed_fraction(q, allowed)
            limited |= fraction < 1
            state = self._step_toward(fraction * allowed, urgent)
            leaves = box.would_leave(tool, state[0], state[1])
            if leaves.any():
                zero = np.zeros_like(allowed)
                braked = self._step_toward(zero, np.zeros_like(urgent))
                state = _choose(leaves, braked, state)
                verdict |= leaves * BOX_BRAKE
        self._set_state(state)
        return self.setpoint, verdict | limited * LIMITED

    def _set_state(self, state: State) -> None:
        self._state = state
        self._q, self._dq, self._ddq = state
        self.setpoint = Setpoint(self._q.T, self._dq.T, self._ddq.T)

    def _braking_speed(self, distance: Array) -> Array:
        """The highest speed from which a joint stops within ``distance`` (j, n) rad, (j, n) rad/s.

        It solves v²/(2·ddq) + v·T = distance, where T is the time in which all joints stop, so that
        the joint may also brake together with all others, however fast they are. With
        slack = ddq·T, v = √(slack² + 2·ddq·distance) - slack.
        """
        room = np.maximum(distance, 0.0)
        root = np.sqrt(self._slack_squared + self._two_ddq * room)
        return np.minimum(root - self._slack, self._dq_max)

    def _step_toward(self, target: Array, urgent: Mask) -> State:
        """The fastest next tick to ``target`` (j, n) rad/s within acceleration and jerk.

        It does not overshoot. From an acceleration a that is ramped down by δ = jerk·dt per tick,
        the velocity still grows by dt·((m + 1)·a - δ·m·(m + 1)/2), m = ⌊a/δ⌋. Solved for the a that
        ends exactly at the target: a = error/(m + 1) + δ·m/2, with error = (target - dq)/dt and
        m + 1 = ⌊√(2·error/δ + 1/4) + 1/2⌋.

        The joints change in proportion, so that the tool keeps its direction; those that are
        ``urgent`` (j, n), because they are near a bound, change as fast as each of them can.
        """
        dt = self.dt
        ddq_max = self._ddq_max
        step = self._ddq_step
        half_step = self._half_ddq_step
        low = np.maximum(self._ddq - step, -ddq_max)
        high = np.minimum(self._ddq + step, ddq_max)

        error = (target - self._dq) / dt  # rad/s², this acceleration would take one tick
        sign = np.sign(error)
        magnitude = np.abs(error) + TINY
        root = np.sqrt(magnitude / half_step + 0.25)
        ticks = np.floor(root + 0.5)  # m + 1
        ramp_down = half_step * ticks - half_step  # δ·m/2
        fastest = sign * (magnitude / ticks + ramp_down)
        fastest = _clip(fastest, low, high)

        made_up = (fastest * sign + TINY) / magnitude  # fraction of its error; 1 without an error
        fraction = made_up.min(0, initial=1.0)
        fraction = np.maximum(fraction, 0.0)
        together = _clip(fraction * error, low, high)

        ddq = np.where(urgent, fastest, together)
        dq = self._dq + ddq * dt
        q = self._q + dq * dt
        return q, dq, ddq


class TorqueGate:
    """Keeps joint torques within their limits; used like a ``SafetyGate``."""

    def __init__(self, limits: Limits, n: int) -> None:
        self.limits = limits
        self._nan = np.full((n, len(limits.tau)), np.nan)

    @property
    def setpoint(self) -> Setpoint:
        """NaN, (n, j): a torque-driven joint has no target position."""
        return Setpoint(self._nan, self._nan, self._nan)

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Do nothing: the limits of a torque do not depend on the past."""

    def __call__(self, target: Array) -> tuple[Torque, NDArray[np.int64]]:
        """Limit the torques ``target`` (n, j) N·m of one tick; rows that are not finite become 0.

        Returns:
            The torques (n, j) N·m and Verdict flags (n,).

        Raises:
            BadArgumentError: the target has another shape.
        """
        target = _checked_target(target, self._nan.shape)
        finite = np.isfinite(target).all(-1, keepdims=True)
        requested = np.where(finite, target, 0.0)
        limit = self.limits.tau
        tau = np.clip(requested, -limit, limit)
        changed = tau != requested
        limited = changed.any(-1, keepdims=True)
        dropped_flags = ~finite * UNUSABLE
        limited_flags = limited * LIMITED
        verdict = dropped_flags | limited_flags  # (n, 1)
        return Torque(tau), verdict[:, 0]


def _check_start(q: Array, limits: Limits) -> None:
    low = limits.q_low
    high = limits.q_high
    tolerance = START_TOLERANCE * (high - low)
    inside = (q >= low - tolerance) & (q <= high + tolerance)  # False for NaN
    joints = np.flatnonzero(~inside.all(0))
    if joints.size:
        first = int(joints[0])
        raise BadArgumentError(
            f"joint {first} cannot start at {q[:, first]}: "
            f"allowed are {low[first]} to {high[first]}"
        )


def _checked_target(target: Array, shape: tuple[int, ...]) -> Array:
    target = np.asarray(target, dtype=np.float64)
    if target.shape != shape:
        raise BadArgumentError(f"the gate takes targets of shape {shape}, got {target.shape}")
    return target


def _choose(mask: Mask, new: State, old: State) -> State:
    """``new`` for the arms in ``mask`` (n,), ``old`` for the others."""
    q = np.where(mask, new[0], old[0])
    dq = np.where(mask, new[1], old[1])
    ddq = np.where(mask, new[2], old[2])
    return q, dq, ddq


def _clip(x: Array, low: Array | float, high: Array | float) -> Array:
    """As np.clip, in half the time."""
    return np.minimum(np.maximum(x, low), high)
