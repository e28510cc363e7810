"""Small networks with weights from a given generator, and ensembles evaluated as one batch."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def empty_layer(kind: Callable[..., M], *sizes: int, device: torch.device, **options: Any) -> M:
    """A layer whose weights are not set, as ``torch.nn.utils.skip_init`` makes it.

    That function imports SymPy, for which every process waits a third of a second.

    Args:
        kind: of layer, such as ``torch.nn.Linear``, without parts that are layers.
        sizes: its positional arguments.
        device: of its weights.
        options: its other arguments.
    """
    layer = kind(*sizes, device="meta", **options)
    for name, weight in list(layer.named_parameters()):
        empty = torch.empty(weight.shape, device=device)
        setattr(layer, name, nn.Parameter(empty))
    return layer


def init_(
    weight: Tensor,
    bias: Tensor,
    inputs: int,
    generator: torch.Generator,
) -> None:
    """Fill in place, uniform in ±1/√inputs (LeCun et al. 1998), as ``torch.nn.Linear`` does."""
    bound = inputs**-0.5
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)


def mlp(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLU between them: (..., sizes[0]) -> (..., sizes[-1]).

    The weights are drawn from the generator and live on its device.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = empty_layer(nn.Linear, inputs, outputs, device=generator.device)
        init_(linear.weight, linear.bias, inputs, generator)
        layers.append(linear)
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers[:-1])  # no ReLU after the last layer


class Ensemble(nn.Module):
    """m networks of one shape, evaluated by one batched product per layer.

    The weights are drawn from the generator and live on its device.
    """

    def __init__(
        self,
        members: int,
        sizes: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        device = generator.device
        self.members = members
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            weight = torch.empty(members, inputs, outputs, device=device)
            bias = torch.empty(members, 1, outputs, device=device)
            init_(weight, bias, inputs, generator)
            self.weights.append(weight)
            self.biases.append(bias)

    def forward(self, x: Tensor, detach_weights: bool = False) -> Tensor:
        """Outputs of all members.

        Args:
            x: (b, i), the same for every member, or (m, b, i).
            detach_weights: pass gradients to ``x`` but not to the weights.

        Returns:
            (m, b, k)
        """
        h = x
        if x.dim() == 2:
            h = x.expand(self.members, *x.shape)
        last = len(self.weights) - 1
        for layer, weight in enumerate(self.weights):
            bias = self.biases[layer]
            if detach_weights:
                weight = weight.detach()
                bias = bias.detach()
            h = torch.baddbmm(bias, h, weight)
            if layer < last:
                h = self.activate(h)
        return h

    def activate(self, h: Tensor) -> Tensor:
        """The activation between two layers: ReLU, in place."""
        return torch.relu_(h)
