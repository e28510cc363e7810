"""The floor: soft actor-critic that is told nothing of the task and remembers nothing."""

from typing import Any

import torch
from torch import Tensor

from policies.method import Problem, Transition, TrialBatch
from policies.rl.sac import FixedBelief, SacConfig, SacLearner


class Blind:
    """Belief: none, n rows without a column."""

    Config = SacConfig
    privileged = False

    def __init__(self, problem: Problem, config: SacConfig, seed: int) -> None:
        self.problem, self.config, self.schedule = problem, config, config.schedule
        self.learner = SacLearner(problem, 0, lambda task: task[:, :0], config, seed)

    def prior(self, n: int, task: Tensor | None = None) -> FixedBelief:
        """Nothing."""
        return FixedBelief(torch.zeros(n, 0))

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
