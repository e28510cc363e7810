"""A memory by causal attention: every tick looks at those before it, within a window.

Blocks of attention and a feed-forward layer (Vaswani et al. 2017), each behind a layer norm (Xiong
et al. 2020). Where a tick lies in time enters by rotary embedding (Su et al. 2021): only the
distance of two ticks counts, so a window may slide on for ever. The state is the window's keys and
values, so that one more tick costs as much however long a trial has lasted.
Axes: L ticks, n worlds, W past ticks of the window, b blocks, k width, h heads, d = k / h.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from policies.nn.networks import mlp
from robots.errors import BadArgumentError

ROTARY_BASE = 10_000.0  # longest over shortest period of the rotations (Su et al. 2021)
EXPANSION = 2  # width of the feed-forward layer over k; Vaswani et al. have 4


@dataclass(frozen=True)
class Window:
    """What attention keeps of the last W ticks of n worlds, the newest last."""

    keys: Tensor  # (n, b, W, k)
    values: Tensor  # (n, b, W, k)
    age: Tensor  # (n,) ticks since the first one, float


class AttentionBlock(nn.Module):
    """Attention to keys of the past and of now, then a feed-forward layer; both are added on."""

    def __init__(self, size: int, heads: int, generator: torch.Generator) -> None:
        """``size`` is k, ``heads`` is h; the weights live on the generator's device."""
        super().__init__()
        self.heads = heads
        device = generator.device
        self.attention_norm = nn.LayerNorm(size, device=device)
        self.project = mlp([size, 3 * size], generator)
        self.merge = mlp([size, size], generator)
        self.forward_norm = nn.LayerNorm(size, device=device)
        self.feed_forward = mlp([size, EXPANSION * size, size], generator)

    def projections(self, x: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (n, L, k) of ticks (n, L, k) at positions (n, L)."""
        projected = self.project(self.attention_norm(x))
        query, key, value = projected.chunk(3, -1)
        return self._rotated(query, position), self._rotated(key, position), value

    def attend(
        self,
        x: Tensor,
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Ticks (n, L, k) after they have looked at keys and values (n, S, k).

        ``mask`` (n, L, S) is True where a query may look.
        """
        found = scaled_dot_product_attention(
            self._split(query), self._split(keys), self._split(values), mask[:, None]
        )
        x = x + self.merge(found.transpose(1, 2).flatten(2))
        outcome: Tensor = x + self.feed_forward(self.forward_norm(x))
        return outcome

    def _split(self, x: Tensor) -> Tensor:
        """(n, L, k) by heads, (n, h, L, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _rotated(self, x: Tensor, position: Tensor) -> Tensor:
        """Each head's pairs of columns, rotated by position times the pair's frequency."""
        first, second = x.unflatten(-1, (self.heads, 2, -1)).unbind(-2)  # (n, L, h, d / 2)
        pairs = first.shape[-1]
        exponent = torch.arange(pairs, device=x.device) / pairs
        angle = position[..., None, None] * ROTARY_BASE**-exponent
        cos, sin = angle.cos(), angle.sin()
        rotated = [first * cos - second * sin, first * sin + second * cos]
        return torch.stack(rotated, -2).flatten(-3)


class AttentionMemory(nn.Module):
    """A ``Memory`` whose outputs are the last block's, after a layer norm."""

    def __init__(
        self,
        inputs: int,
        size: int,
        blocks: int,
        heads: int,
        window: int,
        generator: torch.Generator,
    ) -> None:
        """Sizes are i, k, b, h and W; the weights live on the generator's device.

        Raises:
            BadArgumentError: k / h is not an even number, which rotations in pairs need.
        """
        super().__init__()
        if size % (2 * heads) != 0:
            raise BadArgumentError(
                f"{heads} heads share a width of {size}: it must be a multiple of {2 * heads}"
            )
        self.size = size
        self.window = window
        self.embed = mlp([inputs, size], generator)
        layers = [AttentionBlock(size, heads, generator) for _ in range(blocks)]
        self.blocks = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(size, device=generator.device)

    def initial(self, n: int) -> Window:
        """An empty window."""
        weight = self.norm.weight
        empty = weight.new_zeros(n, len(self.blocks), self.window, self.size)
        return Window(keys=empty, values=empty.clone(), age=weight.new_zeros(n))

    def step(self, inputs: Tensor, state: Window) -> tuple[Tensor, Window]:
        """The output (n, k) and the window after one more input (n, i)."""
        outputs, state = self.scan(inputs[None], state)
        return outputs[0], state

    def scan(self, inputs: Tensor, state: Window) -> tuple[Tensor, Window]:
        """The outputs (L, n, k) after each of the inputs (L, n, i), and the last window."""
        ticks = len(inputs)
        x = self.embed(inputs.transpose(0, 1))  # (n, L, k)
        steps = torch.arange(ticks, device=x.device)
        position = state.age[:, None] + steps
        mask = self._mask(ticks, state.age)
        kept_keys, kept_values = [], []
        for number, block in enumerate(self.blocks):
            query, key, value = block.projections(x, position)
            keys = torch.cat([state.keys[:, number], key], 1)  # (n, W + L, k)
            values = torch.cat([state.values[:, number], value], 1)
            x = block.attend(x, query, keys, values, mask)
            kept_keys.append(keys[:, ticks:])
            kept_values.append(values[:, ticks:])
        after = Window(
            keys=torch.stack(kept_keys, 1),
            values=torch.stack(kept_values, 1),
            age=state.age + ticks,
        )
        return self.norm(x).transpose(0, 1), after

    def _mask(self, ticks: int, age: Tensor) -> Tensor:
        """Whether tick t of L may look at place s of W kept and L new ones, (n, L, W + L)."""
        places = torch.arange(self.window + ticks, device=age.device)
        own = self.window + torch.arange(ticks, device=age.device)[:, None]
        distance = own - places  # (L, W + L) ticks back from each tick
        in_window = (distance >= 0) & (distance <= self.window)
        # A window holds as many ticks as there were, at most W; they are its last ones.
        is_filled = places >= self.window - age[:, None]
        return in_window & is_filled[:, None]
