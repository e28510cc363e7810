"""RL² with a transformer: the memory is causal attention over the trial (TrMRL, Melo 2022).

Everything else is RL²: the inputs of the memory, its reset for a new task only, and PPO over the
return of the trial. A tick attends to the earlier ticks of its own trial, within a window that by
default holds the whole trial. The belief consists of the window's keys and values, so a tick of a
deployment costs the same however long the deployment has lasted; older ticks are forgotten.

TrMRL's window is the last five transitions. Its blocks have no layer norms and are initialized by
T-Fixup. Here a layer norm precedes each part of a block, as in GTrXL (Parisotto et al. 2020), but
without GTrXL's gates.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from msgspec import Meta

from policies.method import Problem
from policies.methods.rl2 import MemoryPolicy
from policies.nn.attention import AttentionMemory, Window, check_heads
from policies.ranges import Count, Width
from policies.rl.ppo import PpoConfig

WindowLength = Annotated[int, Meta(ge=1, le=4096)]  # ticks that a window may be set to
Depth = Annotated[int, Meta(ge=1, le=64)]

MAX_WINDOW = 256  # ticks: keys and values of a world are at most 128 KiB a block of 64 units


@dataclass(frozen=True)
class Rl2TransformerConfig(PpoConfig):
    """Settings: PPO's, and those of the attention."""

    memory_size: Width = 64  # width of the blocks; TrMRL has 128 on half-cheetah, 32 on Meta-World
    blocks: Depth = 1  # attention blocks; TrMRL has 4 on half-cheetah
    heads: Count = 4  # heads of a block's attention (TrMRL on Meta-World)
    window: WindowLength = 60  # W, past ticks that a tick looks at; TrMRL has 5

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """As for PPO; the window is the trial, as far as memory allows."""
        trial_steps = problem.episodes * problem.horizon
        return replace(super().for_problem(problem), window=min(MAX_WINDOW, trial_steps))

    def __post_init__(self) -> None:
        """BadArgumentError if the heads do not divide the width of attention."""
        check_heads(self.memory_size, self.heads)


class Rl2Transformer(MemoryPolicy[Window]):
    """RL² whose memory is a window of ticks."""

    Config = Rl2TransformerConfig
    config: Rl2TransformerConfig

    def make_memory(self, inputs: int) -> AttentionMemory:
        """Attention over ticks; it reads ``inputs`` columns of each."""
        c = self.config
        return AttentionMemory(inputs, c.memory_size, c.blocks, c.heads, c.window, self.generator)
