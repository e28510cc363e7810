"""Experience from random actions, and trials joined side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from policies.method import Transition, TrialBatch


@dataclass(frozen=True)
class RandomPolicy:
    """Acts uniformly at random and has no belief; used before the first ``learn``."""

    action_dim: int  # a
    generator: torch.Generator
    privileged: bool = False

    def prior(self, n: int, task: Tensor | None = None) -> None:
        """No belief."""

    def act(self, obs: Tensor, belief: None, explore: bool) -> Tensor:
        """Uniform in [-1, 1], (n, a)."""
        return torch.rand(len(obs), self.action_dim, generator=self.generator) * 2 - 1

    def observe(self, belief: None, transition: Transition) -> None:
        """No belief to update."""

    def adapt(self, belief: None, episode: Transition) -> None:
        """No belief to update."""


def concat_trials(trials: Sequence[TrialBatch]) -> TrialBatch:
    """Join trials of the same lengths into one, their worlds side by side.

    Noise is kept where all of them have some: random trials have none.
    """
    if len(trials) == 1:
        return trials[0]
    ticks = {}
    for field in fields(Transition):
        columns = [getattr(trial.ticks, field.name) for trial in trials]
        ticks[field.name] = torch.cat(columns, 2)
    noises = [trial.noise for trial in trials if trial.noise is not None]
    return TrialBatch(
        ticks=Transition(**ticks),
        task=torch.cat([trial.task for trial in trials], 0),
        task_ids=torch.cat([trial.task_ids for trial in trials], 0),
        success=torch.cat([trial.success for trial in trials], 1),
        noise=torch.cat(noises, 1) if len(noises) == len(trials) else None,
    )
