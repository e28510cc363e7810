"""The floor: soft actor-critic that is told nothing of the task and remembers nothing."""

from typing import Any

import torch
from torch import Tensor

from policies.method import Problem, Transition, Trial
from policies.parts.sac import Known, Learner, SacConfig


class Blind:
    """Belief: none, n rows without a column."""

    Config = SacConfig
    privileged = False

    def __init__(self, problem: Problem, config: SacConfig, seed: int) -> None:
        self.problem, self.config, self.rhythm = problem, config, config.rhythm
        self.learner = Learner(problem, 0, lambda task: task[:, :0], config, seed)

    def prior(self, n: int, task: Tensor | None = None) -> Known:
        """Nothing."""
        return Known(torch.zeros(n, 0))

    def act(self, obs: Tensor, belief: Known, explore: bool) -> Tensor:
        """A sample of the policy, or its mean."""
        return self.learner.act(obs, belief, explore)

    def observe(self, belief: Known, transition: Transition) -> Known:
        """Unchanged."""
        return belief

    def adapt(self, belief: Known, episode: Transition) -> Known:
        """Unchanged."""
        return belief

    def learn(self, trial: Trial) -> dict[str, float]:
        """Soft actor-critic."""
        return self.learner.learn(trial)

    def state_dict(self) -> dict[str, Any]:
        """Everything learnt and kept."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        self.learner.load_state_dict(state)
