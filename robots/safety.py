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
    by ``reset``, lies inside; the tool's box holds to a centimetre, since what is predicted is where braking
    ends, not the way there. Steps are taken from the last setpoint, never from a measurement.
    """

    def __init__(self, limits: Limits, dt: float, n: int, kinematics: Kinematics | None = None) -> None:
        """``dt`` s is the tick; without ``kinematics`` there is no tool, and its box is not checked."""
        if not (np.isfinite(dt) and dt > 0):
            raise ValueError(f"the gate's tick must be finite and positive, got {dt} s")
        self.limits, self.dt, self.kinematics = limits, dt, kinematics
        zeros = np.zeros((n, len(limits.dq)))
        self._q, self._dq, self._ddq = zeros, zeros, zeros
        # a joint that brakes travels dq²/(2·ddq) and, until its deceleration has built up, this long at dq besides
        self._lag = 2 * limits.ddq / limits.jerk + 3 * dt

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

        q, dq, ddq = self._towards(allowed, urgent)
        held = ~finite
        if self.kinematics is not None and (leaves := self._leaves_box(q, dq, urgent)[:, None]).any():
            braked = self._towards(np.zeros_like(allowed), urgent)
            q, dq, ddq = (np.where(leaves, a, b) for a, b in zip(braked, (q, dq, ddq), strict=True))
            held, limited = held | leaves, limited | leaves
        self._q, self._dq, self._ddq = q, dq, ddq
        verdict = ~finite * int(Verdict.DROPPED) | held * int(Verdict.HELD) | limited * int(Verdict.LIMITED)
        return self.setpoint, verdict[:, 0]

    def _brakeable(self, distance: Array) -> Array:
        """The speed from which a joint still stops within ``distance``: v²/(2·ddq) + v·lag = distance."""
        a, lag = self.limits.ddq, self._lag
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

    def _leaves_box(self, q: Array, dq: Array, urgent: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the tool, braking from (q, dq), would come to rest outside its box and further out than now."""
        apart = np.abs(dq) / (2 * self.limits.ddq) + self._lag  # s at dq, each joint for itself
        braking = np.where(urgent, apart, apart.max(-1, keepdims=True))
        outside = self._outside(q + dq * braking)
        if not outside.any():
            return np.zeros(len(q), dtype=bool)
        return np.asarray((outside > self._outside(self._q) + 1e-9).any(-1))

    def _outside(self, q: Array) -> Array:
        """How far the tool at ``q`` (n, j) is outside its box along each axis, (n, 3) m."""
        tool, box = self.kinematics.position(q), self.limits.tool_box  # type: ignore[union-attr]
        return np.maximum(np.maximum(box[:, 0] - tool, tool - box[:, 1]), 0.0)
