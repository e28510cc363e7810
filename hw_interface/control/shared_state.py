"""Lock-free exchange between the control process, the policy and the recorder: shared memory.

Each record has one writer. Its sequence number is odd while it is being written (a seqlock), so a
reader never takes a mixture of two records, and the control process never waits. A checksum over
the record and its sequence number detects inconsistent records: processors other than x86 may
reorder the writes, and bytes may be overwritten by accident.
"""

import contextlib
import errno
import os
import shutil
import time
import zlib
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hw_interface.control.layout import RING, Record, Sizes, memory_layout
from robots.signals import Array

WRITE_TIMEOUT = 0.005  # s, after which a write in progress counts as abandoned
WRITE_POLL = 1e-4  # s between two attempts to read
FOLDER = "/dev/shm"  # Linux keeps shared memory here
MAX_ROWS = 2**40  # more rows than are ever pushed
UNREADABLE = 0.1  # s, after which a record that cannot be read counts as damaged


class Slot:
    """One record, written by one process and read by any."""

    def __init__(self, memory: NDArray[Any]) -> None:
        """Wrap ``memory``, a () structured array of ``sequence``, ``checksum`` and ``record``."""
        self._sequence = memory["sequence"]
        self._checksum = memory["checksum"]
        self._record = memory["record"]
        self._next: Record = np.zeros_like(self._record)  # what is written next
        names = self._record.dtype.names or ()
        self._fields = {name: self._next[name] for name in names}
        self._writes = 0  # by this process
        self._last: Record = np.zeros_like(self._record)
        self._unreadable_since: float | None = None  # s, monotonic

    def write(self, **values: ArrayLike) -> None:
        """Set fields of the record.

        A write that is interrupted may leave the record unreadable until the next one completes.

        Raises:
            OverflowError: a number does not fit its field; the record is as it was.
        """
        for name, value in values.items():
            self._fields[name][...] = value
        # counted in this process: the sequence number in the memory may have been overwritten
        self._writes += 1
        written = 2 * self._writes
        self._sequence[...] = written - 1
        self._record[...] = self._next
        self._checksum[...] = _checksum(self._next, written)
        self._sequence[...] = written

    def read_nonblocking(self) -> Record:
        """The last consistent record; the previous one if a write is in progress.

        A real-time reader that spins could starve a lower-priority writer, and a writer may have
        died mid-write.
        """
        self._try_update()
        return self._last

    def read_latest(self) -> Record:
        """The newest record; waits for a write in progress, at most ``WRITE_TIMEOUT``.

        For readers that read rarely, so that their previous record would be old. The previous
        record is returned only if the writer died mid-write.
        """
        deadline = time.monotonic() + WRITE_TIMEOUT
        while not self._try_update() and time.monotonic() < deadline:
            time.sleep(WRITE_POLL)
        return self._last

    def unreadable_since_long(self) -> bool:
        """Whether no consistent record was found for ``UNREADABLE`` s; True only once."""
        since = self._unreadable_since
        if since is None or time.monotonic() - since < UNREADABLE:
            return False
        self._unreadable_since = np.inf  # reported
        return True

    def _try_update(self) -> bool:
        """Copy the record; False if it is being written or is damaged."""
        before = int(self._sequence)
        checksum = int(self._checksum)
        copy = self._record.copy()
        unchanged = before == int(self._sequence)
        consistent = unchanged and before % 2 == 0 and checksum == _checksum(copy, before)
        if consistent:
            self._last = copy
            self._unreadable_since = None
        elif self._unreadable_since is None:
            self._unreadable_since = time.monotonic()
        return consistent


def _checksum(record: Record, sequence: int) -> int:
    """CRC-32 of a record and the number of its write."""
    number = sequence % 2**32
    return zlib.crc32(record.tobytes(), number)


def _check_room(size: int) -> None:
    """Refuse to start without enough shared memory: a process writing to it would be killed.

    Raises:
        OSError: there are fewer than ``size`` bytes.
    """
    with contextlib.suppress(FileNotFoundError):  # not Linux
        if shutil.disk_usage(FOLDER).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), FOLDER)


class SharedState:
    """The shared memory of one arm.

    The control process writes ``state``, events, lateness and the recorder's ring; the policy's
    process writes ``action``, ``request`` and ``words``.
    """

    def __init__(self, sizes: Sizes, name: str | None = None) -> None:
        """Attach to the memory called ``name``; without a name, create it and own it."""
        layout = memory_layout(sizes)
        self.owner = name is None
        if self.owner:
            _check_room(layout.itemsize)
        self._memory = SharedMemory(name, create=self.owner, size=layout.itemsize)
        memory: NDArray[Any] = np.ndarray((), dtype=layout, buffer=self._memory.buf)
        if self.owner:
            memory[...] = np.zeros((), dtype=layout)
        self.name = self._memory.name
        self.state = Slot(memory["state"])
        self.action = Slot(memory["action"])
        self.request = Slot(memory["request"])
        self.words = Slot(memory["words"])
        self.events = memory["events"]
        self.lateness = memory["lateness"]
        self._finished = memory["finished"]
        self._exit_reason = memory["exit_reason"]
        self._reason = memory["reason"]
        self._alive_until = memory["alive_until"]
        self._head = memory["ring_head"]
        self._ring = memory["ring"]
        self._pushed = 0  # rows, by this process
        if self.owner:
            for slot in (self.state, self.action, self.request, self.words):
                slot.write()  # from now on they are consistent

    @property
    def newly_unreadable(self) -> int:
        """The number of newly unreadable records among those that this process reads."""
        slots = (self.action, self.request, self.words)
        return sum(slot.unreadable_since_long() for slot in slots)

    def push(self, *numbers: ArrayLike) -> None:
        """Add one tick for the recorder, in the order of ``ring_columns``.

        Never waits: the oldest row is overwritten.
        """
        np.concatenate(numbers, out=self._ring[self._pushed % RING])
        self._pushed += 1
        self._head[...] = self._pushed

    def drain(self, tail: int) -> tuple[Array, int, int]:
        """Take the rows that were pushed since ``tail``, a count of rows.

        Returns:
            The rows (k, columns), the new tail, and how many rows were overwritten unread.
        """
        head = int(self._head)
        if not 0 <= head - tail < MAX_ROWS:  # the head is damaged; the next push repairs it
            return self._ring[:0], tail, 0
        # the oldest of the RING rows may be the one that is being overwritten now
        first = max(tail, head - RING + 1)
        rows = self._ring[np.arange(first, head) % RING]
        oldest_intact = int(self._head) - RING + 1
        overwritten = max(0, oldest_intact - first)  # while the rows were copied
        lost = first - tail + min(overwritten, len(rows))
        return rows[overwritten:], head, lost

    def promise(self, seconds: float) -> None:
        """Called by the control process: it will run and call this again within so many seconds."""
        self._alive_until[...] = time.monotonic() + seconds

    @property
    def overdue(self) -> float:
        """How long ago, s, the control process should have run according to its promise."""
        return time.monotonic() - float(self._alive_until)

    def finish(self) -> None:
        """Mark the end: no more rows will be pushed."""
        self._finished[...] = True

    @property
    def finished(self) -> bool:
        """Whether the control process has ended."""
        return bool(self._finished)

    @property
    def exit_reason(self) -> str:
        """Why the control process ended if the arm did not start; empty otherwise."""
        return bytes(self._exit_reason[()]).decode(errors="replace")

    @exit_reason.setter
    def exit_reason(self, reason: str) -> None:
        self._exit_reason[...] = reason.encode()

    @property
    def reason(self) -> str:
        """Why the newest request was refused, or its move failed; empty before."""
        return bytes(self._reason[()]).decode(errors="replace")

    @reason.setter
    def reason(self, reason: str) -> None:
        self._reason[...] = reason.encode()

    def close(self) -> None:
        """Detach; the owner also removes the memory."""
        # views into the memory must be gone before it can be unmapped
        del self.state, self.action
        del self.request, self.words
        del self.events, self.lateness
        del self._finished, self._exit_reason, self._reason
        del self._alive_until
        del self._head, self._ring
        self._memory.close()
        if self.owner:
            self._memory.unlink()
