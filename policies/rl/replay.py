"""Transitions by task: a ring of the newest tasks, drawn from without a Python loop."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from policies.method import Transition, TrialBatch

FLAGS = ("terminated", "truncated", "first", "begins", "valid")


class Replay:
    """Each task keeps all the valid transitions of its one trial, in time order.

    Tasks are drawn afresh for every trial, so that a task's transitions all stem from the policy of that day; the
    ring forgets the oldest tasks, which keeps the contexts recent.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # tasks
        self.added = 0  # tasks, ever
        self.data = torch.zeros(0)  # (capacity, L, w) columns as in Transition
        self.length = torch.zeros(0, dtype=torch.int64)  # (capacity,) valid transitions
        self.task = torch.zeros(0)  # (capacity, p)
        self.widths: list[int] = []  # of each field

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    def add(self, trial: TrialBatch) -> Transition:
        """Keep a trial, each of its worlds a task; returns its valid transitions (b, ...)."""
        ticks = trial.ticks.map(lambda x: x.flatten(0, 1).transpose(0, 1))  # (n, L, ...)
        columns = [getattr(ticks, f.name) for f in fields(Transition)]
        columns = [(c if c.dim() == 3 else c[..., None]).float() for c in columns]
        rows = torch.cat(columns, -1).where(
            ticks.valid[..., None], 0.0
        )  # a mask does not keep NaN out of gradients
        if not self.widths:
            self.widths = [c.shape[-1] for c in columns]
            self.data = torch.zeros(self.capacity, *rows.shape[1:])
            self.length = torch.zeros(self.capacity, dtype=torch.int64)
            self.task = torch.zeros(self.capacity, trial.task.shape[-1])
        if rows.shape[1:] != self.data.shape[1:]:
            raise ValueError(
                f"trials of {tuple(rows.shape[1:])} do not fit a replay of {tuple(self.data.shape[1:])}"
            )
        order = (~ticks.valid).int().argsort(dim=1, stable=True)  # valid ones first, in time order
        rows = rows.gather(1, order[..., None].expand_as(rows))
        usable = ticks.valid.any(1)
        kept = usable.nonzero().flatten()[-self.capacity :]
        slots = (self.added + torch.arange(len(kept))) % self.capacity
        self.data[slots] = rows[kept]
        self.length[slots] = ticks.valid.sum(1)[kept]
        self.task[slots] = trial.task[kept]
        self.added += len(kept)
        return ticks.map(lambda x: x[ticks.valid])

    def tasks(self, n: int, generator: torch.Generator) -> Tensor:
        """Slots of n tasks, with replacement."""
        return torch.randint(len(self), (n,), generator=generator)

    def transitions(self, slots: Tensor, each: int, generator: torch.Generator) -> Transition:
        """``each`` transitions of each task, with replacement: (n, each, ...)."""
        share = torch.rand(len(slots), each, generator=generator)
        return self._take(slots, (share * self.length[slots, None]).long())

    def contexts(
        self, slots: Tensor, most: int, generator: torch.Generator
    ) -> tuple[Transition, Tensor]:
        """Between 1 and ``most`` transitions of each task, none twice: (n, most, ...) and which count, (n, most)."""
        n, length = len(slots), self.length[slots, None]
        order = torch.rand(n, self.data.shape[1], generator=generator)
        order = torch.where(
            torch.arange(self.data.shape[1]) < length, order, order + 1
        )  # invalid ones last
        columns = order.argsort(1)[:, :most]
        size = 1 + (torch.rand(n, 1, generator=generator) * length.clamp(max=most)).long()
        return self._take(slots, columns), torch.arange(columns.shape[1]) < size

    def trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """All transitions of some tasks, in time order: (n, L, ...) and which of them there are, (n, L)."""
        columns = torch.arange(self.data.shape[1]).expand(len(slots), -1)
        return self._take(slots, columns), columns < self.length[slots, None]

    def _take(self, slots: Tensor, columns: Tensor) -> Transition:
        flat = (slots[:, None] * self.data.shape[1] + columns).flatten()
        rows = self.data.flatten(0, 1).index_select(0, flat).view(*columns.shape, -1)
        parts = dict(
            zip((f.name for f in fields(Transition)), rows.split(self.widths, -1), strict=True)
        )
        return Transition(
            **{
                name: x.bool().squeeze(-1) if name in FLAGS else x
                for name, x in parts.items()
                if name != "reward"
            },
            reward=parts["reward"].squeeze(-1),
        )

    def state_dict(self) -> dict[str, Any]:
        """What was kept, without the empty slots."""
        n = len(self)
        return {
            "added": self.added,
            "widths": list(self.widths),
            "data": self.data[:n].clone(),
            "length": self.length[:n].clone(),
            "task": self.task[:n].clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of ``state_dict``."""
        self.added, self.widths = state["added"], list(state["widths"])
        for name in ("data", "length", "task"):
            kept = state[name]
            whole = torch.zeros(
                self.capacity if self.widths else 0, *kept.shape[1:], dtype=kept.dtype
            )
            whole[: len(kept)] = kept
            setattr(self, name, whole)
