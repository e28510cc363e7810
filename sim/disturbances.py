"""What lies between a policy and its world: late actions, and observations that are noisy, coarse or lost.

Each is part of the task, and absent where the task does not name it:

``disturbance.latency``   s from posting an action to its effect
``disturbance.noise``     standard deviation of an observation, as a share of half its range
``disturbance.quantum``   step of an observation, as a share of half its range
``disturbance.dropout``   probability that an observation is lost, and the last one stands
"""

import numpy as np

from robots.signals import Array
from robots.world import Spec, Task


class Disturbances:
    """The wires of n worlds for one episode."""

    def __init__(self, task: Task, obs: Spec, actions: int, dt: float) -> None:
        """``dt`` s is the time between two actions."""
        self._latency, self._noise, self._quantum, self._dropout = (
            task[name] if (name := f"disturbance.{kind}") in task.names else np.zeros(len(task))
            for kind in ("latency", "noise", "quantum", "dropout")
        )
        if any((x < 0).any() for x in (self._latency, self._noise, self._quantum, self._dropout)):
            raise ValueError("a disturbance must not be negative")
        self._dt, self._scale = dt, (np.asarray(obs.high) - np.asarray(obs.low)) / 2
        self._posted = np.zeros((1 + int(np.ceil(self._latency.max(initial=0.0) / dt)), len(task), actions))
        self._rows = np.arange(len(task))
        self._last: Array | None = None
        self._late = bool(self._latency.any())
        self._blurred = bool(self._noise.any() or self._quantum.any() or self._dropout.any())

    def post(self, action: Array) -> None:
        """The policy's newest actions (n, a)."""
        self._posted = np.roll(self._posted, 1, axis=0)
        self._posted[0] = action

    def action(self, since: float) -> Array:
        """The actions (n, a) in effect ``since`` s after the newest was posted; zero before the first arrives."""
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
        if self._last is not None:
            seen = np.where(rng.random(len(obs))[:, None] < self._dropout[:, None], self._last, seen)
        self._last = seen
        return seen
