"""Lock-free hand-over between the servo process and the policy: shared memory with one writer for each slot.

A slot is a record behind a sequence number, odd while it is being written (a seqlock): a reader never sees half of
two records, and the servo never waits.
"""

import time
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENTS = 256  # newest events kept
WRITING = 0.005  # s, after which a record that is still being written never will be
LATENESS = 60_000  # newest ticks' lateness kept: two minutes at 500 Hz
RING = 4096  # newest ticks kept for the recorder: eight seconds at 500 Hz


class Slot:
    """One record, written by one process and read by any."""

    def __init__(self, memory: NDArray[Any]) -> None:
        """``memory`` is a 0-d structured array with the fields ``sequence`` (uint64) and ``record``."""
        self._sequence, self._record = memory["sequence"], memory["record"]
        self._fields = {name: self._record[name] for name in self._record.dtype.names or ()}
        self._last: NDArray[Any] = np.zeros_like(self._record)

    def write(self, **values: Any) -> None:
        """Set fields of the record; one that was interrupted here leaves it unread until the next is through."""
        odd = int(self._sequence) | 1  # it is odd already where the last one was interrupted
        self._sequence[...] = odd
        for name, value in values.items():
            self._fields[name][...] = value
        self._sequence[...] = odd + 1

    def read(self) -> NDArray[Any]:
        """The newest whole record, () structured; while one is being written, the last one that was read.

        It never waits: a reader in real time could keep its writer from ever ending, and a writer can die writing.
        """
        self._renew()
        return self._last

    def fresh(self) -> NDArray[Any]:
        """The newest whole record, for who reads seldom and may wait for one that is being written.

        A writer that died writing is not waited for: of it there is only the last record that was read.
        """
        until = time.monotonic() + WRITING
        while not self._renew() and time.monotonic() < until:
            time.sleep(1e-4)
        return self._last

    def _renew(self) -> bool:
        before = int(self._sequence)
        copy = self._record.copy()
        whole = before % 2 == 0 and before == int(self._sequence)
        if whole:
            self._last = copy
        return whole


def _slot(fields: list[Any]) -> Any:
    return [("sequence", "u8"), ("record", fields)]


def ring_columns(joints: int) -> dict[str, slice]:
    """Where a tick's numbers stand in a row of the ring."""
    widths = {
        "stamp": 1,
        "q": joints,
        "dq": joints,
        "tau": joints,
        "q_set": joints,
        "dq_set": joints,
    }
    widths |= {"object": 13, "servo": 3}  # servo: mode, verdict, action
    ends = np.cumsum(list(widths.values())).tolist()
    return {
        name: slice(end - width, end)
        for (name, width), end in zip(widths.items(), ends, strict=True)
    }


def layout(joints: int, actions: int) -> np.dtype[Any]:
    """All that is shared, for an arm of so many joints and a policy of so many actions."""
    j, f = (joints,), "f8"
    state = [
        ("tick", "i8"), ("stamp", f), ("mode", "i8"), ("verdict", "i8"), ("condition", "i8"),
        ("q", f, j), ("dq", f, j), ("tau", f, j), ("q_set", f, j), ("dq_set", f, j),
        ("object", f, (13,)), ("action", "i8"), ("done", "i8"), ("request", "i8"), ("refused", "i8"),
        ("events", "i8"), ("missed", "i8"), ("worst", f), ("realtime", "?"), ("rate", f),
        ("applied", f, (actions,)), ("acted", "i8"),
    ]  # fmt: skip
    action = [("number", "i8"), ("stamp", f), ("action", f, (actions,))]
    request = [("number", "i8"), ("verb", "i8"), ("q", f, j), ("pose", f, (7,)), ("task", f, (64,))]
    event = [("kind", "i8"), ("stamp", f), ("detail", f)]
    return np.dtype(
        [
            ("state", _slot(state)),
            ("action", _slot(action)),
            ("request", _slot(request)),
            ("events", event, (EVENTS,)),
            ("lateness", "f4", (LATENESS,)),
            ("finished", "?"),
            ("last_words", "S400"),
            ("head", "u8"),
            ("ring", f, (RING, ring_columns(joints)["servo"].stop)),
        ]
    )


class SharedState:
    """The shared memory of one arm: ``state`` is the servo's, ``action`` and ``request`` are the policy's."""

    def __init__(self, joints: int, actions: int, name: str | None = None) -> None:
        """Attach to ``name``; without one make it, and own it."""
        kind = layout(joints, actions)
        self.owner = name is None
        self._memory = SharedMemory(name, create=self.owner, size=kind.itemsize)
        whole: NDArray[Any] = np.ndarray((), dtype=kind, buffer=self._memory.buf)
        if self.owner:
            whole[...] = np.zeros((), dtype=kind)
        self.name = self._memory.name
        self.state, self.action, self.request = (
            Slot(whole[part]) for part in ("state", "action", "request")
        )
        self.events, self.lateness = whole["events"], whole["lateness"]
        self._finished, self._head, self._ring = whole["finished"], whole["head"], whole["ring"]
        self._last_words = whole["last_words"]

    def push(self, *numbers: Any) -> None:
        """One tick for the recorder, in the order of ``ring_columns``; never waits, the oldest row gives way."""
        head = int(self._head)
        np.concatenate(numbers, out=self._ring[head % RING])
        self._head[...] = head + 1

    def drain(self, tail: int) -> tuple[NDArray[np.float64], int, int]:
        """Rows since ``tail``, the new tail, and how many rows were overwritten before they were read."""
        head = int(self._head)
        first = max(tail, head - RING + 1)
        rows = self._ring[np.arange(first, head) % RING]
        spoiled = max(0, int(self._head) - RING + 1 - first)  # overwritten while they were copied
        return rows[spoiled:], head, first - tail + min(spoiled, len(rows))

    def finish(self) -> None:
        """No more rows will come."""
        self._finished[...] = True

    @property
    def last_words(self) -> str:
        """Why the servo ended, where it could not begin."""
        return bytes(self._last_words[()]).decode(errors="replace")

    @last_words.setter
    def last_words(self, why: str) -> None:
        self._last_words[...] = why.encode()

    @property
    def finished(self) -> bool:
        """Whether the servo has ended."""
        return bool(self._finished)

    def close(self) -> None:
        """Let go; the owner removes the memory."""
        del self.state, self.action, self.request, self.events, self.lateness
        del self._finished, self._last_words, self._head, self._ring
        self._memory.close()
        if self.owner:
            self._memory.unlink()
