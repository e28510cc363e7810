"""Small networks with their own random stream, and a stack of them evaluated as one."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def init_(weight: Tensor, bias: Tensor, inputs: int, generator: torch.Generator) -> None:
    """Fill in place, uniform within ±1/√inputs (LeCun et al. 1998; what ``torch.nn.Linear`` does)."""
    bound = inputs**-0.5
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)


def mlp(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLU between them: (..., sizes[0]) -> (..., sizes[-1])."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, inputs, outputs, device=torch.get_default_device())
        init_(linear.weight, linear.bias, inputs, generator)
        layers += [linear, nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class Ensemble(nn.Module):
    """m networks of one shape, evaluated by one batched product per layer: (b, i) or (m, b, i) -> (m, b, k)."""

    def __init__(self, members: int, sizes: Sequence[int], generator: torch.Generator) -> None:
        super().__init__()
        self.members = members
        self.weights = nn.ParameterList(torch.empty(members, i, k) for i, k in pairwise(sizes))
        self.biases = nn.ParameterList(torch.empty(members, 1, k) for k in sizes[1:])
        for weight, bias in zip(self.weights, self.biases, strict=True):
            init_(weight, bias, weight.shape[1], generator)

    def forward(self, x: Tensor, frozen: bool = False) -> Tensor:
        """All members' outputs (m, b, k); ``frozen`` passes gradients to x but not to the weights."""
        h = x if x.dim() == 3 else x.expand(self.members, *x.shape)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            h = (
                torch.baddbmm(bias.detach(), h, weight.detach())
                if frozen
                else torch.baddbmm(bias, h, weight)
            )
            h = h if layer == last else torch.relu_(h)
        return h
