"""Exploration bonuses of HyperX (Zintgraf et al. 2021), for a policy that reads a belief.

Where rewards are sparse, a policy finds none, and the belief learns nothing. HyperX adds two
bonuses to the reward that the policy is trained with:

- novelty: how new the hyper-state after a tick is, the next observation and the belief about it. A
  predictor learns the outputs of a fixed random network at the hyper-states that were visited; its
  squared error is large where few were (random network distillation, Burda et al. 2019).
- error: how badly the belief's model reconstructs the outcome of the tick. It leads the policy to
  experience that the model does not explain yet.

Each is divided by the running standard deviation of its discounted sum over a trial. Both weights
fall linearly to zero by the end of the training. With an ``anneal_share`` below 1 the last
iterations learn from the true reward alone.
Axes: L ticks of a trial, n worlds, b rows, k columns of a hyper-state.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from policies.method import Problem
from policies.nn.networks import mlp
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeat, repeatable_adam
from policies.nn.state import SavedState
from policies.ranges import (
    Count,
    LargeCount,
    LayerWidths,
    NonNegative,
    Positive,
    PositiveShare,
    Width,
)


@dataclass(frozen=True)
class HyperxConfig:
    """Settings of the bonuses; where a number differs from HyperX, its sparse point is named."""

    novelty_weight: NonNegative = 0.01  # weight of the novelty at the first iteration (HyperX)
    error_weight: NonNegative = 0.1  # weight of the reconstruction error there (HyperX)
    # share of the schedule's iterations over which both weights fall to zero (HyperX)
    anneal_share: PositiveShare = 1.0
    hidden: LayerWidths = (64, 64)  # layer widths of both networks; HyperX has (256, 256)
    outputs: Width = 32  # outputs of both networks; HyperX has 128
    # factor of the random network's inputs, so that close hyper-states differ in its outputs;
    # HyperX scales its weights as much
    input_scale: Positive = 10.0
    lr: Positive = 1e-3  # learning rate of the predictor; HyperX has 1e-4, for 2,000 iterations
    steps: LargeCount = 10  # gradient steps on the predictor per iteration; HyperX has 1
    batch_size: Count = 1024  # hyper-states of a step; HyperX has 128

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Nothing follows from the problem."""
        return cls()


class RandomDistillation(nn.Module):
    """A random network, the predictor of its outputs, the scales of the bonuses, and a counter."""

    iterations: Tensor  # () that were learned from

    def __init__(self, columns: int, config: HyperxConfig, generator: torch.Generator) -> None:
        """Networks for hyper-states of ``columns`` columns (k), on the generator's device."""
        super().__init__()
        sizes = [columns, *config.hidden, config.outputs]
        self.input_scale = config.input_scale
        self.target = mlp(sizes, generator).requires_grad_(False)
        self.predictor = mlp(sizes, generator)
        self.novelty_norm = RunningNormalizer(1, generator.device)
        self.error_norm = RunningNormalizer(1, generator.device)
        zero = torch.zeros((), dtype=torch.int64, device=generator.device)
        self.register_buffer("iterations", zero)

    def forward(self, states: Tensor) -> Tensor:
        """Novelty (...,) of hyper-states (..., k): the predictor's mean squared error."""
        with torch.no_grad():
            target = self.target(self.input_scale * states)
        error: Tensor = self.predictor(states) - target
        return error.square().mean(-1)


class HyperxBonus(SavedState):
    """Computes the bonuses of a trial, and learns what is no longer new."""

    saved_attributes: ClassVar[tuple[str, ...]] = ("net", "optimizer")

    def __init__(
        self,
        columns: int,
        config: HyperxConfig,
        gamma: float,
        iterations: int,
        generator: torch.Generator,
    ) -> None:
        """Bonuses before the first iteration.

        Args:
            columns: k, of a hyper-state.
            config: settings.
            gamma: discount of the policy's return.
            iterations: of the whole training.
            generator: of weights and batches; the owner saves it.
        """
        self.config = config
        self.gamma = gamma
        self.annealed_after = config.anneal_share * iterations
        self.generator = generator
        self.net = RandomDistillation(columns, config, generator)
        group = {"params": self.net.predictor.parameters(), "lr": config.lr}
        self.optimizer = repeatable_adam([group], generator.device)

    @property
    def share(self) -> float:
        """The share of the weights that is left: 1 at first, 0 once they are annealed."""
        done = int(self.net.iterations) / self.annealed_after
        return max(0.0, 1.0 - done)

    @torch.no_grad()
    def reward(self, states: Tensor, error: Tensor, valid: Tensor) -> Tensor:
        """Bonuses (L, n), 0 where a tick is not valid; their scales take these ticks in first.

        Args:
            states: (L, n, k) hyper-states after each tick.
            error: (L, n) reconstruction error of each tick's outcome.
            valid: (L, n) mask of the ticks.
        """
        novelty = self._scaled(self.net(states), valid, self.net.novelty_norm)
        surprise = self._scaled(error, valid, self.net.error_norm)
        bonus = self.config.novelty_weight * novelty + self.config.error_weight * surprise
        return self.share * bonus

    def learn(self, states: Tensor) -> dict[str, float]:
        """Train the predictor on hyper-states (b, k), and count the iteration."""
        self.net.iterations += 1
        step: Callable[[], dict[str, Tensor]] = partial(self.step, states)
        return repeat(step, self.config.steps, self.generator)

    def step(self, states: Tensor) -> dict[str, Tensor]:
        """One gradient step on random rows of the hyper-states (b, k)."""
        g = self.generator
        size = (self.config.batch_size,)
        rows = torch.randint(len(states), size, generator=g, device=g.device)
        batch = states[rows]
        novelty = self.net(batch)
        return minimize(self.optimizer, {"novelty": novelty.mean()})

    def _scaled(self, x: Tensor, valid: Tensor, norm: RunningNormalizer) -> Tensor:
        """A bonus (L, n) in units of the standard deviation of its discounted sums."""
        x = x.where(valid, 0.0)
        sums = discounted_sums(x, self.gamma)
        norm.update(sums[valid][:, None])
        return x * norm.inv_std


def discounted_sums(x: Tensor, gamma: float) -> Tensor:
    """The sum of what came so far, older terms discounted: s_t = x_t + gamma · s_(t-1), (L, n)."""
    sums = []
    total = torch.zeros_like(x[0])
    for row in x:
        total = row + gamma * total
        sums.append(total)
    return torch.stack(sums)
