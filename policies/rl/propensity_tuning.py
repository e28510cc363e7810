"""Gradient steps on weights of each world, on its own transitions and on similar ones of training.

The second phase of meta-Q-learning (Fakoor et al. 2020), for soft actor-critic. The observations of
all transitions here are features (k), whose first columns are a context.

Axes: n worlds, L transitions of a world, m of the training tasks, b rows of a batch, S steps.
"""

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from policies.belief import map_tensors, where
from policies.method import Transition
from policies.nn.adam import Adam
from policies.nn.noise import standard_normal, uniform
from policies.ranges import Count, NonNegative, Positive
from policies.rl import stacked_sac
from policies.rl.propensity import normalized_sample_size, propensities
from policies.rl.sac import SacConfig
from policies.rl.stacked_sac import StackedSac


@dataclass(frozen=True)
class TuningConfig:
    """Settings of the steps on a new task."""

    own_steps: Count = 10  # gradient steps on the task's own transitions; the paper has 5 to 10
    replay_steps: Count = 20  # gradient steps on weighted ones; the paper has 15 to 400
    lr: Positive = 3e-4  # learning rate of both; the paper has 3e-4 to 1e-3
    batch_size: Count = 64  # transitions of a batch, with replacement
    reference_size: Count = 2000  # m, transitions of the training tasks that are kept
    max_propensity: Positive = 2.0  # bound of the weights; the paper has 1 to 2
    ridge: Positive = 0.01  # penalty of the logistic regression's weights, on standardized columns
    proximal: NonNegative = 1.0  # factor of the proximal penalty


class Reference(nn.Module):
    """A sample of the training tasks' transitions, saved with the weights."""

    def __init__(self, rows: Transition) -> None:
        """``rows`` (m, ...) give the shapes; none of them is valid."""
        super().__init__()
        for f in fields(Transition):
            self.register_buffer(f.name, getattr(rows, f.name).clone())

    @property
    def rows(self) -> Transition:
        """The transitions (m, ...)."""
        return Transition(**dict(self.named_buffers()))

    @torch.no_grad()
    def fill(self, rows: Transition) -> None:
        """Exchange all transitions for others (m, ...)."""
        for name, buffer in self.named_buffers():
            buffer.copy_(getattr(rows, name))


class Draws(NamedTuple):
    """Random numbers of all steps, the same for all worlds."""

    share: Tensor  # (S, b) in [0, 1): which transitions
    noise: Tensor  # (S, 2, b, a) standard normal, of the actions


def draw(config: TuningConfig, actions: int, generator: torch.Generator) -> Draws:
    """The random numbers of an adaptation."""
    steps = config.own_steps + config.replay_steps
    share = uniform((steps, config.batch_size), generator)
    noise = standard_normal((steps, 2, config.batch_size, actions), generator)
    return Draws(share, noise)


@dataclass(frozen=True)
class Tuning:
    """Everything that the adaptation of all worlds has in common."""

    trained: StackedSac  # the networks as those of one world
    alpha: Tensor  # () the temperature
    reference: Transition  # (m, ...)
    context: int  # number of the features that are the context
    config: TuningConfig
    sac: SacConfig

    @torch.no_grad()
    def tune(self, own: Transition, count: Tensor, draws: Draws) -> StackedSac:
        """The networks of n worlds after all steps, which begin at the trained ones.

        Args:
            own: transitions (n, L, ...) of each world's task.
            count: (n,) how many were ever stored.
            draws: random numbers.

        Returns:
            Adapted networks; the trained ones where a world has no transitions.
        """
        c = self.config
        n = len(count)
        trained = map_tensors(lambda x: x.expand(n, *x.shape[1:]), self.trained)
        nets = map_tensors(_trainable_copy, trained)
        weights = self.weigh(own)
        penalty = c.proximal * (1 - normalized_sample_size(weights))
        # PyTorch has a fused Adam for these devices only
        fused = count.device.type in ("cpu", "cuda")
        optimizer = Adam(nets.trained, lr=c.lr, fused=fused)
        for i, share in enumerate(draws.share):
            if i < c.own_steps:
                batch = _own_batch(own, count, share)
                factors = None
            else:
                columns = (share * weights.shape[1]).long().expand(n, -1)
                batch = self.reference[columns]
                factors = weights.gather(1, columns)
            noise = draws.noise[i][:, None].expand(-1, n, -1, -1)
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = self._loss(nets, batch, noise, factors)
                loss = loss + proximal_penalty(nets, trained, penalty)
            loss.backward()
            optimizer.step()
            torch._foreach_lerp_(nets.target_critic, nets.critic, self.sac.tau)
        return where(own.valid.any(1), map_tensors(Tensor.detach, nets), trained)

    def weigh(self, own: Transition) -> Tensor:
        """Propensities (n, m) of the training tasks' transitions in each world's task.

        The regression reads the context after a transition, which knows its reward.
        """
        return propensities(
            own.next_obs[..., : self.context],
            own.valid,
            self.reference.next_obs[:, : self.context],
            self.config.ridge,
            self.config.max_propensity,
        )

    def _loss(
        self, nets: StackedSac, batch: Transition, noise: Tensor, factors: Tensor | None
    ) -> Tensor:
        return stacked_sac.losses(
            nets, batch, batch.obs, batch.next_obs, self.alpha, noise, self.sac, factors
        )


def proximal_penalty(nets: StackedSac, trained: StackedSac, weight: Tensor) -> Tensor:
    """Squared distances of weights to the trained ones, times weight (n,), summed over worlds."""
    total = weight.new_zeros(())
    for current, before in zip(nets.trained, trained.trained, strict=True):
        distance = (current - before).square().flatten(1).sum(1)
        total = total + (weight * distance).sum()
    return total


def _own_batch(own: Transition, count: Tensor, share: Tensor) -> Transition:
    """Transitions (n, b, ...) of each world at shares (b,) of those that it has stored."""
    n, length = own.valid.shape
    stored = count.clamp(min=1, max=length)
    worlds = torch.arange(n, device=count.device)
    return own[worlds[:, None], (share * stored[:, None]).long()]


def _trainable_copy(x: Tensor) -> Tensor:
    return x.detach().clone().requires_grad_()
