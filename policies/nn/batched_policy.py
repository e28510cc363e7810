"""Gaussian policies with different parameters, evaluated as one batch."""

from itertools import pairwise

import torch
from torch import Tensor

from policies.nn.networks import init_

MIN_LOG_STD = -3.0  # the standard deviation is at least 0.05, also after an inner step


class BatchedPolicy:
    """A Gaussian policy with tanh layers as a function of its parameters, for n of them at once.

    The parameters of one policy are a vector (P,): the weight (i, k) and bias (k,) of each layer,
    one layer after the other, then the log standard deviation (a,).
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        """``sizes`` are the widths (o, ..., a) of inputs, hidden layers and actions."""
        self.layers = list(pairwise(sizes))  # inputs and outputs of each
        self.actions = sizes[-1]
        self.lengths: list[int] = []  # of the pieces of a parameter vector
        for inputs, outputs in self.layers:
            self.lengths += [inputs * outputs, outputs]
        self.lengths.append(self.actions)

    def initial(self, std: float, generator: torch.Generator) -> Tensor:
        """A first parameter vector (P,) on the generator's device."""
        pieces = []
        for inputs, outputs in self.layers:
            weight = torch.zeros(inputs, outputs, device=generator.device)
            bias = torch.zeros(outputs, device=generator.device)
            init_(weight, bias, inputs, generator)
            pieces += [weight.flatten(), bias]
        pieces.append(torch.full((self.actions,), std, device=generator.device).log())
        return torch.cat(pieces)

    def __call__(self, theta: Tensor, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (H, n, a) and log standard deviation (n, a) of the actions.

        Args:
            theta: (n, P) one policy for each world.
            obs: (H, n, o) normalized observations.
        """
        n = len(theta)
        *pieces, log_std = theta.split(self.lengths, -1)
        weights = pieces[0::2]
        biases = pieces[1::2]
        h = obs.transpose(0, 1)  # (n, H, o)
        for layer, (inputs, outputs) in enumerate(self.layers):
            weight = weights[layer].view(n, inputs, outputs)
            bias = biases[layer].view(n, 1, outputs)
            if layer > 0:
                h = torch.tanh(h)
            h = torch.baddbmm(bias, h, weight)
        mean = h.transpose(0, 1)
        return mean, log_std.clamp(min=MIN_LOG_STD)
