"""Sub-goals of a two-level method, and the problem and the transitions that each level sees.

A sub-goal asks for a change of some columns of the observation. Changes are in units of their
largest one, so the high level's actions lie in [-1, 1].
Axes: n worlds, E episodes, H ticks, k ticks of a sub-goal, o observation, g columns of a sub-goal.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from policies.method import Method, Problem, Transition, TrialBatch
from robots.errors import BadArgumentError
from robots.signals import ArrayLike

B = TypeVar("B")  # a belief


class SubgoalSpace:
    """The columns that sub-goals change, and by how much.

    Attributes:
        size: g, number of columns.
        scale: (g,) largest change of each column within a sub-goal, in its unit.
    """

    def __init__(
        self, problem: Problem, columns: Sequence[str], reach: float, device: torch.device
    ) -> None:
        """The space of a family's sub-goals.

        Args:
            problem: the family.
            columns: names of the columns; empty: all but those of an observed goal.
            reach: the largest change, as a share of half the column's usual range.
            device: of all tensors.

        Raises:
            BadArgumentError: the family has no such column, or only those of an observed goal.
        """
        self.problem = problem
        names = list(columns)
        if not names:
            names = [x for i, x in enumerate(problem.obs_names) if i not in problem.goal_columns]
        unknown = [name for name in names if name not in problem.obs_names]
        if unknown or not names:
            known = ", ".join(problem.obs_names)
            raise BadArgumentError(f"no column {', '.join(unknown)} to change; there are: {known}")
        index = [problem.obs_names.index(name) for name in names]
        self.names = names
        self.size = len(names)
        self.columns = torch.tensor(index, device=device)
        ranges = [problem.obs_high[i] - problem.obs_low[i] for i in index]
        self.scale = 0.5 * reach * torch.tensor(ranges, device=device)

    def target(self, obs: Tensor, action: Tensor) -> Tensor:
        """The values (..., g) of the columns that an action (..., g) in [-1, 1] asks for."""
        return obs[..., self.columns] + self.scale * action

    def widen(self, obs: Tensor, target: Tensor) -> Tensor:
        """Observations (..., o + g) of the low level: with what is left of the change."""
        left = (target - obs[..., self.columns]) / self.scale
        return torch.cat([obs, left], -1)

    def low_ticks(self, ticks: Transition, target: Tensor) -> Transition:
        """Transitions (...) as the low level sees them, on the way to targets (..., g).

        The next observation has the same target, also where the sub-goal is over.
        """
        obs = self.widen(ticks.obs, target)
        next_obs = self.widen(ticks.next_obs, target)
        reward = -next_obs[..., -self.size :].norm(dim=-1)
        return replace(ticks, obs=obs, next_obs=next_obs, reward=reward)

    def low_problem(self) -> Problem:
        """What the low level knows: nothing hidden is in its reward."""
        p = self.problem
        left = tuple(f"left.{name}" for name in self.names)

        def reward(
            obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
        ) -> ArrayLike:
            """Minus the distance to the sub-goal, in units of the largest changes."""
            left = next_obs[..., -self.size :]
            distance: ArrayLike = (left**2).sum(-1) ** 0.5
            return -distance

        return replace(
            p,
            obs_names=p.obs_names + left,
            obs_low=p.obs_low + (-1.0,) * self.size,
            obs_high=p.obs_high + (1.0,) * self.size,
            reward=reward,
            goal_columns=(),
            simulate=None,
            training_reward=None,
            true_reward=reward,
        )

    def high_problem(self, k: int) -> Problem:
        """What the high level knows: its actions are sub-goals, of k ticks each."""
        p = self.problem
        names = tuple(f"change.{name}" for name in self.names)
        horizon = -(-p.horizon // k)
        return replace(p, action_names=names, horizon=horizon, simulate=None)


def high_ticks(ticks: Transition, action: Tensor, k: int) -> Transition:
    """Transitions (E, ceil(H / k), n, ...) of the high level, each of up to k ticks (E, H, n, ...).

    Args:
        ticks: of the trial; those that are not valid come last in an episode.
        action: (E, H, n, g) of the high level, at every tick.
        k: ticks of a sub-goal; the last one of an episode may be shorter.
    """
    earned = (ticks.reward * ticks.valid).split(k, 1)
    ended = (ticks.terminated & ticks.valid).split(k, 1)
    timed_out = (ticks.truncated & ticks.valid).split(k, 1)
    horizon = ticks.reward.shape[1]
    last = [min(start + k, horizon) - 1 for start in range(0, horizon, k)]
    chosen = action[:, ::k]
    begun = ticks[:, ::k]
    return replace(
        begun,
        action=chosen,
        applied=chosen,
        reward=torch.stack([part.sum(1) for part in earned], 1),
        next_obs=ticks.next_obs[:, last],
        terminated=torch.stack([part.any(1) for part in ended], 1),
        truncated=torch.stack([part.any(1) for part in timed_out], 1),
    )


def outcome(start: Tensor, action: Tensor, reward: Tensor, is_over: Tensor) -> Transition:
    """A sub-goal that is over, (n, ...), as RL² reads it: only these four fields.

    Args:
        start: (n, o) the observation for which it was chosen.
        action: (n, g) the high level's.
        reward: (n,) what was earned.
        is_over: (n,) which sub-goals are over.
    """
    no = torch.zeros_like(is_over)
    return Transition(
        obs=start,
        action=action,
        applied=action,
        reward=reward,
        next_obs=start,
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=is_over,
    )


def newest_worlds(trial: TrialBatch, n: int) -> TrialBatch:
    """The last n worlds of a trial, or all; before them are those of random trials."""
    return TrialBatch(
        ticks=trial.ticks[:, :, -n:],
        task=trial.task[-n:],
        task_ids=trial.task_ids[-n:],
        success=trial.success[:, -n:],
    )


class SubgoalCollector(Generic[B]):
    """Collects training trials: a method with sub-goals, which are samples here."""

    privileged = False

    def __init__(self, method: Method[B], noise: Callable[[int], Tensor]) -> None:
        """``noise(n)`` is that of the sub-goals of n trials, (n, M, g)."""
        self.method = method
        self.noise = noise
        self.act = method.act
        self.observe = method.observe
        self.adapt = method.adapt

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """The method's own prior, with noise."""
        belief: Any = self.method.prior(n)
        high = replace(belief.high, noise=self.noise(n))
        noisy: B = replace(belief, high=high)
        return noisy
