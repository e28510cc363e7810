"""Proximal policy optimisation (Schulman et al. 2017): advantages, the clipped surrogate, a policy in [-1, 1].

The policy is a Gaussian whose samples are clipped to the actions' range. Its likelihood is that of the clipped action:
a density within the range, and at either end the whole tail beyond it (Fujita and Maeda 2018), so that ratios are exact
of actions that lie on the edge.
"""

from math import log

import torch
from torch import Tensor
from torch.special import log_ndtr

from policies.method import Transition


def act(mean: Tensor, log_std: Tensor, generator: torch.Generator | None) -> Tensor:
    """A sample of the clipped Gaussian where there is a generator, its mean otherwise, (..., a) in [-1, 1]."""
    if generator is not None:
        mean = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
    return mean.clamp(-1, 1)


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Of clipped actions (..., a) under a mean and log-deviation that broadcast with them: (...,)."""
    score = (action - mean) * torch.exp(-log_std)
    density = -0.5 * score.square() - log_std - 0.5 * log(2 * torch.pi)
    return torch.where(action.abs() < 1, density, log_ndtr(score * -action.sign())).sum(-1)


def entropy(log_std: Tensor) -> Tensor:
    """Of the Gaussian before it is clipped, nats, (...,)."""
    return (log_std + 0.5 * log(2 * torch.pi * torch.e)).sum(-1)


def follows(ticks: Transition) -> Tensor:
    """Whether the next tick's value belongs to a tick's return, for sequences (L, ...): not after the task ended."""
    after = torch.cat([ticks.valid[1:], torch.zeros_like(ticks.valid[:1])])
    return ticks.valid & after & ~ticks.terminated


def advantages(
    reward: Tensor, value: Tensor, follows: Tensor, gamma: float, decay: float
) -> Tensor:
    """Generalised advantage estimates (Schulman et al. 2016) of sequences, all (L, ...).

    Args:
        value: of the state that each tick began in.
        follows: whether the next tick's value belongs to this tick's return.
        gamma: discount of a tick.
        decay: λ, the weight of longer returns.
    """
    found, ahead, after = [], torch.zeros_like(reward[0]), torch.zeros_like(reward[0])
    for r, v, goes_on in zip(reward.flip(0), value.flip(0), follows.flip(0), strict=True):
        ahead = r - v + gamma * (after + decay * ahead).where(goes_on, 0.0)
        after = v
        found.append(ahead)
    return torch.stack(found[::-1])


def standardized(x: Tensor, valid: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """Mean 0 and deviation 1 over the valid ones along ``dim``, 0 elsewhere."""
    count = valid.sum(dim, keepdim=True).clamp(min=1)
    centered = (x - x.where(valid, 0.0).sum(dim, keepdim=True) / count).where(valid, 0.0)
    return centered / ((centered.square().sum(dim, keepdim=True) / count).sqrt() + 1e-4)


def surrogate(log_ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped objective, negated: a loss of the same shape."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def divergence(log_ratio: Tensor) -> Tensor:
    """An unbiased estimate of KL(old ‖ new) that is never negative (Schulman 2020), nats, the same shape."""
    return log_ratio.exp() - 1 - log_ratio


def mean(x: Tensor, valid: Tensor) -> Tensor:
    """Over the valid ones; 0 where there are none."""
    return x.where(valid, 0.0).sum() / valid.sum().clamp(min=1)
