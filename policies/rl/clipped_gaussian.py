"""A policy in [-1, 1]: a Gaussian whose samples are clipped to the range of the actions.

The likelihood is that of the clipped action: inside the range a density, at either end the mass of
the whole tail beyond it (Fujita and Maeda 2018). Likelihood ratios are therefore exact at the ends,
too.
"""

from math import log

import torch
from torch import Tensor
from torch.special import log_ndtr

from policies.nn.noise import standard_normal

LOG_SQRT_2PI = 0.5 * log(2 * torch.pi)


def sample(
    mean: Tensor,
    log_std: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    """A clipped sample, or the clipped mean without a generator: (..., a) in [-1, 1]."""
    if generator is not None:
        noise = standard_normal(mean.shape, generator)
        mean = mean + log_std.exp() * noise
    return mean.clamp(-1, 1)


def log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> Tensor:
    """Log-likelihood (...,) of clipped actions (..., a); ``mean`` and ``log_std`` broadcast."""
    score = (action - mean) * torch.exp(-log_std)
    log_density = -0.5 * score.square() - log_std - LOG_SQRT_2PI
    outward = -action.sign()
    log_tail = log_ndtr(score * outward)  # the mass beyond the end at which the action lies
    inside = action.abs() < 1
    return torch.where(inside, log_density, log_tail).sum(-1)


def entropy(log_std: Tensor) -> Tensor:
    """Entropy of the Gaussian before it is clipped, nats, (...,)."""
    return (log_std + 0.5 * log(2 * torch.pi * torch.e)).sum(-1)


def divergence(
    mean: Tensor,
    log_std: Tensor,
    new_mean: Tensor,
    new_log_std: Tensor,
) -> Tensor:
    """KL(old ‖ new) of the Gaussians before they are clipped, nats, (...,); all broadcast.

    It is an upper bound of the KL of the clipped actions, because clipping discards information.
    """
    ratio = (log_std - new_log_std).exp()
    score = (mean - new_mean) * torch.exp(-new_log_std)
    kl = new_log_std - log_std + 0.5 * (ratio.square() + score.square() - 1)
    return kl.sum(-1)
