"""Storage of transitions by task: a ring of the newest tasks."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from policies.method import Transition, TrialBatch

COLUMNS = tuple(f.name for f in fields(Transition))
FLAGS = ("terminated", "truncated", "first", "begins", "valid")


class ReplayStorage:
    """Stores the valid transitions of tasks, each of one trial, in time order.

    Every trial has new tasks, so all transitions of a task come from the policy of one iteration.
    The newest tasks overwrite the oldest. A slot is a task's place in the ring. The flag ``begins``
    of the transitions marks the first tick of each of the task's episodes.

    Attributes:
        data: (capacity, L, w) all fields of ``Transition`` side by side, w columns in all.
        length: (capacity,) number of valid transitions of each task.
        task: (capacity, p) true task parameters.
        widths: columns of each field in ``data``; empty before the first trial.
        added: number of tasks added so far, including those overwritten since.
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
            ValueError: the stored trials have another shape.
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

    def age(self, slots: Tensor) -> Tensor:
        """How many tasks were added after those in ``slots`` (n,): 0 for the newest task."""
        return (self.added - 1 - slots) % self.capacity

    def gather(self, slots: Tensor, columns: Tensor) -> Transition:
        """Transitions (n, size, ...): at [i, k], number ``columns[i, k]`` of task ``slots[i]``.

        Args:
            slots: (n,) tasks.
            columns: (n, size) indices of transitions in the task's trial, from 0 to L - 1.
        """
        _, length, width = self.data.shape
        # data[slot, column] is row slot * L + column of data as a matrix (capacity * L, w)
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

    def state_dict(self) -> dict[str, Any]:
        """The stored tasks, without empty slots; as in a module's, the tensors are not copies."""
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

    def _clear(self) -> None:
        """Start without slots; their shape is known with the first trial."""
        self.data = torch.zeros(0, device=self.device)
        self.length = torch.zeros(0, dtype=torch.int64, device=self.device)
        self.task = torch.zeros(0, device=self.device)

    def _allocate(self, rows: Tensor, task: Tensor) -> None:
        """Create empty slots for rows (..., L, w) and task parameters (..., p)."""
        n = self.capacity
        self.data = torch.zeros(n, *rows.shape[1:], device=self.device)
        self.length = torch.zeros(n, dtype=torch.int64, device=self.device)
        self.task = torch.zeros(n, *task.shape[1:], device=self.device)


def _as_columns(x: Tensor) -> Tensor:
    """A field (n, L, k) or (n, L) as float32 columns (n, L, k) or (n, L, 1)."""
    if x.dim() == 2:
        x = x[..., None]
    return x.float()
