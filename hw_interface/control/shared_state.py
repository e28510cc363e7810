"""Lock-free exchange between the control process, the policy and the recorder: shared memory.

Each record has one writer. A sequence number before it is odd while it is being written (a
seqlock), so a reader never takes a mixture of two records and the control process never waits.
"""

import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_interface.control.layout import RING, Record, Sizes, memory_layout
from robots.signals import Array

WRITE_TIMEOUT = 0.005  # s, after which a write in progress counts as abandoned
WRITE_POLL = 1e-4  # s between two attempts to read


class Slot:
    """One record, written by one process and read by any."""

    def __init__(self, memory: NDArray[Any]) -> None:
        """Wrap ``memory``, a () structured array of ``sequence`` (uint64) and ``record``."""
        self._sequence = memory["sequence"]
        self._record = memory["record"]
        names = self._record.dtype.names or ()
        self._fields = {name: self._record[name] for name in names}
        self._last: Record = np.zeros_like(self._record)

    def write(self, **values: ArrayLike) -> None:
        """Set fields of the record.

        A write that is interrupted leaves the record unreadable until the next one completes.
        """
        # the number is odd already where the previous write was interrupted
        writing = int(self._sequence) | 1
        self._sequence[...] = writing
        for name, value in values.items():
            self._fields[name][...] = value
        self._sequence[...] = writing + 1

    def read_nonblocking(self) -> Record:
        """The last consistent record; the previous one if a write is in progress.

        A real-time reader that spins could starve a lower-priority writer, and a writer may have
        died mid-write.
        """
        self._try_update()
        return self._last

    def read_latest(self) -> Record:
        """The newest record; waits for a write in progress, at most ``WRITE_TIMEOUT``.

        For readers that read rarely, so that their previous record would be old. It is returned
        only where the writer died mid-write.
        """
        deadline = time.monotonic() + WRITE_TIMEOUT
        while not self._try_update() and time.monotonic() < deadline:
            time.sleep(WRITE_POLL)
        return self._last

    def _try_update(self) -> bool:
        """Copy the record; False where it was being written."""
        before = int(self._sequence)
        copy = self._record.copy()
        unchanged = before == int(self._sequence)
        consistent = unchanged and before % 2 == 0
        if consistent:
            self._last = copy
        return consistent


class SharedState:
    """The shared memory of one arm.

    The control process writes ``state``, events, lateness and the recorder's ring; the policy's
    process writes ``action`` and ``request``.
    """

    def __init__(self, sizes: Sizes, name: str | None = None) -> None:
        """Attach to the memory called ``name``; without a name, create it and own it."""
        layout = memory_layout(sizes)
        self.owner = name is None
        self._memory = SharedMemory(name, create=self.owner, size=layout.itemsize)
        memory: NDArray[Any] = np.ndarray((), dtype=layout, buffer=self._memory.buf)
        if self.owner:
            memory[...] = np.zeros((), dtype=layout)
        self.name = self._memory.name
        self.state = Slot(memory["state"])
        self.action = Slot(memory["action"])
        self.request = Slot(memory["request"])
        self.events = memory["events"]
        self.lateness = memory["lateness"]
        self._finished = memory["finished"]
        self._exit_reason = memory["exit_reason"]
        self._head = memory["ring_head"]
        self._ring = memory["ring"]

    def push(self, *numbers: ArrayLike) -> None:
        """Add one tick for the recorder, in the order of ``ring_columns``.

        Never waits: the oldest row is overwritten.
        """
        head = int(self._head)
        np.concatenate(numbers, out=self._ring[head % RING])
        self._head[...] = head + 1

    def drain(self, tail: int) -> tuple[Array, int, int]:
        """Take the rows that were pushed since ``tail``, a count of rows.

        Returns:
            The rows (k, columns), the new tail, and how many rows were overwritten unread.
        """
        head = int(self._head)
        # of RING rows the oldest may be the one that is being overwritten now
        first = max(tail, head - RING + 1)
        rows = self._ring[np.arange(first, head) % RING]
        oldest_intact = int(self._head) - RING + 1
        overwritten = max(0, oldest_intact - first)  # while they were copied
        lost = first - tail + min(overwritten, len(rows))
        return rows[overwritten:], head, lost

    def finish(self) -> None:
        """Mark the end: no more rows will be pushed."""
        self._finished[...] = True

    @property
    def finished(self) -> bool:
        """Whether the control process has ended."""
        return bool(self._finished)

    @property
    def exit_reason(self) -> str:
        """Why the control process ended where the arm did not come up; empty otherwise."""
        return bytes(self._exit_reason[()]).decode(errors="replace")

    @exit_reason.setter
    def exit_reason(self, reason: str) -> None:
        self._exit_reason[...] = reason.encode()

    def close(self) -> None:
        """Detach; the owner also removes the memory."""
        # views into the memory must be gone before it can be unmapped
        del self.state, self.action, self.request
        del self.events, self.lateness
        del self._finished, self._exit_reason
        del self._head, self._ring
        self._memory.close()
        if self.owner:
            self._memory.unlink()
