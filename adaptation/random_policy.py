"""Experience before and between lessons: random actions, and trials joined side by side."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from policies.method import Transition, TrialBatch


@dataclass(frozen=True)
class RandomPolicy:
    """Acts uniformly at random and believes nothing: what ``live`` is given before the first lesson."""

    actions: int  # a
    generator: torch.Generator
    privileged: bool = False

    def prior(self, n: int, task: Tensor | None = None) -> None:
        """No belief."""

    def act(self, obs: Tensor, belief: None, explore: bool) -> Tensor:
        """Uniform in [-1, 1], (n, a)."""
        return torch.rand(len(obs), self.actions, generator=self.generator) * 2 - 1

    def observe(self, belief: None, transition: Transition) -> None:
        """Nothing is kept."""

    def adapt(self, belief: None, episode: Transition) -> None:
        """Nothing is kept."""


def concat_trials(trials: list[TrialBatch]) -> TrialBatch:
    """Trials of the same lengths as one, their worlds side by side."""

    def side_by_side(kind: str, of: list[Any], dim: int) -> Tensor:
        return torch.cat([getattr(x, kind) for x in of], dim)

    ticks = [trial.ticks for trial in trials]
    return TrialBatch(
        ticks=Transition(**{f.name: side_by_side(f.name, ticks, 2) for f in fields(Transition)}),
        task=side_by_side("task", trials, 0),
        task_ids=side_by_side("task_ids", trials, 0),
        success=side_by_side("success", trials, 1),
    )
