"""A memory by temporal convolutions and attention (SNAIL, Mishra et al. 2018).

Each layer appends columns to its inputs. A convolution computes them from a tick and one earlier
tick, attention from all ticks of its window. Convolutions with doubling distances (dilations) cover
a whole trial with few layers; attention selects single ticks of it. The state is what each layer
needs of the past, so the cost of a tick does not grow with the length of the trial.
Axes: L ticks, n worlds, W past ticks of the window, k columns, f filters, h attention columns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from policies.nn.attention import window_mask
from policies.nn.memory import Memory
from policies.nn.networks import mlp


@dataclass(frozen=True)
class BlockState:
    """The past inputs, keys and values of a block in n worlds, the newest tick last."""

    inputs: tuple[Tensor, ...]  # of each convolution (n, distance, k); zeros before the first tick
    keys: Tensor  # (n, W, h)
    values: Tensor  # (n, W, h)


@dataclass(frozen=True)
class SnailState:
    """The states of all blocks."""

    blocks: tuple[BlockState, ...]
    age: Tensor  # (n,) int64, ticks since the first one


class GatedConvolution(nn.Module):
    """Appends tanh(x) · sigmoid(y), linear in a tick and in the one ``distance`` ticks earlier."""

    def __init__(
        self,
        inputs: int,
        filters: int,
        distance: int,
        generator: torch.Generator,
    ) -> None:
        """``inputs`` is k, ``filters`` is f; the weights live on the generator's device."""
        super().__init__()
        self.inputs = inputs
        self.distance = distance
        self.outputs = inputs + filters
        self.project = mlp([2 * inputs, 2 * filters], generator)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Columns (n, L, k + f) of new ticks (n, L, k), and the past (n, distance, k) after them.

        Args:
            x: (n, L, k) new ticks.
            past: (n, distance, k) the ticks before them.
        """
        ticks = x.shape[1]
        all_ticks = torch.cat([past, x], 1)
        earlier = all_ticks[:, :ticks]
        projected = self.project(torch.cat([earlier, x], -1))
        value, gate = projected.chunk(2, -1)
        convolved = value.tanh() * gate.sigmoid()
        return torch.cat([x, convolved], -1), all_ticks[:, ticks:]


class CausalAttention(nn.Module):
    """Appends the output of one attention head over the window."""

    def __init__(
        self,
        inputs: int,
        size: int,
        generator: torch.Generator,
    ) -> None:
        """``inputs`` is k, ``size`` is h; the weights live on the generator's device."""
        super().__init__()
        self.size = size
        self.outputs = inputs + size
        self.project = mlp([inputs, 3 * size], generator)

    def forward(
        self,
        x: Tensor,
        past_keys: Tensor,
        past_values: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let new ticks attend to the window and to one another.

        Args:
            x: (n, L, k) new ticks.
            past_keys: (n, W, h)
            past_values: (n, W, h)
            mask: (n, L, W + L) True where a new tick attends.

        Returns:
            The ticks (n, L, k + h), and keys and values (n, W, h) of the window after them.
        """
        ticks = x.shape[1]
        query, key, value = self.project(x).chunk(3, -1)
        keys = torch.cat([past_keys, key], 1)
        values = torch.cat([past_values, value], 1)
        attended = scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return torch.cat([x, attended], -1), keys[:, ticks:], values[:, ticks:]


class SnailBlock(nn.Module):
    """Convolutions whose distances double until they span the window, then attention."""

    def __init__(
        self,
        inputs: int,
        filters: int,
        attention: int,
        window: int,
        generator: torch.Generator,
    ) -> None:
        """Sizes are k, f, h and W; the weights live on the generator's device."""
        super().__init__()
        self.window = window
        layers: list[GatedConvolution] = []
        columns = inputs
        distance = 1
        while distance <= window:
            layer = GatedConvolution(columns, filters, distance, generator)
            layers.append(layer)
            columns = layer.outputs
            distance *= 2
        self.past_shapes = [(layer.distance, layer.inputs) for layer in layers]
        self.convolutions = nn.ModuleList(layers)
        self.attention = CausalAttention(columns, attention, generator)
        self.outputs = self.attention.outputs

    def initial(self, n: int, device: torch.device) -> BlockState:
        """Zeros of each world, and an empty window."""
        inputs = [torch.zeros(n, *shape, device=device) for shape in self.past_shapes]
        empty = torch.zeros(n, self.window, self.attention.size, device=device)
        return BlockState(tuple(inputs), empty, empty)

    def forward(
        self,
        x: Tensor,
        past: BlockState,
        mask: Tensor,
    ) -> tuple[Tensor, BlockState]:
        """New ticks (n, L, ...) with the columns of all layers, and the state after them.

        Args:
            x: (n, L, k) new ticks.
            past: the state before them.
            mask: (n, L, W + L) True where a new tick attends.
        """
        after = []
        for layer, before in zip(self.convolutions, past.inputs, strict=True):
            x, kept = layer(x, before)
            after.append(kept)
        x, keys, values = self.attention(x, past.keys, past.values, mask)
        return x, BlockState(tuple(after), keys, values)


class SnailMemory(Memory[SnailState]):
    """A ``Memory`` whose outputs are all columns of the last block."""

    def __init__(
        self,
        inputs: int,
        embedding: int,
        filters: int,
        attention: int,
        blocks: int,
        window: int,
        generator: torch.Generator,
    ) -> None:
        """Build the layers on the generator's device.

        Args:
            inputs: columns of a tick.
            embedding: columns after the first linear layer.
            filters: f of each convolution.
            attention: h of each attention layer.
            blocks: their number.
            window: W, past ticks that attention reads and that a block's convolutions span.
            generator: draws the weights.
        """
        super().__init__()
        self.window = window
        self.embed = mlp([inputs, embedding], generator)
        self._blocks: list[SnailBlock] = []
        columns = embedding
        for _ in range(blocks):
            block = SnailBlock(columns, filters, attention, window, generator)
            self._blocks.append(block)
            columns = block.outputs
        self.size = columns
        self.blocks = nn.ModuleList(self._blocks)

    def initial(self, n: int) -> SnailState:
        """The state of n worlds before the first tick."""
        weight = next(self.parameters())
        blocks = [block.initial(n, weight.device) for block in self._blocks]
        age = torch.zeros(n, dtype=torch.int64, device=weight.device)
        return SnailState(tuple(blocks), age)

    def scan(self, inputs: Tensor, state: SnailState) -> tuple[Tensor, SnailState]:
        """The outputs (L, n, k) after each of the inputs (L, n, i), and the last state."""
        ticks = len(inputs)
        mask = window_mask(self.window, ticks, state.age)
        x = self.embed(inputs.transpose(0, 1))  # (n, L, embedding)
        after = []
        for block, past in zip(self._blocks, state.blocks, strict=True):
            x, kept = block(x, past, mask)
            after.append(kept)
        return x.transpose(0, 1), SnailState(tuple(after), state.age + ticks)
