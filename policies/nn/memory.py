"""Recurrent memories: a state of fixed size that sums up a sequence of inputs."""

from typing import Protocol

import torch
from torch import Tensor, nn


class Memory(Protocol):
    """Folds inputs (n, i) into a state (n, k), tick by tick or a whole sequence at once.

    Both give the same numbers: ``step`` is for acting, ``scan`` for learning from whole trials.
    """

    size: int  # k

    def initial(self, n: int) -> Tensor:
        """The state (n, k) before the first input."""
        ...

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state (n, k) after one more input (n, i)."""
        ...

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Fold a sequence of inputs.

        Args:
            inputs: (L, n, i) in time order.
            state: (n, k) before the first of them.

        Returns:
            The states after each input (L, n, k), and the last of them (n, k).
        """
        ...


class GruMemory(nn.Module):
    """A gated recurrent unit (Cho et al. 2014)."""

    def __init__(
        self,
        inputs: int,
        size: int,
        generator: torch.Generator,
    ) -> None:
        """Weights are uniform in ±1/√size, as in ``torch.nn.GRU``, on the generator's device."""
        super().__init__()
        self.size = size
        self.gru = nn.GRU(inputs, size, device="meta").to_empty(device=generator.device)
        bound = size**-0.5
        for weight in self.gru.parameters():
            nn.init.uniform_(weight, -bound, bound, generator=generator)

    def initial(self, n: int) -> Tensor:
        """Zeros, (n, k)."""
        weight = next(self.gru.parameters())
        return weight.new_zeros(n, self.size)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """The state (n, k) after one more input (n, i)."""
        _, state = self.scan(inputs[None], state)
        return state

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The states (L, n, k) after each of the inputs (L, n, i), and the last of them (n, k)."""
        states, last = self.gru(inputs, state[None])
        return states, last[0]
