"""A Gaussian belief about a latent task to which every transition adds linear measurements: y = φ·z + N(0, 1).

A product of Gaussian factors, as in PEARL (Rakelly et al. 2019), kept as sums: Bayesian linear regression. PEARL's
factors have independent axes; these have not, so that one transition may tell of a direction of z and leave the rest
open, as a distance tells of a goal.
Axes: n beliefs, l latent, r measurements of one transition.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.networks import mlp


@dataclass(frozen=True)
class Posterior:
    """N(0, I) times one factor per measurement."""

    precision: Tensor  # (n, l, l) I + Σ φφᵀ
    weighted: Tensor  # (n, l) Σ φ·y

    @property
    def mean(self) -> Tensor:
        """(n, l)"""
        root = torch.linalg.cholesky(self.precision)
        return torch.cholesky_solve(self.weighted[..., None], root)[..., 0]

    def at(self, noise: Tensor) -> Tensor:
        """The mean plus ``noise`` (..., n, l) standard deviations: a draw, where the noise is N(0, I)."""
        root = torch.linalg.cholesky(self.precision)
        half = torch.linalg.solve_triangular(root, self.weighted[..., None], upper=False)
        return torch.linalg.solve_triangular(root.mT, half + noise[..., None], upper=True)[..., 0]

    def times(self, precision: Tensor, weighted: Tensor) -> "Posterior":
        """The belief after more factors: O(1), however long the past."""
        return Posterior(self.precision + precision, self.weighted + weighted)

    def kl(self) -> Tensor:
        """KL(belief ‖ N(0, I)), (n,), nats."""
        root = torch.linalg.cholesky(self.precision)
        mean = torch.cholesky_solve(self.weighted[..., None], root)[..., 0]
        spread = torch.cholesky_inverse(root).diagonal(dim1=-2, dim2=-1).sum(-1)
        log_det = 2 * root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return 0.5 * (spread + mean.square().sum(-1) - mean.shape[-1] + log_det)


def prior(n: int, latent: int, device: torch.device) -> Posterior:
    """N(0, I)."""
    identity = torch.eye(latent, device=device)
    return Posterior(
        precision=identity.expand(n, latent, latent).clone(),
        weighted=torch.zeros(n, latent, device=device),
    )


def context_features(t: Transition) -> Tensor:
    """What the encoder reads of transitions, (..., 2o + a + 1): what was done, what came of it.

    The action is the one that reached the joints; the next observation, as a change, tells the dynamics.
    """
    return torch.cat([t.obs, t.applied, t.reward[..., None], t.next_obs - t.obs], -1)


class Encoder(nn.Module):
    """What a transition measures: (..., c) -> its share of the precision (..., l, l) and weighted sum (..., l)."""

    def __init__(
        self,
        inputs: int,
        hidden: tuple[int, ...],
        latent: int,
        rank: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.latent, self.rank = latent, rank
        self.net = mlp([inputs, *hidden, rank * (latent + 1)], generator)

    def forward(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """φφᵀ and φ·y, summed over the measurements; nothing where ``valid`` (...) is not set."""
        out = (
            self.net(x)
            .unflatten(-1, (self.rank, self.latent + 1))
            .where(valid[..., None, None], 0.0)
        )
        direction, value = out[..., : self.latent], out[..., self.latent :]
        return direction.mT @ direction, (direction.mT @ value)[..., 0]
