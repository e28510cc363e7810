"""A Gaussian belief about a latent task z; every transition adds linear measurements of z.

A measurement is y = φ·z + N(0, 1); a network computes its direction φ and value y from the
transition. The posterior is that of Bayesian linear regression: a product of Gaussian factors as in
PEARL (Rakelly et al. 2019), stored as sums. PEARL's factors have independent axes. A factor here
may measure one direction of z and leave the others uncertain, as a distance does with a goal.

Without forgetting, new evidence about a task that has changed is outweighed by the old. With a
factor λ < 1 old evidence decays towards the prior, as in recursive least squares: a transition t
ticks ago has the weight λ^t.

Axes: n beliefs, l latent, r measurements per transition, o observation, a action.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from policies.method import Transition
from policies.nn.flat_mlp import FlatMlp

# Largest evidence of a belief, as the trace of Σ φφᵀ. The prior adds 1 to every eigenvalue of the
# precision. With much more evidence this would be lost in float32, and the Cholesky factorization
# would fail.
MAX_EVIDENCE = 1e5


@dataclass(frozen=True)
class Posterior:
    """The prior N(0, I) times one factor per measurement."""

    precision: Tensor  # (n, l, l) I + Σ φφᵀ
    weighted: Tensor  # (n, l) Σ φ·y, which is precision times mean

    @cached_property
    def _inverse_root(self) -> Tensor:
        """L⁻¹ (n, l, l), with precision = L·Lᵀ; computed once for mean, sample and divergence."""
        inverse: Tensor = _InverseRoot.apply(self.precision)
        return inverse

    @cached_property
    def _half_solved(self) -> Tensor:
        """L⁻¹·weighted, (n, l, 1)."""
        return self._inverse_root @ self.weighted[..., None]

    @property
    def mean(self) -> Tensor:
        """Mean of z, (n, l): L⁻ᵀ·(L⁻¹·weighted)."""
        column: Tensor = self._inverse_root.mT @ self._half_solved
        return column[..., 0]

    @property
    def std(self) -> Tensor:
        """Standard deviation of each number of z, (n, l): of the covariance L⁻ᵀ·L⁻¹."""
        variance = self._inverse_root.square().sum(-2)
        return variance.sqrt()

    def reparameterize(self, noise: Tensor) -> Tensor:
        """The mean plus ``noise`` (..., n, l) standard deviations; a sample for noise ~ N(0, I).

        It is L⁻ᵀ·(L⁻¹·weighted + noise), of covariance L⁻ᵀ·L⁻¹.
        """
        column = self._half_solved + noise[..., None]
        sample: Tensor = self._inverse_root.mT @ column
        return sample[..., 0]

    def update(self, precision: Tensor, weighted: Tensor) -> "Posterior":
        """The belief times more factors, at constant cost.

        Args:
            precision: (n, l, l) sum of φφᵀ of the factors.
            weighted: (n, l) sum of φ·y of the factors.
        """
        return Posterior(self.precision + precision, self.weighted + weighted)

    def bounded(self) -> "Posterior":
        """The belief with its evidence scaled down to ``MAX_EVIDENCE`` where there is more."""
        latent_dim = self.weighted.shape[-1]
        diagonal = self.precision.diagonal(dim1=-2, dim2=-1)
        evidence = diagonal.sum(-1) - latent_dim
        keep = MAX_EVIDENCE / evidence.clamp(min=MAX_EVIDENCE)
        return self.forget(keep)

    def forget(self, keep: Tensor) -> "Posterior":
        """The belief with its evidence multiplied by ``keep`` (n,): 1 keeps all, 0 is the prior."""
        weight = keep[..., None]
        identity = torch.eye(self.weighted.shape[-1], device=self.weighted.device)
        evidence = self.precision - identity
        precision = identity + weight[..., None] * evidence
        return Posterior(precision, weight * self.weighted)

    def kl(self) -> Tensor:
        """KL(belief ‖ N(0, I)), (n,), nats."""
        inverse = self._inverse_root
        trace = inverse.square().sum((-1, -2))  # of the covariance L⁻ᵀ·L⁻¹
        square = self.mean.square().sum(-1)
        log_det = -2 * inverse.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # of the precision
        latent_dim = inverse.shape[-1]
        kl: Tensor = 0.5 * (trace + square - latent_dim + log_det)
        return kl

    def surprise(self, z: Tensor) -> Tensor:
        """The negative log-density of z (n, l) up to a constant, (n,), nats."""
        deviation = z - self.mean
        scaled = self.precision @ deviation[..., None]
        square = (deviation * scaled[..., 0]).sum(-1)
        diagonal = self._inverse_root.diagonal(dim1=-2, dim2=-1)
        log_det = -2 * diagonal.log().sum(-1)  # of the precision
        surprise: Tensor = 0.5 * (square - log_det)
        return surprise


class _InverseRoot(torch.autograd.Function):
    """L⁻¹ (..., l, l) of symmetric positive definite matrices P = L·Lᵀ, with L lower triangular.

    On a CPU, torch.linalg.LinAlgError is raised if P is not positive definite. On a GPU the check
    would wait for the result, so nothing is raised there.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:  # noqa: ANN401
        on_cpu = matrix.device.type == "cpu"
        root, _ = torch.linalg.cholesky_ex(matrix, check_errors=on_cpu)
        identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        inverse: Tensor = torch.linalg.solve_triangular(root, identity, upper=False)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        """The gradient of P is the symmetric part of L⁻ᵀ·Φ·L⁻¹ (Murray 2016).

        Φ is the lower triangle, its diagonal halved, of Lᵀ times the gradient of L, which is
        -G·L⁻ᵀ with G the gradient of L⁻¹.
        """
        (inverse,) = ctx.saved_tensors
        product = -gradient @ inverse.mT
        phi = product.tril()
        phi.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        full: Tensor = inverse.mT @ phi @ inverse
        return (full + full.mT) / 2


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
    """The features of transitions for inference, (..., 2o + a + 1).

    They are the observation, the action as it passed the gate, the reward, and the change of the
    observation, which depends on the dynamics.
    """
    reward = t.reward[..., None]
    change = t.next_obs - t.obs
    return torch.cat([t.obs, t.applied, reward, change], -1)


class Encoder(nn.Module):
    """Maps transitions to measurements of z."""

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

    def evidence(self, x: Tensor, mask: Tensor) -> Tensor:
        """φ·y and φφᵀ of each transition as columns, (..., l + l²).

        The logarithm of a factor is linear in them, for every z. The arguments are those of
        ``forward``.
        """
        precision, weighted = self(x, mask)
        return torch.cat([weighted, precision.flatten(-2)], -1)

    def total(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The product of the factors of whole contexts.

        With each measurement a row [φ, y] of a matrix M, Mᵀ·M holds both sums.

        Args:
            x: normalized context features (n, b, c).
            mask: (n, b) bool; a transition that is not set measures nothing.

        Returns:
            What contexts add to the precision, Σ φφᵀ (n, l, l), and to the weighted sum, Σ φ·y
            (n, l).
        """
        rows = self._measure(x, mask)
        measurements = rows.view(len(x), -1, self.latent_dim + 1)  # (n, b·r, l + 1)
        products = measurements.mT @ measurements
        precision = products[:, :-1, :-1]
        weighted = products[:, :-1, -1]
        return precision, weighted

    def _measure(self, x: Tensor, mask: Tensor) -> Tensor:
        """Measurements (n, b, r·(l + 1)), 0 where the mask is not set.

        On a CPU only the rows that are set are evaluated. An accelerator would have to wait for
        their number.
        """
        if x.device.type != "cpu":
            padded: Tensor = self.net(x)
            return padded.where(mask[..., None], 0.0)
        chosen = mask.flatten().nonzero()[:, 0]
        rows = self.net(x.flatten(0, 1).index_select(0, chosen))
        padded = rows.new_zeros(mask.numel(), rows.shape[-1]).index_copy(0, chosen, rows)
        return padded.view(*mask.shape, -1)
