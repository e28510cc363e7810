"""The family's metrics at the end of each episode: numbers in SI units that people understand."""

import numpy as np

from policies.method import TrialBatch
from robots.signals import Array
from robots.world import Family, Task


def final_metrics(family: Family, task: Task, trial: TrialBatch) -> dict[str, Array]:
    """``family.metrics`` of each episode's last valid observation, (E, n) each.

    NaN where an episode has no valid observation, or where the metric needs a task parameter that
    is not known.
    """
    obs = _last_valid_obs(trial)  # (E, n, o)
    parameters = task.columns(*family.task_names)  # (n, p)
    shape = (len(obs), *parameters.shape)
    every_episode = np.broadcast_to(parameters, shape)  # (E, n, p)
    values = family.metrics(obs, every_episode)
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items()}


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
