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
    valid = trial.ticks.valid.numpy()  # (E, H, n)
    next_obs = trial.ticks.next_obs.double().numpy()  # (E, H, n, o)
    horizon = valid.shape[1]
    last = horizon - 1 - valid[:, ::-1].argmax(1)  # (E, n) index of the last valid tick
    obs = np.take_along_axis(next_obs, last[:, None, :, None], axis=1)[:, 0]  # (E, n, o)
    obs[~valid.any(1)] = np.nan
    parameters = task.columns(*family.task_names)  # (n, p)
    every_episode = np.broadcast_to(parameters, (len(obs), *parameters.shape))  # (E, n, p)
    metrics = family.metrics(obs, every_episode)
    return {name: np.asarray(value, dtype=np.float64) for name, value in metrics.items()}
