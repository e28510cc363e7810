"""Hindsight: what a transition would have earned for another goal (Andrychowicz et al. 2017).

Where the goal is observed and the reward is the family's own function of what is observed, every
transition teaches every goal. Goals are those of other transitions in the batch, so that they come
from the distribution of the tasks.
"""

from dataclasses import replace

import torch
from torch import Tensor

from policies.method import Problem, Transition


def relabel_goals(
    batch: Transition,
    problem: Problem,
    generator: torch.Generator,
) -> Transition:
    """The batch (b, ...) with its goals exchanged at random; itself where no goal is observed."""
    if not problem.goal_columns or problem.reward is None:
        return batch
    columns = list(problem.goal_columns)
    order = torch.randperm(len(batch.obs), generator=generator, device=batch.obs.device)
    goals = batch.obs[order][:, columns]
    obs = _with_goals(batch.obs, columns, goals)
    next_obs = _with_goals(batch.next_obs, columns, goals)
    # a reward that needs the hidden task is not known to a problem: there is none to pass on
    unknown = obs.new_full((len(obs), problem.task_dim), torch.nan)
    reward = problem.reward(obs, batch.applied, next_obs, unknown)
    return replace(batch, obs=obs, next_obs=next_obs, reward=reward)


def _with_goals(obs: Tensor, columns: list[int], goals: Tensor) -> Tensor:
    changed = obs.clone()
    changed[:, columns] = goals
    return changed
