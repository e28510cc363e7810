"""The recorder's process: it writes the ring's rows and the socket's messages to the recording."""

import contextlib
import os
import socket
import threading
import time

from hw_interface.control.layout import EVENTS, RING, Sizes
from hw_interface.control.own_session import Signaled, enter_own_session
from hw_interface.control.shared_state import SharedState
from hw_interface.recording.recorder import Recording, RecordingPlan
from robots.errors import ArmError, PliantError

SYNC_PERIOD = 0.2  # s between two flushes to the disk
IDLE_SLEEP = 0.01  # s between two polls of the ring while it is nearly empty
MAX_NOTE = 2**18  # bytes of a message from the policy's process


def record(
    plan: RecordingPlan, sizes: Sizes, shared: str, parent: int, notes: socket.socket
) -> None:
    """Run the recorder's process from its start to its end.

    It ends when the control process has finished, the policy's process is gone, or a signal asks it
    to end. If it fails, or a signal ends it before the arm was closed, it sends the reason through
    the socket and exits with status 1.

    Args:
        plan: what to record, and where.
        sizes: of the shared memory.
        shared: name of the shared memory.
        parent: process id of the policy.
        notes: socket on which the policy's process sends messages.
    """
    signaled = Signaled()
    enter_own_session(signaled)
    notes.setblocking(False)
    memory = SharedState(sizes, shared)
    try:
        recording = Recording(plan)
        try:
            complete = _record_until_the_end(recording, memory, parent, notes, signaled.end)
            recording.close()
        except Exception:
            recording.abandon()
            raise
        if not complete:
            raise ArmError("the recorder was told to end before the arm was closed")
    except Exception as error:  # any error: the arm continues, and the user is warned
        with contextlib.suppress(OSError):
            notes.send(_reason(error).encode())
        raise SystemExit(1) from error
    finally:
        memory.close()


def _record_until_the_end(
    recording: Recording,
    memory: SharedState,
    parent: int,
    notes: socket.socket,
    ending: threading.Event,
) -> bool:
    """Write what arrives until the arm is closed or ``ending`` is set.

    Returns:
        Whether the arm was closed.
    """
    tail = 0
    events = 0
    synced = time.monotonic()
    while True:
        asked_to_end = ending.is_set()
        is_last_round = memory.finished or os.getppid() != parent
        rows, tail, lost = memory.drain(tail)
        lost += recording.write_ticks(rows)
        if lost:
            recording.write_lost(f"{lost} ticks were")
        events = _write_new_events(recording, memory, events)
        _write_new_notes(recording, notes)
        if time.monotonic() - synced > SYNC_PERIOD:
            recording.sync()
            synced = time.monotonic()
        if asked_to_end or (is_last_round and not len(rows)):
            return is_last_round
        if len(rows) < RING // 8:
            time.sleep(IDLE_SLEEP)


def _write_new_events(recording: Recording, memory: SharedState, written: int) -> int:
    """Add the events after the first ``written``; returns how many there are now."""
    count = int(memory.state.read_nonblocking()["events"])
    for number in range(max(written, count - EVENTS), count):
        kind, stamp, detail = memory.events[number % EVENTS].tolist()
        try:
            recording.write_event(kind, stamp, detail)
        except (ValueError, OverflowError):
            recording.write_lost("an event was")
    return count


def _write_new_notes(recording: Recording, notes: socket.socket) -> None:
    """Add all messages of the policy's process that have arrived."""
    while True:
        try:
            note = notes.recv(MAX_NOTE)
        except OSError:  # no message, or the policy's process is gone
            return
        if not note:
            return
        recording.write_note(note)


def _reason(error: Exception) -> str:
    """What went wrong, as a short text."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, PliantError):
        return str(error)
    return f"{type(error).__name__}: {error}"
