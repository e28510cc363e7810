"""A network over a history of fixed length: convolutions over time."""

import torch
from torch import Tensor, nn

from policies.nn.networks import empty_layer, init_

KERNELS = (8, 5, 5)  # ticks that an output of each convolution reads (RMA)
STRIDES = (4, 1, 1)  # ticks between two outputs of each (RMA)
SHORTEST_HISTORY = 40  # rows: the last convolution then has one output


class HistoryEncoder(nn.Module):
    """Maps rows (n, K, c) to outputs (n, l), like the adaptation module of Kumar et al. 2021.

    A linear layer on each row, three convolutions over time with ReLU, and a linear layer.
    """

    def __init__(
        self,
        columns: int,
        length: int,
        channels: int,
        outputs: int,
        generator: torch.Generator,
    ) -> None:
        """Weights uniform in ±1/√inputs, on the generator's device.

        Args:
            columns: c, numbers in a row.
            length: K, rows of a history: ``SHORTEST_HISTORY`` plus a multiple of the first stride.
                With any other number the convolutions would not read the newest rows.
            channels: outputs of the first layer and of each convolution.
            outputs: l
            generator: of the weights.
        """
        super().__init__()
        device = generator.device
        self.embed = empty_layer(nn.Linear, columns, channels, device=device)
        self.convolutions = nn.ModuleList()
        for kernel, stride in zip(KERNELS, STRIDES, strict=True):
            layer = empty_layer(nn.Conv1d, channels, channels, kernel, stride=stride, device=device)
            self.convolutions.append(layer)
            length = (length - kernel) // stride + 1
        self.head = empty_layer(nn.Linear, channels * length, outputs, device=device)
        for layer in (self.embed, *self.convolutions, self.head):
            inputs = layer.weight[0].numel()
            init_(layer.weight, layer.bias, inputs, generator)

    def forward(self, rows: Tensor) -> Tensor:
        """Outputs (n, l) of histories (n, K, c), the newest row last."""
        h = torch.relu(self.embed(rows))
        h = h.transpose(1, 2)  # (n, channels, K)
        for convolution in self.convolutions:
            h = torch.relu(convolution(h))
        out: Tensor = self.head(h.flatten(1))
        return out
