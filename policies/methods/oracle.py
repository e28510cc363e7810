"""The ceiling: soft actor-critic that is told the true task; not a policy for an arm."""

from typing import Any

import torch
from torch import Tensor

from policies.method import Problem, Transition, TrialBatch
from policies.rl.sac import FixedBelief, SacConfig, SacLearner


class Oracle:
    """Belief: the task, each parameter scaled to about [-1, 1] by its training range."""

    Config = SacConfig
    privileged = True

    def __init__(self, problem: Problem, config: SacConfig, seed: int) -> None:
        self.problem, self.config, self.schedule = problem, config, config.schedule
        low, high = torch.tensor(problem.task_low), torch.tensor(problem.task_high)
        self.middle, self.half = (high + low) / 2, (high - low) / 2
        self.learner = SacLearner(problem, len(problem.task_names), self.scaled, config, seed)

    def scaled(self, task: Tensor) -> Tensor:
        """What it is told of tasks (n, p)."""
        return (task - self.middle) / self.half

    def prior(self, n: int, task: Tensor | None = None) -> FixedBelief:
        """The truth; ValueError without it."""
        if task is None:
            raise ValueError("the oracle must be told the task, and was given none")
        return FixedBelief(self.scaled(task))

    def act(self, obs: Tensor, belief: FixedBelief, explore: bool) -> Tensor:
        """A sample of the policy, or its mean."""
        return self.learner.act(obs, belief, explore)

    def observe(self, belief: FixedBelief, transition: Transition) -> FixedBelief:
        """Unchanged."""
        return belief

    def adapt(self, belief: FixedBelief, episode: Transition) -> FixedBelief:
        """Unchanged."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Soft actor-critic."""
        return self.learner.learn(trial)

    def state_dict(self) -> dict[str, Any]:
        """Everything learnt and kept."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        self.learner.load_state_dict(state)
