"""The safety gate: every joint command passes it, in simulation and on the arm. Batched.

Axes: n arms, j joints. It enforces limits; it performs no safety function.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array, Mask, Setpoint, Torque, Verdict

# (q, dq, ddq) of the joints, (j, n) each. Inside the gate arms come last and constants are repeated
# n times: arithmetic without broadcasting takes a third of the time.
State = tuple[Array, Array, Array]

TINY = 1e-300  # makes 0/0 one, and is negligible beside any other number
CUT_TOLERANCE = 1e-9  # rad/s, a smaller change of a request is rounding
BOX_TOLERANCE = 1e-9  # m
UNUSABLE = int(Verdict.DROPPED | Verdict.HELD)
LIMITED = int(Verdict.LIMITED)


class SafetyGate:
    """Turns requested joint velocities into setpoints that keep every limit, tick by tick.

    Every setpoint keeps the limits of position, velocity, acceleration and jerk, provided that the
    first one, given to ``reset``, is inside; the tool's box is kept to two millimeters. The gate
    only enters states from which the joints, braking together along a straight line in joint space,
    come to rest inside all limits. Each step starts from the last setpoint, never from a
    measurement.
    """

    # s: the gate slows down for the tool's box this much sooner than it must. Without it the tool
    # would chatter at the face of the box.
    BOX_LEAD_TIME = 0.02

    setpoint: Setpoint  # the last command, (n, j)

    def __init__(
        self, limits: Limits, dt: float, n: int, kinematics: Kinematics | None = None
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
        self.kinematics = kinematics

        def per_arm(value: Array) -> Array:
            """(k,) to (k, n)."""
            return np.repeat(value[:, None], n, 1)

        # s, how long the joints travel on at full speed while the deceleration builds up
        self._lag = float((2 * limits.ddq / limits.jerk).max()) + 3 * dt
        # s, within which all joints can stop together
        self._joint_stop_time = float((limits.dq / (2 * limits.ddq)).max()) + self._lag
        slack = limits.ddq * self._joint_stop_time  # rad/s, see _braking_speed
        self._slack = per_arm(slack)
        self._slack_squared = per_arm(slack**2)

        self._q_low = per_arm(limits.q_low)
        self._q_high = per_arm(limits.q_high)
        self._dq_max = per_arm(limits.dq)
        self._ddq_max = per_arm(limits.ddq)
        self._two_ddq = per_arm(2 * limits.ddq)
        self._ddq_step = per_arm(limits.jerk * dt)  # rad/s², largest change in a tick
        self._half_ddq_step = per_arm(limits.jerk * dt / 2)
        low, high = limits.tool_box.T
        self._box_center = per_arm(limits.tool_box.mean(1))
        self._box_half_size = per_arm((high - low) / 2)

        zero = np.zeros((len(limits.dq), n))
        self._set_state((zero, zero, zero))

    def reset(self, q: Array, mask: Mask | None = None) -> None:
        """Begin at rest at ``q`` (n, j) rad, for all arms or for those in ``mask`` (n,).

        Raises:
            BadArgumentError: a position is outside its limits or not a number.
        """
        rows = np.ones(len(self.setpoint.q), dtype=bool) if mask is None else mask
        q = np.asarray(q, dtype=np.float64)
        inside = (q >= self.limits.q_low) & (q <= self.limits.q_high)  # False for NaN
        outside = ~inside[rows]
        if outside.any():
            joint = int(np.nonzero(outside)[1][0])
            low = self.limits.q_low[joint]
            high = self.limits.q_high[joint]
            raise BadArgumentError(
                f"joint {joint} cannot start at {q[rows][:, joint]}: allowed are {low} to {high}"
            )
        zero = np.zeros_like(self._dq)
        start = (np.ascontiguousarray(q.T), zero, zero)
        self._set_state(_choose(rows, start, self._state))

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
        slowest = -self._braking_speed(self._q - self._q_low)
        fastest = self._braking_speed(self._q_high - self._q)
        allowed = _clip(requested, slowest, fastest)
        cut = np.abs(allowed - requested) > CUT_TOLERANCE
        urgent = cut | (self._dq < slowest) | (self._dq > fastest)
        limited = cut.any(0)

        if self.kinematics is None:
            state = self._step_toward(allowed, urgent)
        else:
            fraction, tool = self._allowed_fraction(self.kinematics, allowed)
            limited |= fraction < 1
            state = self._step_toward(fraction * allowed, urgent)
            leaves = self._leaves_box(self.kinematics, tool, state)
            if leaves.any():
                braked = self._step_toward(np.zeros_like(allowed), np.zeros_like(urgent))
                state = _choose(leaves, braked, state)
                verdict |= leaves * (LIMITED | int(Verdict.HELD))
        self._set_state(state)
        return self.setpoint, verdict | limited * LIMITED

    def _set_state(self, state: State) -> None:
        self._state = state
        self._q, self._dq, self._ddq = state
        self.setpoint = Setpoint(self._q.T, self._dq.T, self._ddq.T)

    def _braking_speed(self, distance: Array) -> Array:
        """The highest speed from which a joint stops within ``distance`` (j, n) rad, (j, n) rad/s.

        It solves v²/(2·ddq) + v·T = distance with T = _joint_stop_time, so that the joint may also
        brake together with all others, however fast they are: with slack = ddq·T,
        v = √(slack² + 2·ddq·distance) - slack.
        """
        room = np.maximum(distance, 0.0)
        speed = np.sqrt(self._slack_squared + self._two_ddq * room) - self._slack
        return np.minimum(speed, self._dq_max)

    def _step_toward(self, target: Array, urgent: Mask) -> State:
        """The fastest next tick to ``target`` (j, n) rad/s within acceleration and jerk.

        It does not overshoot. From an acceleration a that is ramped down by δ = jerk·dt per tick,
        the velocity still grows by dt·((m + 1)·a - δ·m·(m + 1)/2), m = ⌊a/δ⌋. Solved for the a that
        ends exactly at the target: a = error/(m + 1) + δ·m/2, with error = (target - dq)/dt.

        The joints change in proportion, so that the tool keeps its direction; those that are
        ``urgent`` (j, n), because they are near a bound, change as fast as each of them can.
        """
        low = np.maximum(self._ddq - self._ddq_step, -self._ddq_max)
        high = np.minimum(self._ddq + self._ddq_step, self._ddq_max)
        half_step = self._half_ddq_step

        error = (target - self._dq) / self.dt  # rad/s², the acceleration that takes a single tick
        sign = np.sign(error)
        size = np.abs(error) + TINY
        ticks = np.floor(np.sqrt(size / half_step + 0.25) + 0.5)  # m + 1
        fastest = _clip(sign * (size / ticks + (half_step * ticks - half_step)), low, high)

        fractions = (fastest * sign + TINY) / size  # of the error that each joint makes up; or 1
        fraction = np.maximum(fractions.min(0, initial=1.0), 0.0)
        together = _clip(fraction * error, low, high)
        ddq = np.where(urgent, fastest, together)
        dq = self._dq + ddq * self.dt
        q = self._q + dq * self.dt
        return q, dq, ddq

    def _allowed_fraction(self, kinematics: Kinematics, requested: Array) -> tuple[Array, Array]:
        """How much of ``requested`` (j, n) rad/s still lets the tool stop inside its box.

        The tool stops after the joints have moved by s·(s·time + lag)·requested, where s is the
        fraction looked for. Of the tool's way at s = 1, a fraction f lies inside the box. Hence
        s·(s·time + lag) = f·(time + lag), solved for s.

        Returns:
            The fraction s (n,) in [0, 1], and the tool's present position (3, n) m in the box.
        """
        time = self._braking_time(requested)
        lag = self._lag + self.BOX_LEAD_TIME
        rest_q = self._q + requested * (time + lag)
        tool, rest = self._positions_in_box(kinematics, self._q, rest_q)
        way = rest - tool
        room = np.maximum(self._box_half_size - np.sign(way) * tool, 0.0)
        inside = ((room + TINY) / (np.abs(way) + TINY)).min(0)  # f
        allowed_time = inside * (time + lag)
        half_lag = lag / 2
        root = np.sqrt(half_lag**2 + time * allowed_time)
        fraction = allowed_time / (half_lag + root)
        return np.where(inside < 1, fraction, 1.0), tool

    def _leaves_box(self, kinematics: Kinematics, tool: Array, state: State) -> Mask:
        """Whether the tool would leave its box while braking from ``state``, (n,).

        Checked half way and at rest. A tool that is outside at ``tool`` (3, n) m may stay as far
        out as it is.
        """
        q, dq, _ = state
        way = dq * (self._braking_time(dq) + self._lag)
        half_way, rest = np.abs(self._positions_in_box(kinematics, q + way / 2, q + way))
        farthest = np.maximum(half_way, rest)
        allowed = np.maximum(np.abs(tool), self._box_half_size)
        return (farthest > allowed + BOX_TOLERANCE).any(0)

    def _braking_time(self, dq: Array) -> Array:
        """s (n,): at ``dq`` (j, n) rad/s the joints travel their common braking way in this time.

        Braking from v at the deceleration a takes v/a, and the way of v/(2·a) at full speed.
        """
        return (np.abs(dq) / self._two_ddq).max(0)

    def _positions_in_box(self, kinematics: Kinematics, first: Array, second: Array) -> Array:
        """Tool positions from the center of the box at two configurations (j, n), (2, 3, n) m."""
        q = np.concatenate([first, second], 1).T
        pos = kinematics.position(q)
        return pos.reshape(2, -1, 3).swapaxes(1, 2) - self._box_center


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
        finite = np.isfinite(target).all(-1)
        requested = np.where(finite[:, None], target, 0.0)
        tau = np.clip(requested, -self.limits.tau, self.limits.tau)
        limited = (tau != requested).any(-1)
        return Torque(tau), ~finite * UNUSABLE | limited * LIMITED


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
