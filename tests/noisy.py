"""A world of random numbers, and a recorder of the beliefs that a method acts under in it."""

from dataclasses import replace
from typing import Any

import numpy as np
from tiny import Script
from torch import Tensor


class NoisyScript(Script):
    """A script whose observations and rewards are random numbers."""

    def __init__(self, n: int, **ends: dict[int, int]) -> None:
        super().__init__(n, **ends)
        self.rng = np.random.default_rng(0)

    def reset(self, task: Any) -> Any:
        super().reset(task)
        return self.rng.normal(size=(self.n, 2))

    def step(self, action: Any) -> Any:
        step = super().step(action)
        return replace(
            step,
            obs=self.rng.normal(size=(self.n, 2)),
            reward=self.rng.normal(size=self.n),
            applied=0.5 * action,
        )


class BeliefRecorder:
    """A method that keeps the belief it acted under at every tick."""

    privileged = False

    def __init__(self, method: Any) -> None:
        self.method = method
        self.beliefs: list[Any] = []
        self.prior = method.prior
        self.observe = method.observe
        self.adapt = method.adapt

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        self.beliefs.append(belief)
        return self.method.act(obs, belief, explore)
