"""What lies between a policy and its world: late actions, and observations that are noisy, coarse or lost.

Each is part of the task, and absent where the task does not name it:

``disturbance.latency``   s from posting an action to its effect
``disturbance.noise``     standard deviation of an observation, as a share of half its range
``disturbance.quantum``   step of an observation, as a share of half its range
``disturbance.dropout``   probability that an observation is lost, and the last one stands
"""

import numpy as np
from numpy.typing import NDArray

from robots.signals import Array, Spec
from robots.world import Task


class Disturbances:
    """The wires of n worlds."""

    def __init__(self, n: int, obs: Spec, still: Array, dt: float) -> None:
        """``still`` (a,) is in effect until the first action arrives; ``dt`` s is the time between two actions."""
        self._dt, self._scale = dt, (np.asarray(obs.high) - np.asarray(obs.low)) / 2
        self._still = still
        self._posted = np.tile(still, (1, n, 1))  # newest first
        self._last = np.full((n, len(obs)), np.nan)
        self._rows = np.arange(n)

    def begin(self, task: Task, rows: NDArray[np.bool_]) -> None:
        """Forget what some worlds (n,) posted and saw; ValueError for a disturbance that is negative."""
        self._latency, self._noise, self._quantum, self._dropout = (
            task[name] if (name := f"disturbance.{kind}") in task.names else np.zeros(len(task))
            for kind in ("latency", "noise", "quantum", "dropout")
        )
        if any((x < 0).any() for x in (self._latency, self._noise, self._quantum, self._dropout)):
            raise ValueError("a disturbance must not be negative")
        kept = 1 + int(np.ceil(self._latency.max(initial=0.0) / self._dt))
        more = np.tile(self._still, (max(0, kept - len(self._posted)), self._posted.shape[1], 1))
        self._posted = np.concatenate([self._posted, more])[:kept]
        self._posted[:, rows], self._last[rows] = self._still, np.nan
        self._late = bool(self._latency.any())
        self._blurred = bool(self._noise.any() or self._quantum.any() or self._dropout.any())

    def post(self, action: Array) -> None:
        """The policy's newest actions (n, a)."""
        self._posted[1:] = self._posted[:-1].copy()
        self._posted[0] = action

    def action(self, since: float) -> Array:
        """The actions (n, a) in effect ``since`` s after the newest was posted."""
        if not self._late:
            return self._posted[0]
        age = np.ceil(np.maximum(self._latency - since, 0) / self._dt - 1e-9).astype(int)
        return self._posted[age, self._rows]

    def observation(self, obs: Array, rng: np.random.Generator) -> Array:
        """What the policy is shown of a true observation (n, o)."""
        if not self._blurred:
            return obs
        seen = obs + rng.standard_normal(obs.shape) * self._noise[:, None] * self._scale
        step = self._quantum[:, None] * self._scale
        seen = np.where(step > 0, np.round(seen / np.where(step > 0, step, 1)) * step, seen)
        lost = (rng.random(len(obs)) < self._dropout) & np.isfinite(self._last).all(-1)
        self._last = np.where(lost[:, None], self._last, seen)
        return self._last.copy()
