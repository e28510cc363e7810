"""A memory by causal attention: every tick attends to earlier ticks within a window.

Blocks of attention and a feed-forward layer (Vaswani et al. 2017), each preceded by a layer norm
(Xiong et al. 2020). Time enters by rotary embedding (Su et al. 2021): only the distance between two
ticks matters, so the window may slide without end. The state consists of the window's keys and
values, so the cost of a tick does not grow with the length of the trial.
Axes: L ticks, n worlds, W past ticks of the window, S = W + L places in it, b blocks, k width,
h heads, d = k / h.
"""

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from policies.nn.memory import Memory
from policies.nn.networks import mlp
from robots.errors import BadArgumentError

ROTARY_BASE = 10_000.0  # longest over shortest period of the rotations (Su et al. 2021)
EXPANSION = 2  # width of the feed-forward layer over k; Vaswani et al. have 4


@dataclass(frozen=True)
class Window:
    """Keys and values of the last W ticks of n worlds, the newest last."""

    keys: tuple[Tensor, ...]  # of each block (n, W, k), rotated
    values: tuple[Tensor, ...]  # of each block (n, W, k)
    age: Tensor  # (n,) int64, ticks since the first one


class AttentionBlock(nn.Module):
    """Attention to past and present keys, then a feed-forward layer; both are residual."""

    def __init__(
        self,
        size: int,
        heads: int,
        generator: torch.Generator,
    ) -> None:
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
        angle: Tensor,
        mask: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Let new ticks attend to the window and to one another.

        Args:
            x: (n, L, k) new ticks.
            past_keys: (n, W, k)
            past_values: (n, W, k)
            angle: (n, L, d / 2) rotation of each pair of a new tick's columns, rad.
            mask: (n, L, S) True where a new tick attends.

        Returns:
            The block's outputs (n, L, k), and keys and values (n, S, k) of all ticks.
        """
        normalized = self.attention_norm(x)
        projected = self.project(normalized)
        query, key, value = projected.chunk(3, -1)
        query = self._rotated(query, angle)
        key = self._rotated(key, angle)
        keys = torch.cat([past_keys, key], 1)
        values = torch.cat([past_values, value], 1)
        attended = scaled_dot_product_attention(
            query=self._by_head(query),
            key=self._by_head(keys),
            value=self._by_head(values),
            attn_mask=mask[:, None],  # the same for all heads
        )
        attended = attended.transpose(1, 2)  # (n, L, h, d)
        attended = attended.flatten(2)
        x = x + self.merge(attended)
        normalized = self.forward_norm(x)
        x = x + self.feed_forward(normalized)
        return x, keys, values

    def _by_head(self, x: Tensor) -> Tensor:
        """(n, L, k) as (n, h, L, d)."""
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)

    def _rotated(self, x: Tensor, angle: Tensor) -> Tensor:
        """Ticks (n, L, k) with rotated pairs of columns, in each head by the same angles."""
        pairs: Tensor = x.unflatten(-1, (self.heads, 2, -1))  # (n, L, h, 2, d / 2)
        first, second = pairs.unbind(-2)
        angle = angle[:, :, None]
        cos = angle.cos()
        sin = angle.sin()
        turned_first = first * cos - second * sin
        turned_second = first * sin + second * cos
        turned = torch.stack([turned_first, turned_second], -2)
        return turned.flatten(-3)


class AttentionMemory(Memory[Window]):
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
            BadArgumentError: see ``check_heads``.
        """
        super().__init__()
        check_heads(size, heads)
        self.size = size
        self.window = window
        head_columns = size // heads
        self.head_pairs = head_columns // 2
        self.embed = mlp([inputs, size], generator)
        layers = [AttentionBlock(size, heads, generator) for _ in range(blocks)]
        self.blocks = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(size, device=generator.device)

    def initial(self, n: int) -> Window:
        """An empty window of each world."""
        device = self.norm.weight.device
        empty = torch.zeros(n, self.window, self.size, device=device)
        of_each_block = (empty,) * len(self.blocks)
        return Window(
            keys=of_each_block,
            values=of_each_block,
            age=torch.zeros(n, dtype=torch.int64, device=device),
        )

    def scan(self, inputs: Tensor, state: Window) -> tuple[Tensor, Window]:
        """The outputs (L, n, k) after each of the inputs (L, n, i), and the last window."""
        ticks = len(inputs)
        inputs = inputs.transpose(0, 1)
        x = self.embed(inputs)  # (n, L, k)
        angle = self._angles(ticks, state.age)
        mask = window_mask(self.window, ticks, state.age)
        all_keys = []
        all_values = []
        past = zip(self.blocks, state.keys, state.values, strict=True)
        for block, past_keys, past_values in past:
            x, keys, values = block(x, past_keys, past_values, angle, mask)
            all_keys.append(keys[:, ticks:])
            all_values.append(values[:, ticks:])
        after = Window(
            keys=tuple(all_keys),
            values=tuple(all_values),
            age=state.age + ticks,
        )
        outputs = self.norm(x)
        return outputs.transpose(0, 1), after

    def _angles(self, ticks: int, age: Tensor) -> Tensor:
        """Rotation angles of L new ticks, (n, L, d / 2) rad: the time times each frequency.

        Double precision distinguishes neighboring ticks in trials of any length.
        """
        device = age.device
        steps = torch.arange(ticks, device=device)
        time = age[:, None] + steps
        pairs = torch.arange(self.head_pairs, device=device)
        exponent = pairs.double() / self.head_pairs
        frequency = ROTARY_BASE**-exponent
        angle = time[..., None] * frequency
        within_turn = angle % (2 * pi)
        return within_turn.float()


def check_heads(size: int, heads: int) -> None:
    """BadArgumentError if k / h is not an even number, which rotations of pairs need."""
    if size % (2 * heads) != 0:
        raise BadArgumentError(
            f"{heads} heads share a width of {size}: it must be a multiple of {2 * heads}"
        )


def window_mask(window: int, ticks: int, age: Tensor) -> Tensor:
    """Whether new tick t of L attends to place s of S, (n, L, S) bool.

    Args:
        window: W, past ticks that a tick attends to.
        ticks: L new ticks.
        age: (n,) ticks before them.
    """
    place = torch.arange(window + ticks, device=age.device)
    own_place = place[window:]
    distance = own_place[:, None] - place  # (L, S) ticks back
    is_past = distance >= 0
    is_near = distance <= window
    first_filled = window - age  # a young window has only its last places
    is_filled = place >= first_filled[:, None]  # (n, S)
    return is_past & is_near & is_filled[:, None]
