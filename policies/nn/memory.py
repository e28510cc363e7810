"""Memories: a state of fixed size that summarizes a sequence of inputs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from policies.nn.networks import empty_layer, mlp

EMBEDDING = 64  # units of the layers before a GRU

S = TypeVar("S")  # a state: a tensor or a dataclass of tensors, each with n worlds as leading axis
R = TypeVar("R", nn.GRU, nn.LSTM)


class Memory(nn.Module, ABC, Generic[S]):
    """Updates a state with every input (n, i), and gives an output (n, k) after each.

    ``step`` is for acting, ``scan`` for learning from whole trials; both give the same numbers.
    """

    size: int  # k

    @abstractmethod
    def initial(self, n: int) -> S:
        """The state of n worlds before the first input."""

    def step(self, inputs: Tensor, state: S) -> tuple[Tensor, S]:
        """The output (n, k) and the state after one more input (n, i)."""
        outputs, state = self.scan(inputs[None], state)
        return outputs[0], state

    @abstractmethod
    def scan(self, inputs: Tensor, state: S) -> tuple[Tensor, S]:
        """Read a sequence of inputs.

        Args:
            inputs: (L, n, i) in time order.
            state: before the first input.

        Returns:
            The outputs after each input (L, n, k), and the state after the last of them.
        """


class GruMemory(Memory[Tensor]):
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
        self.gru = _make_layer(nn.GRU, inputs, size, generator)

    def initial(self, n: int) -> Tensor:
        """Zeros, (n, k)."""
        weight = next(self.gru.parameters())
        return weight.new_zeros(n, self.size)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The states (L, n, k) after each of the inputs (L, n, i), and the last of them (n, k)."""
        states, last = self.gru(inputs, state[None])
        return states, last[0]

    def scan_before(self, inputs: Tensor) -> Tensor:
        """The states (L, n, k) before each of the inputs (L, n, i), of which the first is empty."""
        empty = self.initial(inputs.shape[1])
        after, _ = self.scan(inputs, empty)
        return torch.cat([empty[None], after[:-1]])


class EmbeddingGru(GruMemory):
    """A GRU behind two layers, which can square: a goal is not linear in place and reward."""

    def __init__(self, inputs: int, size: int, generator: torch.Generator) -> None:
        super().__init__(EMBEDDING, size, generator)
        self.embed = mlp([inputs, EMBEDDING, EMBEDDING], generator)

    def scan(self, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """As of a GRU, with embedded inputs."""
        return super().scan(self.embed(inputs), state)


@dataclass(frozen=True)
class LstmState:
    """What an LSTM keeps of n worlds."""

    hidden: Tensor  # (n, k) its output
    cell: Tensor  # (n, k)


class LstmMemory(Memory[LstmState]):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)."""

    def __init__(
        self,
        inputs: int,
        size: int,
        generator: torch.Generator,
    ) -> None:
        """Weights are uniform in ±1/√size, as in ``torch.nn.LSTM``, on the generator's device."""
        super().__init__()
        self.size = size
        self.lstm = _make_layer(nn.LSTM, inputs, size, generator)

    def initial(self, n: int) -> LstmState:
        """Zeros, (n, k) each."""
        weight = next(self.lstm.parameters())
        zeros = weight.new_zeros(n, self.size)
        return LstmState(zeros, zeros.clone())

    def scan(self, inputs: Tensor, state: LstmState) -> tuple[Tensor, LstmState]:
        """The outputs (L, n, k) after each of the inputs (L, n, i), and the last state."""
        outputs, (hidden, cell) = self.lstm(inputs, (state.hidden[None], state.cell[None]))
        return outputs, LstmState(hidden[0], cell[0])


def _make_layer(kind: type[R], inputs: int, size: int, generator: torch.Generator) -> R:
    """A recurrent layer of ``size`` units, with weights from the generator, uniform in ±1/√size."""
    layer = empty_layer(kind, inputs, size, device=generator.device)
    layer.flatten_parameters()
    bound = size**-0.5
    for weight in layer.parameters():
        nn.init.uniform_(weight, -bound, bound, generator=generator)
    return layer
