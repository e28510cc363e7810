"""A Gaussian belief as a product of Gaussian factors, one per transition, kept as sums (Rakelly et al. 2019)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.method import Transition
from policies.parts.nets import mlp


@dataclass(frozen=True)
class Posterior:
    """N(0, I) times one factor per transition, and the hypothesis z that is acted under."""

    precision: Tensor  # (n, l) 1 + Σ 1/var
    weighted: Tensor  # (n, l) Σ mean/var
    count: Tensor  # (n,) int64, factors so far
    z: Tensor  # (n, l) a sample, held for an episode

    @property
    def mean(self) -> Tensor:
        """(n, l)"""
        return self.weighted / self.precision

    @property
    def var(self) -> Tensor:
        """(n, l)"""
        return self.precision.reciprocal()


def prior(n: int, latent: int, generator: torch.Generator) -> Posterior:
    """N(0, I), with z drawn from it."""
    z = torch.randn(n, latent, generator=generator)
    return Posterior(torch.ones(n, latent), torch.zeros(n, latent), torch.zeros(n, dtype=torch.int64), z)


def multiply(belief: Posterior, precision: Tensor, weighted: Tensor, valid: Tensor) -> Posterior:
    """One more factor each, given as 1/var and mean/var (n, l), where ``valid`` (n,): O(1) however long the past."""
    some = valid[:, None]
    return replace(
        belief,
        precision=belief.precision + torch.where(some, precision, torch.zeros_like(precision)),
        weighted=belief.weighted + torch.where(some, weighted, torch.zeros_like(weighted)),
        count=belief.count + valid,
    )


def sample(mean: Tensor, var: Tensor, generator: torch.Generator) -> Tensor:
    """A reparametrised draw (n, l): gradients reach mean and var."""
    return mean + var.sqrt() * torch.randn(mean.shape, generator=generator)


def kl_to_prior(mean: Tensor, var: Tensor) -> Tensor:
    """KL(N(mean, var) ‖ N(0, 1)) of each dimension, (n, l), nats."""
    return 0.5 * (mean.square() + var - 1 - var.log())


def context(t: Transition) -> Tensor:
    """What the encoder reads of transitions, (..., 2o + a + 1): what was done, what came of it.

    The action is the one that reached the joints; the next observation, as a change, tells the dynamics.
    """
    return torch.cat([t.obs, t.applied, t.reward[..., None], t.next_obs - t.obs], -1)


class Encoder(nn.Module):
    """One Gaussian factor per transition: (..., c) -> 1/var and mean/var, (..., l) each."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], latent: int, generator: torch.Generator) -> None:
        super().__init__()
        self.net = mlp([inputs, *hidden, 2 * latent], generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The network gives the precision (softplus, variance never below 1e-7), so that knowing nothing is 0."""
        mean, raw = self.net(x).chunk(2, -1)
        precision = F.softplus(raw - 2).clamp(max=1e7)  # -2: at first a transition weighs about 1/8 of the prior
        return precision, precision * mean
