"""The family's metrics of each episode: numbers in SI units that people understand."""

import numpy as np
import torch
from torch import Tensor

from policies.method import Transition, TrialBatch
from robots.judging import JudgedByMean
from robots.signals import Array
from robots.world import Family, Task


def judge(family: Family, task: Task, episode: Transition, last: Tensor) -> Tensor:
    """Whether an episode (H, n, ...) was a success, (n,).

    Args:
        family: by its last state, or by the mean of its metrics where it is ``JudgedByMean``.
        task: n tasks.
        episode: what happened.
        last: (n,) bool, whether the goal was met in the last valid state.
    """
    if not isinstance(family, JudgedByMean):
        return last
    means = _mean_metrics(family, task, episode.next_obs.numpy(), episode.valid.numpy())
    is_good = np.asarray(family.episode_success(means), dtype=np.bool_)
    is_whole = episode.valid.all(0)
    return torch.from_numpy(is_good) & is_whole


def episode_metrics(family: Family, task: Task, trial: TrialBatch) -> dict[str, Array]:
    """``family.metrics`` of each episode, (E, n) each.

    They are those of the last valid observation, or the mean over all valid ones where the family
    is ``JudgedByMean``. NaN where an episode has no valid observation, or where the metric needs a
    task parameter that is not known.
    """
    if isinstance(family, JudgedByMean):
        ticks = trial.ticks
        return _mean_metrics(family, task, ticks.next_obs.numpy(), ticks.valid.numpy())
    obs = _last_valid_obs(trial)  # (E, n, o)
    parameters = task.columns(*family.task_names)  # (n, p)
    shape = (len(obs), *parameters.shape)
    every_episode = np.broadcast_to(parameters, shape)  # (E, n, p)
    values = family.metrics(obs, every_episode)
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


def _mean_metrics(family: Family, task: Task, next_obs: Array, valid: Array) -> dict[str, Array]:
    """The mean of each metric over the valid ticks, (..., n); NaN without one.

    Args:
        family: whose metrics are meant.
        task: n tasks.
        next_obs: (..., H, n, o).
        valid: (..., H, n) bool.
    """
    parameters = task.columns(*family.task_names)  # (n, p)
    shape = (*next_obs.shape[:-1], parameters.shape[1])
    obs = next_obs.astype(np.float64)
    values = family.metrics(obs, np.broadcast_to(parameters, shape))
    count = valid.sum(-2)
    means = {}
    for name, value in values.items():
        counted = np.where(valid, value, 0.0)
        total = counted.sum(-2)
        mean = total / np.maximum(count, 1)
        means[name] = np.where(count > 0, mean, np.nan)
    return means


def _last_valid_obs(trial: TrialBatch) -> Array:
    """The observation after the last valid tick of each episode, (E, n, o); NaN without one."""
    valid = trial.ticks.valid.numpy()  # (E, H, n)
    next_obs = trial.ticks.next_obs.numpy()  # (E, H, n, o)
    episodes, horizon, n = valid.shape
    ticks_from_end = valid[:, ::-1].argmax(1)  # (E, n)
    last = horizon - 1 - ticks_from_end  # (E, n)
    every_episode = np.arange(episodes)[:, None]
    every_world = np.arange(n)
    obs: Array = next_obs[every_episode, last, every_world].astype(np.float64)
    has_none = ~valid.any(1)
    obs[has_none] = np.nan
    return obs
