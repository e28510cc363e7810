"""Transitions of each world's own task, kept in a belief for gradient steps on that task.

Axes: n worlds, L transitions that a world keeps, H steps of an episode, b rows of a batch.
"""

from typing import TypeVar

import torch
from torch import Tensor

from policies.belief import map_tensors
from policies.method import Problem, Transition

T = TypeVar("T")

# Worlds that take their gradient steps together. A block takes all of its steps before the next
# one, so that its weights stay in the processor's cache: weights, gradients and moments of a world
# take 3 MB at 256 units.
BLOCK = 4


def no_transitions(problem: Problem, n: int, columns: int, device: torch.device) -> Transition:
    """Room for the transitions (n, L, ...) of one trial; observations have ``columns``."""
    rows = torch.zeros(n, problem.episodes * problem.horizon, device=device)
    flags = rows.bool()
    return Transition(
        obs=rows.new_zeros(*rows.shape, columns),
        action=rows.new_zeros(*rows.shape, problem.action_dim),
        applied=rows.new_zeros(*rows.shape, problem.action_dim),
        reward=rows,
        next_obs=rows.new_zeros(*rows.shape, columns),
        terminated=flags,
        truncated=flags,
        first=flags,
        begins=flags,
        valid=flags,
    )


def store(stored: Transition, count: Tensor, episode: Transition) -> tuple[Transition, Tensor]:
    """Append the valid transitions of an episode (n, H, ...).

    The i-th transition ever stored is kept at column i mod L.

    Args:
        stored: (n, L, ...) those of earlier episodes.
        count: (n,) transitions ever stored.
        episode: (n, H, ...).

    Returns:
        Both arguments with the episode's transitions.
    """
    length = stored.valid.shape[1]
    order = episode.valid.cumsum(1) - 1  # (n, H) place of each among the episode's valid ones
    number = count[:, None] + order
    worlds, ticks = episode.valid.nonzero(as_tuple=True)
    columns = number[worlds, ticks] % length

    def write(old: Tensor, new: Tensor) -> Tensor:
        written = old.clone()
        written[worlds, columns] = new[worlds, ticks]
        return written

    return map_tensors(write, stored, episode), count + episode.valid.sum(1)


def draw_batch(stored: Transition, count: Tensor, share: Tensor) -> Transition:
    """A batch (n, b, ...) of each world's own transitions.

    Args:
        stored: (n, L, ...)
        count: (n,) transitions ever stored.
        share: (b,) or (n, b) in [0, 1), which of those that a world has; 0 is the first column.
    """
    n, length = stored.valid.shape
    available = count.clamp(min=1, max=length)
    columns = (share * available[:, None]).long()
    worlds = torch.arange(n, device=count.device)
    return stored[worlds[:, None], columns]


def block(tree: T, start: int) -> T:
    """The rows of ``BLOCK`` worlds, or of those that are left, from number ``start`` on."""

    def rows(x: Tensor) -> Tensor:
        return x[start : start + BLOCK]

    return map_tensors(rows, tree)


def joined(*blocks: Tensor) -> Tensor:
    """The rows of all blocks."""
    return torch.cat(blocks)
