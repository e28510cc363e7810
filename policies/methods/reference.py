"""Base class of ``blind`` and ``oracle``: soft actor-critic with a belief that never changes.

They are the references with which every adapting method is compared.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from policies.method import Problem, Transition, TrialBatch
from policies.rl.exchange import ReplayConfig
from policies.rl.replay import LearnsFromReplay
from policies.rl.sac import SacConfig
from policies.rl.sac_learner import Condition, FixedBelief, SacLearner, no_condition


@dataclass(frozen=True)
class ReferenceConfig(SacConfig):
    """Settings of soft actor-critic, and of what its batches are drawn from."""

    replay: ReplayConfig = field(default_factory=ReplayConfig)  # what a batch learns from

    @property
    def optimizer_steps(self) -> int:
        """Those of soft actor-critic, and of the denoiser."""
        return self.replay.optimizer_steps(self.gradient_steps)


class Reference(LearnsFromReplay):
    """A method without adaptation; a subclass adds ``privileged`` and ``prior``."""

    Config = ReferenceConfig

    def __init__(
        self,
        problem: Problem,
        config: SacConfig,
        seed: int,
        device: torch.device,
        condition: Condition = no_condition,
        condition_dim: int = 0,
    ) -> None:
        """``condition`` and its number of columns as in ``SacLearner``."""
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.learner = SacLearner(
            problem,
            config,
            seed,
            device,
            condition=condition,
            condition_dim=condition_dim,
            sampling=sampling_of(config),
        )
        self.replay = self.learner.replay

    def act(self, obs: Tensor, belief: FixedBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        return self.learner.act(obs, belief, explore)

    def observe(
        self,
        belief: FixedBelief,
        transition: Transition,
    ) -> FixedBelief:
        """The same belief."""
        return belief

    def adapt(self, belief: FixedBelief, episode: Transition) -> FixedBelief:
        """The same belief."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train; returns means over the gradient steps."""
        return self.learner.learn(trial)

    def reseed(self, seed: int) -> None:
        """Restart the learner's random stream."""
        self.learner.reseed(seed)

    def state_dict(self) -> dict[str, Any]:
        """The learner's state: networks, optimizer, replay, generator."""
        return self.learner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state; the inverse of ``state_dict``."""
        self.learner.load_state_dict(state)


def sampling_of(config: SacConfig) -> ReplayConfig | None:
    """The replay's settings; None for a teacher, which has those of soft actor-critic alone."""
    return config.replay if isinstance(config, ReferenceConfig) else None
