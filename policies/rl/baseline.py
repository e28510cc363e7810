"""A linear value estimate, fitted to the episode that it is used for."""

import torch
from torch import Tensor


def linear_baseline(
    obs: Tensor,
    returns: Tensor,
    valid: Tensor,
    l2: float,
) -> Tensor:
    """Ridge regression of each task's returns on its own episode (Duan et al. 2016), (H, n).

    The features are the observation and its square, time and its square and cube, and a constant.

    Args:
        obs: (H, n, o) normalized observations.
        returns: (H, n) that are fitted.
        valid: (H, n) bool, the ticks that are fitted.
        l2: weight of the squared norm of the coefficients.
    """
    time = torch.linspace(0, 1, len(obs), dtype=obs.dtype, device=obs.device)
    t = time[:, None, None].expand(*obs.shape[:2], 1)
    columns = [
        obs,
        obs.square(),
        t,
        t**2,
        t**3,
        torch.ones_like(t),
    ]
    x = torch.cat(columns, -1).transpose(0, 1)  # (n, H, k)
    y = returns.T[..., None]  # (n, H, 1)
    valid_x = x * valid.T[..., None]
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
    gram = valid_x.mT @ valid_x + l2 * identity
    coefficients: Tensor = torch.linalg.solve(gram, valid_x.mT @ y)  # (n, k, 1)
    fit = x @ coefficients
    return fit[..., 0].T
