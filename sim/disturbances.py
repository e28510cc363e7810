"""Disturbances between a policy and its world: delayed actions, degraded or lost observations.

Each is a task parameter; a task without the parameter does not have the disturbance:

``disturbance.latency``   s from posting an action to its effect
``disturbance.noise``     standard deviation of an observation, as a share of half its range
``disturbance.quantum``   resolution of an observation, as a share of half its range
``disturbance.dropout``   probability that an observation is lost; the last one is then repeated
"""

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array, Mask, Spec
from robots.world import Task


class Disturbances:
    """Disturbs the actions and observations of n worlds."""

    def __init__(self, n: int, obs: Spec, actions: int, dt: float) -> None:
        """Begin without disturbances.

        Args:
            n: number of worlds.
            obs: the columns of an observation; half their range is the unit of noise and quantum.
            actions: columns of an action.
            dt: s between two actions.
        """
        self._dt = dt
        self._standstill = np.zeros((n, actions))  # in effect until the first action arrives
        full_range = obs.high - obs.low
        self._half_range = full_range / 2
        self._rows = np.arange(n)
        # (actions, n, a), the newest first
        self._posted = np.zeros((1, n, actions))
        # the last observations that were not lost, (n, o)
        shape = (n, len(obs))
        self._last = np.full(shape, np.nan)

    def begin(self, task: Task, rows: Mask, standstill: Array) -> None:
        """Set the tasks of all worlds, and clear the history of those in ``rows`` (n,).

        Args:
            task: one row per world.
            rows: the worlds that begin an episode.
            standstill: (n, a) actions in effect there until the first ones arrive.

        Raises:
            BadArgumentError: a disturbance is negative.
        """
        self._latency = _parameter(task, "latency")
        self._noise = _parameter(task, "noise")
        self._quantum = _parameter(task, "quantum")
        self._dropout = _parameter(task, "dropout")
        self._resize_history()
        self._standstill[rows] = standstill[rows]
        self._posted[:, rows] = standstill[rows]
        self._last[rows] = np.nan
        degrading = (self._noise, self._quantum, self._dropout)
        self._delays_actions = bool(self._latency.any())
        self._degrades_observations = any(value.any() for value in degrading)

    def _resize_history(self) -> None:
        """Keep as many past actions as the largest latency needs."""
        longest = self._latency.max(initial=0.0)
        periods = np.ceil(longest / self._dt)
        length = 1 + int(periods)
        missing = max(0, length - len(self._posted))
        padding = np.tile(self._standstill, (missing, 1, 1))
        history = np.concatenate([self._posted, padding])
        self._posted = history[:length]

    def post(self, action: Array) -> None:
        """Add the policy's newest actions (n, a)."""
        self._posted[1:] = self._posted[:-1].copy()
        self._posted[0] = action

    def action(self, elapsed: float) -> Array:
        """The actions (n, a) in effect ``elapsed`` s after the newest was posted.

        An action that is m control periods old was posted m·dt + elapsed s ago. The newest action
        for which this is at least the latency is in effect.
        """
        newest: Array = self._posted[0]
        if not self._delays_actions:
            return newest
        remaining = np.maximum(self._latency - elapsed, 0)
        rounding = 1e-9  # periods, tolerance for rounding errors
        periods = np.ceil(remaining / self._dt - rounding)
        age = periods.astype(int)
        in_effect: Array = self._posted[age, self._rows]
        return in_effect

    def observation(self, obs: Array, rng: np.random.Generator) -> Array:
        """The true observation (n, o) with noise, resolution and dropouts, (n, o)."""
        if not self._degrades_observations:
            return obs
        deviation = self._noise[:, None]
        noise = rng.standard_normal(obs.shape) * deviation
        noise *= self._half_range
        observed = self._quantize(obs + noise)
        last = self._last
        has_last = np.isfinite(last).all(-1)
        lost = rng.random(len(obs)) < self._dropout
        repeats = lost & has_last
        self._last = np.where(repeats[:, None], last, observed)
        return self._last.copy()

    def _quantize(self, obs: Array) -> Array:
        """Round observations (n, o) to multiples of the resolution, where there is one."""
        quantum = self._quantum[:, None]
        resolution = quantum * self._half_range
        is_coarse = resolution > 0
        divisor = np.where(is_coarse, resolution, 1)
        rounded = np.round(obs / divisor) * resolution
        return np.where(is_coarse, rounded, obs)


def _parameter(task: Task, kind: str) -> Array:
    """A disturbance of every task, (n,); zero where the task does not name it.

    Raises:
        BadArgumentError: it is negative.
    """
    name = f"disturbance.{kind}"
    if name not in task.names:
        return np.zeros(len(task))
    value = task[name]
    if (value < 0).any():
        raise BadArgumentError(f"{name} must not be negative, got {value.min()}")
    return value
