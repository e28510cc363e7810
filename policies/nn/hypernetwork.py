"""A hypernetwork: a network whose weights are a function of a memory (Ha et al. 2017).

In meta-RL, a policy whose weights are generated from the memory learns better than one that reads
the memory as an input, provided that at first all memories generate the same network (Beck et al.
2022, their Bias-HyperInit; Beck et al. 2023).
Axes: m columns of the memory, i inputs, k outputs, P weights of the generated network.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policies.nn.networks import empty_layer, mlp


class HyperMlp(nn.Module):
    """Linear layers with ReLU between them, whose weights are linear in the memory."""

    def __init__(
        self,
        memory: int,
        sizes: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        """Start with the same network for every memory, with weights as those of ``mlp``.

        Args:
            memory: m
            sizes: widths (i, ..., k) of inputs, hidden layers and outputs.
            generator: of the weights, which are on its device.
        """
        super().__init__()
        first = list(mlp(sizes, generator).parameters())  # (k, i) and (k,) of each layer
        self.columns = [memory, sizes[0]]
        self.shapes = [weight.shape for weight in first]
        self.lengths = [weight.numel() for weight in first]
        device = generator.device
        self.make = empty_layer(nn.Linear, memory, sum(self.lengths), device=device)
        nn.init.zeros_(self.make.weight)
        with torch.no_grad():
            self.make.bias.copy_(torch.cat([weight.flatten() for weight in first]))

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (..., k) for rows (..., m + i): the memory, then the inputs."""
        memory, inputs = features.split(self.columns, -1)
        x: Tensor = inputs
        generated: Tensor = self.make(memory)
        pieces = generated.split(self.lengths, -1)
        for layer in range(0, len(pieces), 2):
            if layer > 0:
                x = torch.relu(x)
            weight = pieces[layer].unflatten(-1, self.shapes[layer])
            bias = pieces[layer + 1]
            product = weight @ x[..., None]
            x = product[..., 0] + bias
        return x


def mlp_or_hyper(hyper: int, sizes: Sequence[int], generator: torch.Generator) -> nn.Module:
    """A network; the first ``hyper`` inputs, if any, generate the weights for the others.

    Args:
        hyper: number of inputs that generate weights.
        sizes: widths of all inputs, of the hidden layers and of the outputs.
        generator: of the weights, which are on its device.
    """
    if hyper == 0:
        return mlp(sizes, generator)
    return HyperMlp(hyper, [sizes[0] - hyper, *sizes[1:]], generator)
