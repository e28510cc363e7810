"""A Gaussian squashed by tanh, with its density and a handwritten gradient.

The policy of soft actor-critic (Haarnoja et al. 2018a, appendix C). A network outputs the mean and,
through another tanh, the log standard deviation.
"""

from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LOG_SQRT_2PI = 0.5 * log(2 * torch.pi)
# of the Gaussian before squashing
MIN_LOG_STD = -5.0
MAX_LOG_STD = 2.0
HALF_RANGE = (MAX_LOG_STD - MIN_LOG_STD) / 2


def squashed_gaussian(out: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Draw actions.

    Args:
        out: (..., 2a) outputs of the network: the mean, and the raw log standard deviation.
        noise: (..., a) draws of N(0, 1).

    Returns:
        Actions in (-1, 1), (..., a), and their log-density (...,).
    """
    action, log_prob = _SquashedGaussian.apply(out, noise)
    return action, log_prob


def squashed_mean(out: Tensor) -> Tensor:
    """The squashed mean (..., a) of a network's outputs (..., 2a)."""
    mean, _ = out.chunk(2, -1)
    return torch.tanh(mean)


class _SquashedGaussian(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, out: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        mean, raw_std = out.chunk(2, -1)
        squashed_std = torch.tanh(raw_std)
        log_std = HALF_RANGE * squashed_std + (MIN_LOG_STD + HALF_RANGE)
        scaled_noise = log_std.exp() * noise
        raw = mean + scaled_noise
        action = torch.tanh(raw)
        # log(1 - tanh²(raw)), the log-derivative of the squashing, in a numerically stable form
        log_slope = 2 * (log(2) - raw - F.softplus(-2 * raw))
        log_density = -0.5 * noise.square() - log_std - LOG_SQRT_2PI
        ctx.save_for_backward(action, squashed_std, scaled_noise)
        return action, (log_density - log_slope).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        """With da/draw = 1 - a² and d(log-density)/draw = 2a for a drawn action a."""
        action_gradient, log_prob_gradient = gradients
        action, squashed_std, scaled_noise = ctx.saved_tensors
        log_prob_gradient = log_prob_gradient.unsqueeze(-1)
        slope = 1 - action.square()
        mean = action_gradient * slope + 2 * action * log_prob_gradient
        log_std = mean * scaled_noise - log_prob_gradient
        raw_std = log_std * HALF_RANGE * (1 - squashed_std.square())
        return torch.cat([mean, raw_std], -1), None
