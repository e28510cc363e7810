"""Transitions by task: a ring of the newest tasks, sampled without a Python loop."""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from policies.method import Transition, TrialBatch
from policies.nn.noise import uniform

COLUMNS = tuple(f.name for f in fields(Transition))
FLAGS = ("terminated", "truncated", "first", "begins", "valid")


class Replay:
    """Keeps all valid transitions of each task's one trial, in time order.

    Every trial has a new task, so that all transitions of a task come from the policy of one
    iteration. The ring overwrites the oldest tasks. The flag ``begins`` of the transitions marks
    where a task's episodes begin. A slot is a task's place in the ring: ``tasks`` draws slots, the
    other samplers take them.

    Attributes:
        data: (capacity, L, w) all fields of ``Transition`` side by side, w columns in all.
        length: (capacity,) valid transitions of each task.
        task: (capacity, p) true task parameters.
        widths: columns of each field in ``data``; empty before the first trial.
        added: number of tasks added so far, also those overwritten since.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        """``capacity`` is a number of tasks; everything is stored on ``device``."""
        self.capacity = capacity
        self.device = device
        self.added = 0
        self.widths: list[int] = []
        self._clear()

    def __len__(self) -> int:
        """Number of tasks that are stored."""
        return min(self.added, self.capacity)

    def add(self, trial: TrialBatch) -> Transition:
        """Store a trial, each of its n worlds as a task; a world without a valid tick is left out.

        Returns:
            The valid transitions of the trial (b, ...), for statistics of the new data.

        Raises:
            ValueError: trials of another shape are stored already.
        """
        ticks = trial.sequences().transpose(0, 1)  # (n, L, ...)
        columns = [_as_columns(getattr(ticks, name)) for name in COLUMNS]
        rows = torch.cat(columns, -1)
        # A diverged world may hold NaN, and a mask alone does not keep NaN out of gradients.
        rows = rows.where(ticks.valid[..., None], 0.0)
        if not self.widths:
            self.widths = [column.shape[-1] for column in columns]
            self._allocate(rows, trial.task)
        if rows.shape[1:] != self.data.shape[1:]:
            given = tuple(rows.shape[1:])
            stored = tuple(self.data.shape[1:])
            raise ValueError(f"trials of {given} do not fit a replay of {stored}")

        length = ticks.valid.sum(1)
        worlds = length.nonzero().flatten()[-self.capacity :]
        slots = (self.added + torch.arange(len(worlds), device=self.device)) % self.capacity
        self.data[slots] = rows[worlds]
        self.length[slots] = length[worlds]
        self.task[slots] = trial.task[worlds]
        self.added += len(worlds)
        return ticks[ticks.valid]

    def tasks(
        self,
        n: int,
        generator: torch.Generator,
        newest: int | None = None,
    ) -> Tensor:
        """Slots (n,) of random tasks, with replacement.

        Args:
            n: how many.
            generator: what they are drawn with.
            newest: draw only from so many of the newest tasks; None: from all.
        """
        eligible = len(self) if newest is None else min(newest, len(self))
        age = torch.randint(eligible, (n,), generator=generator, device=self.device)
        # A task of age k was added as number added - 1 - k; number i is in slot i % capacity.
        return (self.added - 1 - age) % self.capacity

    def age(self, slots: Tensor) -> Tensor:
        """How many tasks were added after those in ``slots`` (n,): 0 for the newest task."""
        return (self.added - 1 - slots) % self.capacity

    def transitions(
        self,
        slots: Tensor,
        size: int,
        generator: torch.Generator,
    ) -> Transition:
        """``size`` random transitions of each task, with replacement, (n, size, ...)."""
        u = uniform((len(slots), size), generator)
        columns = (u * self.length[slots, None]).long()
        return self._gather(slots, columns)

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
            size: most transitions of a context.
            generator: what they are drawn with.
            newest: draw only from so many of each task's newest transitions; None: from all. The
                samples of ``transitions`` are not restricted by it.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that belong to the context;
            fewer columns than ``size`` where no trial is that long.
        """
        length = self.length[slots, None]
        available = length if newest is None else length.clamp(max=newest)
        ticks = self._ticks()
        eligible = (ticks >= length - available) & (ticks < length)

        # The ticks of the lowest u in a random order: u is in [0, 1) for the eligible ones, and
        # one more for the others.
        u = uniform(eligible.shape, generator)
        u += ~eligible
        columns = u.topk(min(size, len(ticks)), dim=1, largest=False).indices

        u = uniform((len(slots), 1), generator)
        sizes = 1 + (u * available.clamp(max=size)).long()
        mask = ticks[: columns.shape[1]] < sizes
        return self._gather(slots, columns), mask

    def windows(
        self,
        slots: Tensor,
        end: Tensor,
        size: int,
    ) -> tuple[Transition, Tensor]:
        """The ``size`` transitions before one of each task, in time order.

        Args:
            slots: (n,) tasks.
            end: (n,) the transition after the window's last one, counted from 0.
            size: of a window.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that exist and are of the
            episode of ``end``.
        """
        t, exists = self.history(slots, end + 1, size + 1)  # the last one is ``end`` itself
        # Ticks of one episode have as many beginnings before them.
        episode = t.begins.cumsum(1)
        same_episode = episode == episode[:, -1:]
        mask = exists & same_episode
        return t[:, :size], mask[:, :size]

    def history(
        self,
        slots: Tensor,
        end: Tensor,
        size: int,
    ) -> tuple[Transition, Tensor]:
        """The ``size`` transitions before one of each task, in time order, over its episodes.

        Args:
            slots: (n,) tasks.
            end: (n,) number of transitions of the task before that one.
            size: of a history.

        Returns:
            Transitions (n, size, ...) and a mask (n, size) of those that exist: the last ``end``.
        """
        offsets = torch.arange(-size, 0, device=self.device)
        columns = end[:, None] + offsets
        return self._gather(slots, columns.clamp(min=0)), columns >= 0

    def segments(
        self, slots: Tensor, size: int, generator: torch.Generator
    ) -> tuple[Transition, Tensor, Tensor]:
        """Up to ``size`` consecutive transitions of each task, over its episodes.

        One that would pass an end of its trial is moved inside it: no transition is rare.

        Returns:
            Transitions (n, size, ...), a mask (n, size) of those that exist, the first ones, and
            (n,) whether the trial goes on after them.
        """
        length = self.length[slots, None]
        u = uniform((len(slots), 1), generator)
        begin = (u * (length + size - 1)).long() - (size - 1)
        begin = begin.clamp(min=0).minimum((length - size).clamp(min=0))
        columns = begin + self._ticks()[:size]
        return self._gather(slots, columns), columns < length, columns[:, -1] + 1 < length[:, 0]

    def trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """All transitions of some tasks in time order (n, L, ...), and a mask (n, L) of them."""
        ticks = self._ticks()
        columns = ticks.expand(len(slots), -1)
        return self._gather(slots, columns), ticks < self.length[slots, None]

    def state_dict(self) -> dict[str, Any]:
        """What is stored, without the empty slots; like a module's, its tensors are not copies."""
        n = len(self)
        return {
            "added": self.added,
            "widths": list(self.widths),
            "data": self.data[:n],
            "length": self.length[:n],
            "task": self.task[:n],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.added = state["added"]
        self.widths = list(state["widths"])
        if not self.widths:
            self._clear()
            return
        n = len(self)
        self._allocate(state["data"], state["task"])
        self.data[:n] = state["data"]
        self.length[:n] = state["length"]
        self.task[:n] = state["task"]

    def _ticks(self) -> Tensor:
        """0, 1, ..., L - 1."""
        return torch.arange(self.data.shape[1], device=self.device)

    def _clear(self) -> None:
        """Make no slots: there is nothing to store yet."""
        self.data = torch.zeros(0, device=self.device)
        self.length = torch.zeros(0, dtype=torch.int64, device=self.device)
        self.task = torch.zeros(0, device=self.device)

    def _allocate(self, rows: Tensor, task: Tensor) -> None:
        """Make empty slots for rows (..., L, w) and task parameters (..., p)."""
        n = self.capacity
        self.data = torch.zeros(n, *rows.shape[1:], device=self.device)
        self.length = torch.zeros(n, dtype=torch.int64, device=self.device)
        self.task = torch.zeros(n, *task.shape[1:], device=self.device)

    def _gather(self, slots: Tensor, columns: Tensor) -> Transition:
        """Transition ``columns[i, k]`` of task ``slots[i]`` at place (i, k): (n, size, ...)."""
        _, length, width = self.data.shape
        # data[slot, column] is row slot * L + column of data as (capacity * L, w).
        index = slots[:, None] * length + columns
        rows = self.data.view(-1, width).index_select(0, index.flatten())
        rows = rows.view(*columns.shape, width)
        split = rows.split(self.widths, -1)
        parts = dict(zip(COLUMNS, split, strict=True))
        parts["reward"] = parts["reward"].squeeze(-1)
        for name in FLAGS:
            flag = parts[name].squeeze(-1)
            parts[name] = flag.bool()
        return Transition(**parts)


class LearnsFromReplay(ABC):
    """A method that learns from all experience in a replay, not from the newest trial alone.

    Training may then collect a trial with weights one iteration old while the method learns, and
    saves the replay apart from the weights. The method's state has the replay's as ``"replay"``.

    Attributes:
        replay: what it learns from.
    """

    replay: Replay

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Begin the random streams anew, so that a copy does not repeat this method's numbers."""

    def state_without_replay(self) -> dict[str, Any]:
        """The method's state with an empty replay: all that acting and adapting need."""
        empty = Replay(self.replay.capacity, self.replay.device)
        return {**self.state_dict(), "replay": empty.state_dict()}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """As of every method."""


def _as_columns(x: Tensor) -> Tensor:
    """A field (n, L, k) or (n, L) as float32 columns (n, L, k) or (n, L, 1)."""
    if x.dim() == 2:
        x = x[..., None]
    return x.float()
