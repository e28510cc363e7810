"""A Gaussian belief about a latent task z; every transition adds linear measurements of z.

A measurement is y = φ·z + N(0, 1), its direction φ and value y read from the transition by a
network. The posterior is then Bayesian linear regression: a product of Gaussian factors as in PEARL
(Rakelly et al. 2019), kept as sums. PEARL's factors have independent axes; these may tell one
direction of z and leave the others open, as a distance does of a goal.

Axes: n beliefs, l latent, r measurements per transition, o observation, a action.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.flat_mlp import FlatMlp


@dataclass(frozen=True)
class Posterior:
    """The prior N(0, I) times one factor per measurement."""

    precision: Tensor  # (n, l, l) I + Σ φφᵀ
    weighted: Tensor  # (n, l) Σ φ·y, which is precision times mean

    @property
    def mean(self) -> Tensor:
        """Mean of z, (n, l)."""
        return self._mean(torch.linalg.cholesky(self.precision))

    def _mean(self, root: Tensor) -> Tensor:
        """The mean (n, l), from the Cholesky root of the precision."""
        column = self.weighted[..., None]
        return torch.cholesky_solve(column, root)[..., 0]

    def reparameterize(self, noise: Tensor) -> Tensor:
        """The mean plus ``noise`` (..., n, l) standard deviations; a sample for noise ~ N(0, I).

        With precision = L·Lᵀ it is L⁻ᵀ·(L⁻¹·weighted + noise), of covariance L⁻ᵀ·L⁻¹.
        """
        root = torch.linalg.cholesky(self.precision)
        column = self.weighted[..., None]
        half = torch.linalg.solve_triangular(root, column, upper=False)
        column = half + noise[..., None]
        sample: Tensor = torch.linalg.solve_triangular(root.mT, column, upper=True)
        return sample[..., 0]

    def update(self, precision: Tensor, weighted: Tensor) -> "Posterior":
        """The belief after more factors: O(1), however many came before."""
        return Posterior(self.precision + precision, self.weighted + weighted)

    def kl(self) -> Tensor:
        """KL(belief ‖ N(0, I)), (n,), nats."""
        root = torch.linalg.cholesky(self.precision)
        square = self._mean(root).square().sum(-1)
        covariance = torch.cholesky_inverse(root)
        trace = _diagonal(covariance).sum(-1)
        log_det = 2 * _diagonal(root).log().sum(-1)
        latent_dim = root.shape[-1]
        kl: Tensor = 0.5 * (trace + square - latent_dim + log_det)
        return kl


def _diagonal(matrix: Tensor) -> Tensor:
    """The diagonal (n, l) of matrices (n, l, l)."""
    return matrix.diagonal(dim1=-2, dim2=-1)


def prior(
    n: int,
    latent_dim: int,
    device: torch.device,
) -> Posterior:
    """The belief before any measurement: n times N(0, I)."""
    identity = torch.eye(latent_dim, device=device)
    return Posterior(
        precision=identity.expand(n, latent_dim, latent_dim).clone(),
        weighted=torch.zeros(n, latent_dim, device=device),
    )


def context_dim(obs_dim: int, action_dim: int) -> int:
    """Number of columns of ``context_features``, 2o + a + 1."""
    return 2 * obs_dim + action_dim + 1


def context_features(t: Transition) -> Tensor:
    """What the encoder reads of transitions, (..., 2o + a + 1).

    These are observation, action, reward and the change of the observation. The action is the one
    that passed the gate; the change tells the dynamics.
    """
    reward = t.reward[..., None]
    change = t.next_obs - t.obs
    return torch.cat([t.obs, t.applied, reward, change], -1)


class Encoder(nn.Module):
    """Reads a transition's measurements of z."""

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        latent_dim: int,
        rank: int,
        generator: torch.Generator,
    ) -> None:
        """From ``inputs`` columns to ``rank`` measurements of a latent of ``latent_dim``."""
        super().__init__()
        self.latent_dim = latent_dim
        self.rank = rank
        self.net = FlatMlp([inputs, *hidden, rank * (latent_dim + 1)], generator)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The factor of each transition.

        Args:
            x: normalized context features (..., c).
            mask: (...,) bool; a transition that is not set measures nothing.

        Returns:
            What it adds to the precision, φφᵀ (..., l, l), and to the weighted sum, φ·y (..., l),
            summed over its measurements.
        """
        shape = (self.rank, self.latent_dim + 1)
        measurements = self.net(x).unflatten(-1, shape)
        mask = mask[..., None, None]
        measurements = measurements.where(mask, 0.0)
        direction = measurements[..., : self.latent_dim]  # φ, (..., r, l)
        value = measurements[..., self.latent_dim :]  # y, (..., r, 1)
        precision = direction.mT @ direction
        weighted = direction.mT @ value
        return precision, weighted[..., 0]
