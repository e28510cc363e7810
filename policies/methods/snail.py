"""SNAIL (Mishra et al. 2018): temporal convolutions and attention as the memory of RL².

Everything else is RL²: the inputs of the memory, its reset for a new task only, and the return of
the whole trial. SNAIL trains by TRPO; here PPO replaces it. SNAIL's network for small problems
embeds a tick in 32 columns and has two blocks of convolutions, 32 filters each, and one attention
with 32 columns; here attention follows each block.
"""

from dataclasses import dataclass, replace
from typing import Self

from policies.method import Problem
from policies.methods.rl2 import MemoryPolicy
from policies.methods.rl2_transformer import MAX_WINDOW, Depth, WindowLength
from policies.nn.temporal_convolution import SnailMemory, SnailState
from policies.ranges import Width
from policies.rl.ppo import PpoConfig


@dataclass(frozen=True)
class SnailConfig(PpoConfig):
    """Settings: PPO's, and those of the memory."""

    embedding: Width = 32  # columns of a tick (SNAIL)
    filters: Width = 16  # columns that a convolution appends; SNAIL has 32
    attention: Width = 32  # columns that attention appends (SNAIL)
    blocks: Depth = 1  # each: convolutions over the window, then attention
    window: WindowLength = 60  # W, past ticks that attention looks at; SNAIL's is the trial

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """As for PPO; the window is the trial, as far as memory allows."""
        trial_steps = problem.episodes * problem.horizon
        return replace(super().for_problem(problem), window=min(MAX_WINDOW, trial_steps))


class Snail(MemoryPolicy[SnailState]):
    """RL² whose memory is temporal convolutions and attention."""

    Config = SnailConfig
    config: SnailConfig

    def make_memory(self, inputs: int) -> SnailMemory:
        """A memory that reads ``inputs`` columns of a tick."""
        c = self.config
        return SnailMemory(
            inputs=inputs,
            embedding=c.embedding,
            filters=c.filters,
            attention=c.attention,
            blocks=c.blocks,
            window=c.window,
            generator=self.generator,
        )
