"""What a method may know of a family of tasks."""

import numpy as np

from adaptation.simulation import Simulator
from policies.method import Problem
from robots.world import Family

RANGE_SAMPLES = 4096  # tasks of each split from which the ranges of task parameters are taken


def problem_of(family: Family) -> Problem:
    """What a method may know of a family; task ranges are those of samples of both splits."""
    rng = np.random.default_rng(0)
    splits = [family.sample(rng, RANGE_SAMPLES, split).values for split in ("train", "heldout")]
    values = np.concatenate(splits)
    return Problem(
        family=family.name,
        obs_names=tuple(family.obs.names),
        obs_low=tuple(map(float, family.obs.low)),
        obs_high=tuple(map(float, family.obs.high)),
        action_names=tuple(family.action.spec.names),
        horizon=family.horizon,
        episodes=family.episodes,
        task_names=tuple(family.task_names),
        task_low=tuple(map(float, values.min(0))),
        task_high=tuple(map(float, values.max(0))),
        reward=None if family.hidden_reward else family.reward,
        simulate=Simulator(family) if family.observes_state else None,
        goal_columns=tuple(family.obs.indices(family.goal_names)),
        training_reward=family.training_reward,
        true_reward=family.reward,
    )
