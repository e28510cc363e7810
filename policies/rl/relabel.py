"""Hindsight: what a transition would have earned for another goal (Andrychowicz et al. 2017).

Physics do not depend on goals, so that every transition teaches every goal. Where the goal is
observed, it is exchanged in the observations. Where it is hidden, it is exchanged in the task, and
the belief is inferred from a context of the new rewards (hindsight task relabeling, Packer et al.
2021). Goals are those of others in the batch, so that they come from the distribution of the tasks.
"""

from dataclasses import replace

import torch
from torch import Tensor

from policies.method import Problem, Transition
from policies.models.particles import physics_columns
from policies.nn.noise import uniform


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


def exchange_hidden_goals(
    task: Tensor,
    problem: Problem,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    """Tasks (n, p), a ``share`` of them with the goal of another one.

    The same tasks where no goal is hidden. Rewards have to be computed anew: ``with_true_reward``.
    """
    if problem.reward is not None:
        return task
    physics = physics_columns(problem.task_names)
    order = torch.randperm(len(task), generator=generator, device=task.device)
    exchanged = task[order]
    exchanged[:, physics] = task[:, physics]
    chosen = uniform((len(task), 1), generator) < share
    return exchanged.where(chosen, task)


def with_true_reward(problem: Problem, ticks: Transition, task: Tensor) -> Transition:
    """Transitions (n, b, ...) with the rewards that they would have earned in tasks (n, p)."""
    if problem.reward is not None or problem.true_reward is None:
        return ticks
    reward = problem.true_reward(ticks.obs, ticks.applied, ticks.next_obs, task[:, None])
    return replace(ticks, reward=reward)


def with_gain(problem: Problem, ticks: Transition, task: Tensor, gain: Tensor) -> Transition:
    """Transitions (n, b, ...) whose observations change ``gain`` (n,) times as much as they did.

    They are those of imagined tasks: an object that goes further after the same blow is more
    slippery. Rewards are those of the new outcomes, with the goals of tasks (n, p).
    """
    if problem.true_reward is None:
        return ticks
    change = ticks.next_obs - ticks.obs
    next_obs = ticks.obs + gain[:, None, None] * change
    reward = problem.true_reward(ticks.obs, ticks.applied, next_obs, task[:, None])
    return replace(ticks, next_obs=next_obs, reward=reward)


def _with_goals(obs: Tensor, columns: list[int], goals: Tensor) -> Tensor:
    changed = obs.clone()
    changed[:, columns] = goals
    return changed
