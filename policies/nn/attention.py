"""A memory by causal attention: every tick looks at those before it, within a window.

Blocks of attention and a feed-forward layer (Vaswani et al. 2017), each behind a layer norm (Xiong
et al. 2020). Where a tick lies in time enters by rotary embedding (Su et al. 2021): only the
distance of two ticks counts, so a window may slide on for ever. The state is the window's keys and
values, so that one more tick costs as much however long a trial has lasted.
Axes: L ticks, n worlds, W past ticks of the window, S = W + L places in it, b blocks, k width,
h heads, d = k / h.
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

    keys: Tensor  # (n, b, W, k) not yet rotated
    values: Tensor  # (n, b, W, k)
    filled: Tensor  # (n,) number of ticks in it, at most W


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

    def forward(
        self,
        x: Tensor,
        past_keys: Tensor,
        past_values: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let ticks look at the window and at one another.

        Args:
            x: (n, L, k) new ticks.
            past_keys: (n, W, k)
            past_values: (n, W, k)
            mask: (n, L, S) True where a new tick may look.

        Returns:
            The ticks (n, L, k) with what they found, and keys and values (n, S, k) of all.
        """
        projected = self.project(self.attention_norm(x))
        query, key, value = projected.chunk(3, -1)
        keys = torch.cat([past_keys, key], 1)
        values = torch.cat([past_values, value], 1)
        window = past_keys.shape[1]
        found = scaled_dot_product_attention(
            self._rotated(self._split(query), first_place=window),
            self._rotated(self._split(keys), first_place=0),
            self._split(values),
            mask[:, None],
        )
        x = x + self.merge(found.transpose(1, 2).flatten(2))
        x = x + self.feed_forward(self.forward_norm(x))
        return x, keys, values

    def _split(self, x: Tensor) -> Tensor:
        """(n, L, k) by heads, (n, h, L, d)."""
        by_head: Tensor = x.unflatten(-1, (self.heads, -1))
        return by_head.transpose(1, 2)

    def _rotated(self, x: Tensor, first_place: int) -> Tensor:
        """Pairs of columns of ticks (n, h, L, d), turned by place times the pair's frequency."""
        first, second = x.chunk(2, -1)  # (n, h, L, d / 2)
        ticks, pairs = first.shape[-2:]
        place = first_place + torch.arange(ticks, device=x.device)
        exponent = torch.arange(pairs, device=x.device) / pairs
        angle = place[:, None] * ROTARY_BASE**-exponent
        cos = angle.cos()
        sin = angle.sin()
        return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


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
        """An empty window of each world."""
        weight = self.norm.weight
        empty = weight.new_zeros(n, len(self.blocks), self.window, self.size)
        return Window(keys=empty, values=empty.clone(), filled=weight.new_zeros(n))

    def step(self, inputs: Tensor, state: Window) -> tuple[Tensor, Window]:
        """The output (n, k) and the window after one more input (n, i)."""
        outputs, state = self.scan(inputs[None], state)
        return outputs[0], state

    def scan(self, inputs: Tensor, state: Window) -> tuple[Tensor, Window]:
        """The outputs (L, n, k) after each of the inputs (L, n, i), and the last window."""
        ticks = len(inputs)
        x = self.embed(inputs.transpose(0, 1))  # (n, L, k)
        mask = self._mask(ticks, state.filled)
        all_keys = []
        all_values = []
        for number, block in enumerate(self.blocks):
            x, keys, values = block(x, state.keys[:, number], state.values[:, number], mask)
            all_keys.append(keys[:, ticks:])
            all_values.append(values[:, ticks:])
        filled = state.filled + ticks
        after = Window(
            keys=torch.stack(all_keys, 1),
            values=torch.stack(all_values, 1),
            filled=filled.clamp(max=self.window),
        )
        return self.norm(x).transpose(0, 1), after

    def _mask(self, ticks: int, filled: Tensor) -> Tensor:
        """Whether new tick t of L may look at place s of S, (n, L, S)."""
        place = torch.arange(self.window + ticks, device=filled.device)
        own_place = place[self.window :, None]
        distance = own_place - place  # (L, S) ticks back
        in_window = (distance >= 0) & (distance <= self.window)
        is_filled = place >= self.window - filled[:, None]  # the window's last ticks
        return in_window & is_filled[:, None]
