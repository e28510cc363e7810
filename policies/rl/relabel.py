"""Hindsight: the reward of a transition for another goal (Andrychowicz et al. 2017).

Physics do not depend on goals, so every transition is training data for every goal. An observed
goal is replaced in the observations. A hidden goal is replaced in the task, and the belief is
inferred from a context with the new rewards (hindsight task relabeling, Packer et al. 2021). The
new goals are those of other samples in the batch, and so come from the distribution of the tasks.

Columns are copied one by one: indexing by a list would copy the list to a GPU, which a step that is
captured as a CUDA graph must not do (``policies.nn.repeat``).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from policies.method import Problem, Transition
from policies.models.particles import physics_columns
from policies.nn.noise import standard_normal, uniform


def relabel_goals(
    batch: Transition,
    problem: Problem,
    generator: torch.Generator,
) -> Transition:
    """The batch (b, ...) with permuted goals; the same batch if no goal is observed.

    Args:
        batch: transitions of any tasks.
        problem: gives the columns of the goal, and the reward.
        generator: of the permutation.
    """
    if not problem.goal_columns or problem.reward is None:
        return batch
    order = torch.randperm(len(batch.obs), generator=generator, device=batch.obs.device)
    others = batch.obs[order]
    obs = _with_columns(batch.obs, problem.goal_columns, others)
    next_obs = _with_columns(batch.next_obs, problem.goal_columns, others)
    # this reward depends on no hidden parameter, see ``Problem.reward``
    unknown = obs.new_full((len(obs), problem.task_dim), torch.nan)
    reward = problem.reward(obs, batch.applied, next_obs, unknown)
    return replace(batch, obs=obs, next_obs=next_obs, reward=reward)


def exchange_hidden_goals(
    task: Tensor,
    problem: Problem,
    share: float,
    generator: torch.Generator,
) -> Tensor:
    """Tasks (n, p), a ``share`` of them with the goal of another; unchanged if no goal is hidden.

    The rewards must then be recomputed, see ``with_true_reward``.
    """
    if problem.reward is not None:
        return task
    physics = physics_columns(problem.task_names)
    order = torch.randperm(len(task), generator=generator, device=task.device)
    exchanged = _with_columns(task[order], physics, task)
    chosen = uniform((len(task), 1), generator) < share
    return exchanged.where(chosen, task)


def with_true_reward(problem: Problem, ticks: Transition, task: Tensor) -> Transition:
    """Transitions (n, b, ...) with their rewards in tasks (n, p)."""
    if problem.reward is not None or problem.true_reward is None:
        return ticks
    reward = problem.true_reward(ticks.obs, ticks.applied, ticks.next_obs, task[:, None])
    return replace(ticks, reward=reward)


def with_gain(problem: Problem, ticks: Transition, task: Tensor, gain: Tensor) -> Transition:
    """Transitions (n, b, ...) whose observations change ``gain`` (n,) times as much.

    They stand for transitions of other tasks: an object that slides farther after the same strike
    has less friction. Rewards are those of the new next observations, with the goals of tasks
    (n, p).
    """
    if problem.true_reward is None:
        return ticks
    change = ticks.next_obs - ticks.obs
    next_obs = ticks.obs + gain[:, None, None] * change
    reward = problem.true_reward(ticks.obs, ticks.applied, next_obs, task[:, None])
    return replace(ticks, next_obs=next_obs, reward=reward)


class Varied(NamedTuple):
    """Contexts and batches as those of other tasks."""

    context: Transition  # (n, L, ...)
    ticks: Transition  # (n, b, ...)
    task: Tensor  # (n, p) with the goals that the rewards are of


def vary_tasks(
    problem: Problem,
    original: Varied,
    hindsight_share: float,
    gain_std: float,
    generator: torch.Generator,
) -> Varied:
    """Exchange hidden goals of a share of the tasks, and scale what changes by a random gain.

    Args:
        problem: the family.
        original: what was stored.
        hindsight_share: of the tasks; 0: none.
        gain_std: deviation of ln(gain), one for each task; 0: no gain.
        generator: of the random numbers.
    """
    context, ticks, task = original
    if hindsight_share > 0:
        task = exchange_hidden_goals(task, problem, hindsight_share, generator)
        context = with_true_reward(problem, context, task)
        ticks = with_true_reward(problem, ticks, task)
    if gain_std > 0:
        log_gain = gain_std * standard_normal((len(task),), generator)
        gain = log_gain.exp()
        context = with_gain(problem, context, task, gain)
        ticks = with_gain(problem, ticks, task, gain)
    return Varied(context, ticks, task)


def _with_columns(x: Tensor, columns: Sequence[int], source: Tensor) -> Tensor:
    """A copy of rows (n, k) with some columns from other rows (n, k)."""
    changed = x.clone()
    for column in columns:
        changed[:, column] = source[:, column]
    return changed
