"""The gate: the one way from a wish to the joints. Batched, and the same in simulation and on the arm.

Axes: n arms, j joints. It limits; it performs no safety function.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Torque, Verdict

TINY = 1e-300  # makes 0/0 one, and is nothing beside any other number


class SafetyGate:
    """Turns wished joint velocities into setpoints that keep every limit, tick by tick.

    Position, velocity, acceleration and jerk hold for every setpoint it ever gives, as long as the first one, given
    by ``reset``, lies inside; the tool's box holds to two millimetres. It does by never being in a state from which the
    joints, braking together along a straight line in joint space, would not come to rest inside. Steps are taken
    from the last setpoint, never from a measurement.
    """

    setpoint: Setpoint  # where the joints were told to be last, (n, j)
    EARLY = 0.02  # s, by how much sooner than it must the gate slows down for the tool's box: later, it would chatter

    def __init__(
        self, limits: Limits, dt: float, n: int, kinematics: Kinematics | None = None
    ) -> None:
        """``dt`` s is the tick; without ``kinematics`` there is no tool, and its box is not checked."""
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"the gate's tick must be finite and positive, got {dt} s")
        self.limits, self.dt, self.kinematics = limits, dt, kinematics
        # until a deceleration has built up, the joints travel on for this long; all stop together in that other time
        self._lag = float((2 * limits.ddq / limits.jerk).max()) + 3 * dt
        self._together = float((limits.dq / (2 * limits.ddq)).max()) + self._lag

        # Inside, arms come last and all is as long as they are many: what need not broadcast takes a third of the time.
        def each(value: Array | float, rows: int = len(limits.dq)) -> Array:
            return np.repeat(np.broadcast_to(value, rows)[:, None], n, 1)

        self._low, self._high, self._dq_top = (
            each(limits.q_low),
            each(limits.q_high),
            each(limits.dq),
        )
        self._ddq_top, self._twice = each(limits.ddq), each(2 * limits.ddq)
        self._step, self._half_step = each(limits.jerk * dt), each(limits.jerk * dt / 2)
        self._slack, self._slack2 = (
            each(limits.ddq * self._together),
            each((limits.ddq * self._together) ** 2),
        )
        box = limits.tool_box
        self._center, self._half = each(box.mean(1), 3), each((box[:, 1] - box[:, 0]) / 2, 3)
        self._tell(each(0.0), each(0.0), each(0.0))

    def _tell(self, q: Array, dq: Array, ddq: Array) -> None:
        """The joints were told this last, (j, n) each."""
        self._q, self._dq, self._ddq = q, dq, ddq
        self.setpoint = Setpoint(q.T, dq.T, ddq.T)

    def reset(self, q: Array, mask: NDArray[np.bool_] | None = None) -> None:
        """Begin at rest at ``q`` (n, j), for all arms or those in ``mask``; ValueError outside the limits."""
        rows = np.ones(len(self.setpoint.q), dtype=bool) if mask is None else mask
        q = np.asarray(q, dtype=np.float64)
        outside = ~((q >= self.limits.q_low) & (q <= self.limits.q_high))  # NaN is outside
        if outside[rows].any():
            joint = int(np.nonzero(outside[rows])[1][0])
            low, high = self.limits.q_low[joint], self.limits.q_high[joint]
            raise ValueError(
                f"joint {joint} cannot start at {q[rows][:, joint]}: allowed are {low} to {high}"
            )
        self._tell(
            *(
                np.where(rows, a, b)
                for a, b in (
                    (np.ascontiguousarray(q.T), self._q),
                    (0.0, self._dq),
                    (0.0, self._ddq),
                )
            )
        )

    def __call__(self, target: Array) -> tuple[Setpoint, NDArray[np.int64]]:
        """One tick towards joint velocities ``target`` (n, j) rad/s; returns the setpoint and Verdict flags (n,)."""
        target = np.asarray(target, dtype=np.float64)
        if target.shape != self.setpoint.q.shape:
            raise ValueError(
                f"the gate takes targets of shape {self.setpoint.q.shape}, got {target.shape}"
            )
        wish, verdict = np.ascontiguousarray(target.T), np.zeros(len(target), dtype=np.int64)
        if not (finite := np.isfinite(wish)).all():
            dropped = ~finite.all(0)
            wish = np.where(dropped, 0.0, wish)
            verdict |= dropped * int(Verdict.DROPPED | Verdict.HELD)
        low = -self._brakeable(self._q - self._low)
        high = self._brakeable(self._high - self._q)
        allowed = _clip(wish, low, high)
        cut = np.abs(allowed - wish) > 1e-9
        urgent = cut | (self._dq < low) | (self._dq > high)
        limited = cut.any(0)

        if self.kinematics is None:
            q, dq, ddq = self._towards(allowed, urgent)
        else:
            share, now = self._share(self.kinematics, allowed)
            limited |= share < 1
            q, dq, ddq = self._towards(share * allowed, urgent)
            if (leaves := self._leaves_box(self.kinematics, now, q, dq)).any():
                braked = self._towards(np.zeros_like(allowed), np.zeros_like(urgent))
                q, dq, ddq = (
                    np.where(leaves, a, b) for a, b in zip(braked, (q, dq, ddq), strict=True)
                )
                verdict |= leaves * int(Verdict.LIMITED | Verdict.HELD)
        self._tell(q, dq, ddq)
        return self.setpoint, verdict | limited * int(Verdict.LIMITED)

    def _brakeable(self, distance: Array) -> Array:
        """The speed from which a joint still stops within ``distance``: v²/(2·ddq) + v·together = distance.

        Slow enough that it may also brake together with all others, however fast they are.
        """
        speed = np.sqrt(self._slack2 + self._twice * np.maximum(distance, 0.0)) - self._slack
        return np.minimum(speed, self._dq_top)

    def _towards(self, target: Array, urgent: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """The fastest next tick to ``target`` (j, n) that acceleration and jerk allow without overshoot.

        From an acceleration a, ramped down by δ = jerk·dt a tick, velocity still grows by
        dt·((m + 1)·a - δ·m·(m + 1)/2) with m = ⌊a/δ⌋; solved for the a that ends exactly at the target.
        The joints change together, so that the tool keeps its direction; those that are ``urgent`` (j, n), near
        their bounds, do so each for itself.
        """
        step, half = self._step, self._half_step
        low = np.maximum(self._ddq - step, -self._ddq_top)
        high = np.minimum(self._ddq + step, self._ddq_top)
        error = (target - self._dq) / self.dt
        sign, size = np.sign(error), np.abs(error) + TINY
        ticks = np.floor(np.sqrt(size / half + 0.25) + 0.5)  # m + 1
        fastest = _clip(sign * (size / ticks + (half * ticks - half)), low, high)
        share = np.maximum(
            ((fastest * sign + TINY) / size).min(0, initial=1.0), 0.0
        )  # without an error, 1
        ddq = np.where(urgent, fastest, _clip(share * error, low, high))
        dq = self._dq + ddq * self.dt
        return self._q + dq * self.dt, dq, ddq

    def _share(self, kinematics: Kinematics, wish: Array) -> tuple[Array, Array]:
        """How much of ``wish`` (j, n) the tool can have and still stop at the face of its box, (n,) in [0, 1].

        Of the way to where it would come to rest, a fraction f lies inside; the way to rest from s·wish is
        s·(s·time + lag)·wish, hence s·(s·time + lag) = f·(time + lag). Also gives where the tool is now.
        """
        time, lag = self._braking(wish), self._lag + self.EARLY
        now, rest = self._tool(kinematics, self._q, self._q + wish * (time + lag))
        way = rest - now
        room = np.maximum(self._half - np.sign(way) * now, 0.0)
        f = ((room + TINY) / (np.abs(way) + TINY)).min(0)
        inside, half = f * (time + lag), lag / 2
        return np.where(f < 1, inside / (half + np.sqrt(half**2 + time * inside)), 1.0), now

    def _leaves_box(
        self, kinematics: Kinematics, now: Array, q: Array, dq: Array
    ) -> NDArray[np.bool_]:
        """Whether the tool, braking from (q, dq), would pass or rest outside its box and further out than now, (n,)."""
        way = dq * (self._braking(dq) + self._lag)
        passed, rest = np.abs(self._tool(kinematics, q + way / 2, q + way))
        return (np.maximum(passed, rest) > np.maximum(np.abs(now), self._half) + 1e-9).any(0)

    def _braking(self, dq: Array) -> Array:
        """How long at ``dq`` (j, n) the joints travel the way they need to brake together, (n,) s."""
        return (np.abs(dq) / self._twice).max(0)

    def _tool(self, kinematics: Kinematics, first: Array, second: Array) -> Array:
        """Where the tool is from the middle of its box at two configurations (j, n) each, (2, 3, n) m."""
        tool = kinematics.position(np.concatenate([first, second], 1).T)
        return tool.reshape(2, -1, 3).swapaxes(1, 2) - self._center


def _clip(x: Array, low: Array | float, high: Array | float) -> Array:
    """As np.clip, in half the time."""
    return np.minimum(np.maximum(x, low), high)


class TorqueGate:
    """Keeps torques within their limits; the verbs are the ``SafetyGate``'s."""

    def __init__(self, limits: Limits, n: int) -> None:
        self.limits = limits
        self._nowhere = np.full((n, len(limits.tau)), np.nan)

    @property
    def setpoint(self) -> Setpoint:
        """Torques tell no joint where to be: NaN, (n, j)."""
        return Setpoint(self._nowhere, self._nowhere, self._nowhere)

    def reset(self, q: Array, mask: NDArray[np.bool_] | None = None) -> None:
        """Nothing: a torque is allowed whatever came before it."""

    def __call__(self, target: Array) -> tuple[Torque, NDArray[np.int64]]:
        """One tick of torques ``target`` (n, j) N·m; a row that is not finite pushes nothing. Verdict flags (n,)."""
        target = np.asarray(target, dtype=np.float64)
        if target.shape != self._nowhere.shape:
            raise ValueError(
                f"the gate takes targets of shape {self._nowhere.shape}, got {target.shape}"
            )
        finite = np.isfinite(target).all(-1, keepdims=True)
        wish = np.where(finite, target, 0.0)
        tau = np.clip(wish, -self.limits.tau, self.limits.tau)
        limited = (tau != wish).any(-1, keepdims=True)
        verdict = ~finite * int(Verdict.DROPPED | Verdict.HELD) | limited * int(Verdict.LIMITED)
        return Torque(tau), verdict[:, 0]
