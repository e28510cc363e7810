"""Numbers for the training log."""

from collections.abc import Sequence

import torch
from torch import Tensor


def detached(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers without the graphs that computed them."""
    return {name: loss.detach() for name, loss in losses.items()}


def mean_logs(logs: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of every logged scalar over the gradient steps of an iteration.

    Args:
        logs: one dict of scalars per gradient step, all with the same names; at least one.
    """
    means = {}
    for name in logs[0]:
        values = torch.stack([log[name] for log in logs])
        means[name] = values.mean().item()
    return means
