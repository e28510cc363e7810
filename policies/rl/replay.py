"""Random batches of stored transitions, by task, sampled without a Python loop."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from policies.method import Transition
from policies.nn.noise import uniform
from policies.rl.replay_storage import ReplayStorage


class Replay(ReplayStorage):
    """A replay buffer: ``tasks`` draws slots, the other samplers draw transitions of slots."""

    def tasks(
        self,
        n: int,
        generator: torch.Generator,
        newest: int | None = None,
    ) -> Tensor:
        """Slots (n,) of random tasks, with replacement.

        Args:
            n: number of tasks.
            generator: of the random numbers.
            newest: draw only from so many of the newest tasks; None: from all.
        """
        eligible = len(self) if newest is None else min(newest, len(self))
        age = torch.randint(eligible, (n,), generator=generator, device=self.device)
        # A task of age k was added as number added - 1 - k; number i is in slot i % capacity.
        return (self.added - 1 - age) % self.capacity

    def transitions(
        self,
        slots: Tensor,
        size: int,
        generator: torch.Generator,
    ) -> Transition:
        """``size`` random transitions of each task, with replacement, (n, size, ...)."""
        u = uniform((len(slots), size), generator)
        columns = (u * self.length[slots, None]).long()
        return self.gather(slots, columns)

    def contexts(
        self,
        slots: Tensor,
        size: int,
        generator: torch.Generator,
        newest: int | None = None,
    ) -> tuple[Transition, Tensor]:
        """A random number of transitions of each task, between 1 and ``size``, none twice.

        Args:
            slots: (n,) tasks.
            size: largest number of transitions in a context.
            generator: of the random numbers.
            newest: draw only from so many of each task's newest transitions; None: from all. This
                does not restrict ``transitions``.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that belong to the context;
            fewer columns than ``size`` if no trial is that long.
        """
        length = self.length[slots, None]
        available = length if newest is None else length.clamp(max=newest)
        ticks = self._ticks()
        eligible = (ticks >= length - available) & (ticks < length)

        # The ticks with the smallest u, in random order: u is in [0, 1) for eligible ticks and in
        # [1, 2) for all others.
        u = uniform(eligible.shape, generator)
        u += ~eligible
        width = min(size, len(ticks))
        columns = u.topk(width, dim=1, largest=False).indices

        u = uniform((len(slots), 1), generator)
        largest = available.clamp(max=size)
        sizes = 1 + (u * largest).long()
        mask = ticks[:width] < sizes
        return self.gather(slots, columns), mask

    def windows(
        self,
        slots: Tensor,
        end: Tensor,
        size: int,
    ) -> tuple[Transition, Tensor]:
        """The ``size`` transitions before a given one of the same episode, in time order.

        Args:
            slots: (n,) tasks.
            end: (n,) index in the trial of the transition that follows the window.
            size: transitions in a window.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that exist and belong to the
            episode of ``end``.
        """
        t, exists = self.history(slots, end + 1, size + 1)  # the window, and ``end`` itself
        episode = t.begins.cumsum(1)  # counts the episodes that began since the first column
        same_episode = episode == episode[:, -1:]
        mask = exists & same_episode
        return t[:, :size], mask[:, :size]

    def history(
        self,
        slots: Tensor,
        end: Tensor,
        size: int,
    ) -> tuple[Transition, Tensor]:
        """The ``size`` transitions before a given one, across episodes, in time order.

        Args:
            slots: (n,) tasks.
            end: (n,) index in the trial of the transition that follows the history.
            size: transitions in a history.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that exist: the last ``end``.
        """
        offsets = torch.arange(-size, 0, device=self.device)
        columns = end[:, None] + offsets
        exists = columns >= 0
        return self.gather(slots, columns.clamp(min=0)), exists

    def segments(
        self, slots: Tensor, size: int, generator: torch.Generator
    ) -> tuple[Transition, Tensor, Tensor]:
        """Up to ``size`` consecutive transitions of each task, across episodes.

        The first tick is uniform over all that give an overlap with the trial. A segment that
        reaches beyond an end of the trial is then moved inside. Ticks near the ends are therefore
        not drawn less often than the others.

        Args:
            slots: (n,) tasks.
            size: transitions in a segment; fewer columns if no trial is that long.
            generator: of the random numbers.

        Returns:
            Transitions (n, size, ...), a mask (n, size) of those that exist, which come first, and
            (n,) whether the trial continues after the segment.
        """
        length = self.length[slots, None]
        u = uniform((len(slots), 1), generator)
        overlapping = length + size - 1  # number of first ticks, from 1 - size to length - 1
        first = (u * overlapping).long() - (size - 1)
        last_inside = (length - size).clamp(min=0)
        first = first.clamp(min=0).minimum(last_inside)
        columns = first + self._ticks()[:size]
        exists = columns < length
        end = columns[:, -1] + 1
        continues = end < length[:, 0]
        return self.gather(slots, columns), exists, continues

    def trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """All transitions of tasks in time order (n, L, ...), and a mask (n, L) of valid ones."""
        ticks = self._ticks()
        columns = ticks.expand(len(slots), -1)
        exists = ticks < self.length[slots, None]
        return self.gather(slots, columns), exists

    def _ticks(self) -> Tensor:
        """0, 1, ..., L - 1."""
        return torch.arange(self.data.shape[1], device=self.device)


def random_rows(exists: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (b, size) each of random ticks of every segment, given which exist, (T, b)."""
    segments = exists.shape[1]
    share = uniform((segments, size), generator)
    ticks = (share * exists.sum(0)[:, None]).long()
    return ticks, torch.arange(segments, device=exists.device)[:, None].expand(-1, size)


def split_episodes(ticks: Transition, horizon: int) -> list[Transition]:
    """The episodes (H, n, ...) of trials (L, n, ...) whose valid ticks come first, in time order.

    The valid ticks of each episode come first, too.
    """
    number = (ticks.begins & ticks.valid).cumsum(0)  # of each tick's episode, from 1
    worlds = torch.arange(number.shape[1], device=number.device)
    episodes = []
    for e in range(len(number) // horizon):
        own = ticks.valid & (number == e + 1)
        order = (~own).int().argsort(dim=0, stable=True)[:horizon]
        episode = ticks[order, worlds]
        episodes.append(replace(episode, valid=own[order, worlds]))
    return episodes


class LearnsFromReplay(ABC):
    """A method that learns from a replay, not only from the newest trial.

    Training may then collect a trial with weights that are one iteration old, while the method
    learns; and it saves the replay apart from the weights. The entry ``"replay"`` of the method's
    state is the replay's.

    Attributes:
        replay: what it learns from.
    """

    replay: Replay

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Restart the random streams, so that a copy does not repeat this method's numbers."""

    def state_without_replay(self) -> dict[str, Any]:
        """The method's state with an empty replay: all that acting and adapting need."""
        empty = Replay(self.replay.capacity, self.replay.device)
        return {**self.state_dict(), "replay": empty.state_dict()}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """As of every method."""
