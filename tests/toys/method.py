"""A toy method: it acts at random and counts what it sees."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from policies.config import MethodConfig
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch


@dataclass(frozen=True)
class ToyConfig(MethodConfig):
    """One number and a schedule."""

    gain: float = 1.0  # share of the action range that is used
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=4, episodes_per_trial=2, iterations=2
    )


@dataclass(frozen=True)
class ToyBelief:
    """Number of ticks observed."""

    ticks: Tensor  # (n,)


class Toy:
    """Random actions."""

    Config = ToyConfig
    privileged = False

    def __init__(
        self, problem: Problem, config: ToyConfig, seed: int, device: torch.device
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def prior(self, n: int, task: Tensor | None = None) -> ToyBelief:
        return ToyBelief(torch.zeros(n, device=self.device))

    def act(self, obs: Tensor, belief: ToyBelief, explore: bool) -> Tensor:
        size = (len(obs), self.problem.action_dim)
        if not explore:
            return torch.zeros(size, device=self.device)
        noise = torch.randn(size, generator=self.generator, device=self.device)
        return (self.config.gain * noise).clamp(-1, 1)

    def observe(self, belief: ToyBelief, transition: Transition) -> ToyBelief:
        return ToyBelief(belief.ticks + transition.valid)

    def adapt(self, belief: ToyBelief, episode: Transition) -> ToyBelief:
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        return {"return": float(trial.returns.mean())}

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
