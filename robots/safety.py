"""The gate: the one way from a wish to the joints. Batched, and the same in simulation and on the arm.

Axes: n arms, j joints. It limits; it performs no safety function.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import Limits, Setpoint
from robots.kinematics import Kinematics
from robots.signals import Array
from robots.world import Verdict


class SafetyGate:
    """Turns wished joint velocities into setpoints that keep every limit, tick by tick.

    Position, velocity, acceleration and jerk hold for every setpoint it ever gives, as long as the first one, given
    by ``reset``, lies inside; the tool's box holds to two millimetres. It does by never being in a state from which the
    joints, braking together along a straight line in joint space, would not come to rest inside. Steps are taken
    from the last setpoint, never from a measurement.
    """

    EARLY = 0.02  # s, by how much sooner than it must the gate slows down for the tool's box: later, it would chatter

    def __init__(self, limits: Limits, dt: float, n: int, kinematics: Kinematics | None = None) -> None:
        """``dt`` s is the tick; without ``kinematics`` there is no tool, and its box is not checked."""
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"the gate's tick must be finite and positive, got {dt} s")
        self.limits, self.dt, self.kinematics = limits, dt, kinematics
        zeros = np.zeros((n, len(limits.dq)))
        self._q, self._dq, self._ddq = zeros, zeros, zeros
        # until a deceleration has built up, the joints travel on for this long; all stop together in that other time
        self._lag = float((2 * limits.ddq / limits.jerk).max()) + 3 * dt
        self._together = float((limits.dq / (2 * limits.ddq)).max()) + self._lag

    @property
    def setpoint(self) -> Setpoint:
        """Where the joints were told to be last, (n, j)."""
        return Setpoint(self._q, self._dq, self._ddq)

    def reset(self, q: Array, mask: NDArray[np.bool_] | None = None) -> None:
        """Begin at rest at ``q`` (n, j), for all arms or those in ``mask``; ValueError outside the limits."""
        rows = np.ones(len(self._q), dtype=bool) if mask is None else mask
        q = np.asarray(q, dtype=np.float64)
        outside = ~((q >= self.limits.q_low) & (q <= self.limits.q_high))  # NaN is outside
        if outside[rows].any():
            joint = int(np.nonzero(outside[rows])[1][0])
            low, high = self.limits.q_low[joint], self.limits.q_high[joint]
            raise ValueError(f"joint {joint} cannot start at {q[rows][:, joint]}: allowed are {low} to {high}")
        self._q = np.where(rows[:, None], q, self._q)
        self._dq = np.where(rows[:, None], 0.0, self._dq)
        self._ddq = np.where(rows[:, None], 0.0, self._ddq)

    def __call__(self, target: Array) -> tuple[Setpoint, NDArray[np.int64]]:
        """One tick towards joint velocities ``target`` (n, j) rad/s; returns the setpoint and Verdict flags (n,)."""
        target = np.asarray(target, dtype=np.float64)
        if target.shape != self._q.shape:
            raise ValueError(f"the gate takes targets of shape {self._q.shape}, got {target.shape}")
        finite = np.isfinite(target).all(-1, keepdims=True)
        wish = np.where(finite, target, 0.0)
        low = -self._brakeable(self._q - self.limits.q_low)
        high = self._brakeable(self.limits.q_high - self._q)
        allowed = np.clip(wish, low, high)
        cut = np.abs(allowed - wish) > 1e-9
        urgent = cut | (self._dq < low) | (self._dq > high)
        limited = cut.any(-1, keepdims=True)

        share = self._share(allowed)
        q, dq, ddq = self._towards(share * allowed, urgent)
        held, limited = ~finite, limited | (share < 1)
        if (leaves := self._leaves_box(q, dq)).any():
            braked = self._towards(np.zeros_like(allowed), np.zeros_like(urgent))
            q, dq, ddq = (np.where(leaves, a, b) for a, b in zip(braked, (q, dq, ddq), strict=True))
            held, limited = held | leaves, limited | leaves
        self._q, self._dq, self._ddq = q, dq, ddq
        verdict = ~finite * int(Verdict.DROPPED) | held * int(Verdict.HELD) | limited * int(Verdict.LIMITED)
        return self.setpoint, verdict[:, 0]

    def _brakeable(self, distance: Array) -> Array:
        """The speed from which a joint still stops within ``distance``: v²/(2·ddq) + v·together = distance.

        Slow enough that it may also brake together with all others, however fast they are.
        """
        a, lag = self.limits.ddq, self._together
        speed = a * (np.sqrt(lag**2 + 2 * np.maximum(distance, 0) / a) - lag)
        return np.minimum(speed, self.limits.dq)

    def _towards(self, target: Array, urgent: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        """The fastest next tick to ``target`` (n, j) that acceleration and jerk allow without overshoot.

        From an acceleration a, ramped down by δ = jerk·dt a tick, velocity still grows by
        dt·((m + 1)·a - δ·m·(m + 1)/2) with m = ⌊a/δ⌋; solved for the a that ends exactly at the target.
        The joints change together, so that the tool keeps its direction; those that are ``urgent`` (n, j), near
        their bounds, do so each for itself.
        """
        step = self.limits.jerk * self.dt
        low = np.maximum(self._ddq - step, -self.limits.ddq)
        high = np.minimum(self._ddq + step, self.limits.ddq)
        error = (target - self._dq) / self.dt
        size = np.maximum(np.abs(error), 1e-12)
        m = np.floor((np.sqrt(1 + 8 * size / step) - 1) / 2)
        fastest = np.clip(np.sign(error) * (size / (m + 1) + step * m / 2), low, high)
        share = np.maximum((fastest * np.sign(error) / size).min(-1, keepdims=True, where=error != 0, initial=1), 0)
        ddq = np.where(urgent, fastest, np.clip(share * error, low, high))
        dq = self._dq + ddq * self.dt
        return self._q + dq * self.dt, dq, ddq

    def _share(self, wish: Array) -> Array:
        """How much of ``wish`` (n, j) the tool can have and still stop at the face of its box, (n, 1) in [0, 1].

        Of the way to where it would come to rest, a fraction f lies inside; the way to rest from s·wish is
        s·(s·time + lag)·wish, hence s·(s·time + lag) = f·(time + lag).
        """
        if self.kinematics is None:
            return np.ones((len(wish), 1))
        time, lag = self._braking(wish), self._lag + self.EARLY
        now, rest = self._tool(self._q, self._q + wish * (time + lag))
        box, way = self.limits.tool_box, rest - now
        room = np.maximum(np.where(way > 0, box[:, 1] - now, now - box[:, 0]), 0.0)
        f = np.divide(room, np.abs(way), out=np.ones_like(way), where=np.abs(way) > room).min(-1, keepdims=True)
        return np.where(f < 1, 2 * f * (time + lag) / (lag + np.sqrt(lag**2 + 4 * time * f * (time + lag))), 1.0)

    def _leaves_box(self, q: Array, dq: Array) -> NDArray[np.bool_]:
        """Whether the tool, braking from (q, dq), would pass or rest outside its box and further out than now."""
        if self.kinematics is None:
            return np.zeros((len(q), 1), dtype=bool)
        way, box = dq * (self._braking(dq) + self._lag), self.limits.tool_box
        tool = self._tool(self._q, q + way / 2, q + way)
        now, *ahead = np.maximum(np.maximum(box[:, 0] - tool, tool - box[:, 1]), 0.0)
        return np.asarray((np.maximum(*ahead) > now + 1e-9).any(-1, keepdims=True))

    def _braking(self, dq: Array) -> Array:
        """How long at ``dq`` (n, j) the joints travel the way they need to brake together, (n, 1) s."""
        return (np.abs(dq) / (2 * self.limits.ddq)).max(-1, keepdims=True)

    def _tool(self, *q: Array) -> Array:
        """Where the tool is for some configurations (n, j) each, (len(q), n, 3) m."""
        return self.kinematics.position(np.concatenate(q)).reshape(len(q), -1, 3)  # type: ignore[union-attr]
