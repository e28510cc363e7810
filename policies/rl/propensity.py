"""How likely stored rows are for a new task: a density ratio by logistic regression.

A classifier tells rows of the new task from rows of the training tasks. With both classes of equal
total weight, its odds are the ratio of the two densities, the propensity (Fakoor et al. 2020). The
classifier is linear, so the logarithm of the ratio is too.

Axes: n worlds, m rows of the training tasks, L rows of the new task, k columns.
"""

import torch
from torch import Tensor

NEWTON_STEPS = 8  # of the fit; the loss is convex, and strictly so with ``ridge``


@torch.no_grad()
def propensities(
    new: Tensor,
    is_new: Tensor,
    reference: Tensor,
    ridge: float,
    largest: float,
) -> Tensor:
    """The ratio of the new task's density to that of the training tasks, at each training row.

    Args:
        new: (n, L, k) rows of each world's task.
        is_new: (n, L) which of them exist; a world without any gets the ratio 1.
        reference: (m, k) rows of the training tasks, the same for all worlds.
        ridge: factor of half the squared weights beside the mean loss; the bias is free.
        largest: bound of the ratios.

    Returns:
        Ratios (n, m), from 0 to ``largest``.
    """
    mean = reference.mean(0)
    std = reference.std(0).clamp(min=1e-6)
    rows = _with_ones((reference - mean) / std)
    new_rows = _with_ones((new - mean) / std)
    weights = fit(new_rows, is_new, rows, ridge)
    log_ratio = weights @ rows.T
    ratio = log_ratio.exp().clamp(max=largest)
    return torch.where(is_new.any(1, keepdim=True), ratio, torch.ones_like(ratio))


def fit(new: Tensor, is_new: Tensor, reference: Tensor, ridge: float) -> Tensor:
    """Weights (n, k) of logistic regression by Newton's method; the last column of rows is 1.

    The loss is the mean over both classes, each with half the weight, of the classifier's negative
    log-likelihood. The other arguments are those of ``propensities``.
    """
    n, _, k = new.shape
    half = 0.5 * is_new / is_new.sum(1, keepdim=True).clamp(min=1)  # (n, L)
    share = 0.5 / len(reference)
    penalty = torch.full((k,), ridge, device=new.device)
    penalty[-1] = 0
    jitter = 1e-6 * torch.eye(k, device=new.device)  # keeps the bias solvable without curvature
    weights = new.new_zeros(n, k)
    # on a GPU the check would wait for the result, which a step in a CUDA graph must not do
    on_cpu = new.device.type == "cpu"
    for _ in range(NEWTON_STEPS):
        new_odds = torch.sigmoid((new @ weights[..., None]).squeeze(-1))  # (n, L)
        odds = torch.sigmoid(weights @ reference.T)  # (n, m)
        gradient = share * odds @ reference + penalty * weights
        gradient = gradient + (((new_odds - 1) * half)[..., None] * new).sum(1)
        new_curvature = half * new_odds * (1 - new_odds)
        curvature = share * odds * (1 - odds)
        hessian = new.mT @ (new_curvature[..., None] * new)
        hessian = hessian + reference.T @ (curvature[..., None] * reference)
        hessian = hessian + torch.diag(penalty) + jitter
        step, _ = torch.linalg.solve_ex(hessian, gradient, check_errors=on_cpu)
        weights = weights - step
    return weights


def normalized_sample_size(weights: Tensor) -> Tensor:
    """The effective number of rows as a share of all: (mean w)² / mean w², (n,), for w (n, m).

    It is 1 for equal weights and 1/m where a single row has all the weight (Kong 1992).
    """
    return weights.mean(1).square() / weights.square().mean(1).clamp(min=1e-12)


def _with_ones(rows: Tensor) -> Tensor:
    """Rows (..., k + 1) with a last column of ones."""
    return torch.cat([rows, torch.ones_like(rows[..., :1])], -1)
