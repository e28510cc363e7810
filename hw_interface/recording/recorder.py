"""Recordings of an arm: MCAP with Foxglove's JSON schemas, written by a process of its own.

The control process fills a ring in shared memory and never waits. The recorder empties it, and
flushes and syncs every 0.2 s, so that a kill at any moment loses at most that. A file that was cut
off has no index; ``hw_interface.recording.recovery`` makes one.
"""

import contextlib
import fcntl
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.writer import Writer

from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import EVENTS, POSE, RING, Sizes, ring_columns
from hw_interface.control.own_session import enter_own_session
from hw_interface.control.shared_state import SharedState
from hw_interface.recording import metadata
from hw_interface.recording.schemas import ENCODING, PROFILE, planned_channels
from robots.errors import ArmError, PliantError
from robots.signals import Array

SYNC_PERIOD = 0.2  # s between two flushes to the disk
IDLE_SLEEP = 0.01  # s between two polls of the ring while it is nearly empty
INFO = 2  # levels in Foxglove's Log
WARNING = 3
NANOSECONDS = 10**9  # in a second
DIGITS = 6  # of the numbers of a tick: µrad, µm, µN·m
LARGEST_NOTE = 2**18  # bytes of a message from the policy's process


@dataclass(frozen=True)
class RecordingPlan:
    """What a recorder needs to know; sent to its process once."""

    path: Path  # an empty file, see ``files.claim_next``
    joints: tuple[str, ...]  # names of the arm's joints
    lockstep: bool  # stamps are s of control, not of the monotonic clock
    notes: dict[str, str]  # who acts on what, see ``metadata.describe``
    urdf: Path | None = None  # of the arm; kept in the recording


class Recording:
    """An open MCAP file of one arm."""

    def __init__(self, plan: RecordingPlan) -> None:
        """Begin to write the file.

        Raises:
            OSError: the file cannot be written.
        """
        self.path = plan.path
        self.joints = plan.joints
        self.messages = 0
        self._columns = ring_columns(len(plan.joints))
        # wall-clock time is for display only: messages are ordered by the clock of their stamps
        self._clock_offset = time.time() - (0.0 if plan.lockstep else time.monotonic())
        self._file = plan.path.open("wb")
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ``recover`` leaves it alone
        self._writer = Writer(self._file)
        self._writer.start(PROFILE)
        self._channels = self._register_channels()
        self._writer.add_metadata(metadata.NAME, metadata.describe(plan.notes))
        if plan.urdf is not None:
            self._attach(plan.urdf)

    def _register_channels(self) -> dict[str, int]:
        """Declare every topic in the file; returns their channel numbers."""
        schemas: dict[str, int] = {}
        channels = {}
        for topic, name, data in planned_channels().values():
            if name not in schemas:
                schemas[name] = self._writer.register_schema(name, ENCODING, data)
            channels[topic] = self._writer.register_channel(topic, "json", schemas[name])
        return channels

    def _attach(self, path: Path) -> None:
        now = time.time_ns()
        self._writer.add_attachment(now, now, path.name, "application/xml", path.read_bytes())

    def write(self, topic: str, stamp: float, message: dict[str, Any]) -> None:
        """Add a message at monotonic time ``stamp`` s; numbers that are not finite become null."""
        log_time = int((stamp + self._clock_offset) * NANOSECONDS)
        seconds, nanoseconds = divmod(log_time, NANOSECONDS)
        timestamp = {"sec": seconds, "nsec": nanoseconds}
        data = msgspec.json.encode({"timestamp": timestamp, **message})
        channel = self._channels[topic]
        self._writer.add_message(
            channel,
            log_time=log_time,
            data=data,
            publish_time=log_time,
            sequence=self.messages,
        )
        self.messages += 1

    def write_tick(self, row: Array) -> None:
        """Add a row of the control process's ring, see ``ring_columns``."""
        rounded = row.round(DIGITS)
        tick = {name: rounded[column] for name, column in self._columns.items()}
        stamp = float(row[self._columns["stamp"]][0])
        self._write_joints("/joints", stamp, tick["q"], tick["dq"], tick["tau"])
        self._write_joints("/setpoint", stamp, tick["q_set"], tick["dq_set"], None)
        tracked = tick["object"]
        if np.isfinite(tracked).all():
            self._write_object(stamp, tracked[:POSE])
        if np.isfinite(tick["wrench"]).all():
            self._write_wrench(stamp, tick["wrench"])
        mode, verdict, action = tick["control"].astype(int).tolist()
        message = {
            "mode": Mode(mode).name,
            "verdict": verdict,
            "action": action,
        }
        self.write("/control", stamp, message)

    def _write_joints(
        self, topic: str, stamp: float, q: Array, dq: Array, tau: Array | None
    ) -> None:
        joints: list[dict[str, Any]] = []
        for name, position, velocity in zip(self.joints, q.tolist(), dq.tolist(), strict=True):
            joints.append({"name": name, "position": position, "velocity": velocity})
        if tau is not None:
            for joint, effort in zip(joints, tau.tolist(), strict=True):
                joint["effort"] = effort
        self.write(topic, stamp, {"joints": joints})

    def _write_object(self, stamp: float, pose: Array) -> None:
        position = _vector(pose[:3])
        w, x, y, z = pose[3:].tolist()
        orientation = {"x": x, "y": y, "z": z, "w": w}
        pose_message = {"position": position, "orientation": orientation}
        self.write("/object", stamp, {"frame_id": "base", "pose": pose_message})

    def _write_wrench(self, stamp: float, wrench: Array) -> None:
        force = _vector(wrench[:3])
        torque = _vector(wrench[3:])
        self.write("/wrench", stamp, {"force": force, "torque": torque})

    def write_note(self, note: bytes) -> None:
        """Add a message of the policy's process, see ``RecorderProcess.write``."""
        topic, stamp, message = msgspec.json.decode(note)
        self.write(topic, stamp, message)

    def write_event(self, kind: int, stamp: float, detail: float) -> None:
        """Add an event of the watchdog."""
        self._warn("watchdog", stamp, f"{Event(kind).name.lower()} ({detail:g})")

    def write_lost(self, count: int, stamp: float) -> None:
        """Log that ``count`` ticks were overwritten before they could be recorded."""
        self._warn("recorder", stamp, f"{count} ticks were not recorded")

    def _warn(self, name: str, stamp: float, text: str) -> None:
        self.write("/events", stamp, {"level": WARNING, "name": name, "message": text})

    def sync(self) -> None:
        """Bring everything so far onto the disk."""
        self._writer.flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and close the file; one that holds no message is removed."""
        if self.messages == 0:
            self.path.unlink()
            self.abandon()
            return
        self._writer.finish()
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after a failure; ``recover`` can repair it."""
        with contextlib.suppress(OSError):  # the same failure again
            self._file.close()


def _vector(numbers: Array) -> dict[str, float]:
    x, y, z = numbers.tolist()
    return {"x": x, "y": y, "z": z}


def record(
    plan: RecordingPlan, sizes: Sizes, shared: str, parent: int, notes: socket.socket
) -> None:
    """Run the recorder's process from its start to its end.

    It empties the ring and the socket until the control process has finished, the policy's process
    is gone, or a signal asks it to end. Where it fails it says why on the socket, and ends; one
    that was asked to end before the arm was closed says so.

    Args:
        plan: what to record, and where.
        sizes: of the shared memory.
        shared: name of the shared memory.
        parent: process id of the policy.
        notes: messages of the policy's process come from here.
    """
    ending = threading.Event()
    enter_own_session(ending.set)
    notes.setblocking(False)
    memory = SharedState(sizes, shared)
    try:
        recording = Recording(plan)
        try:
            complete = _record_until_the_end(recording, memory, parent, notes, ending)
            recording.close()
        except Exception:
            recording.abandon()
            raise
        if not complete:
            raise ArmError("the recorder was told to end before the arm was closed")
    except Exception as error:  # whatever it is: the arm goes on, and its user is told
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
    """Write what arrives until the arm is closed, or ``ending`` is set; whether it was closed."""
    tail = 0
    events = 0
    synced = time.monotonic()
    while True:
        asked_to_end = ending.is_set()
        is_last_round = memory.finished or os.getppid() != parent
        rows, tail, lost = memory.drain(tail)
        for row in rows:
            recording.write_tick(row)
        if lost:
            stamp = float(rows[-1][0]) if len(rows) else 0.0
            recording.write_lost(lost, stamp)
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
        recording.write_event(kind, stamp, detail)
    return count


def _write_new_notes(recording: Recording, notes: socket.socket) -> None:
    """Add all messages of the policy's process that have arrived."""
    while True:
        try:
            note = notes.recv(LARGEST_NOTE)
        except OSError:  # none has arrived, or the policy's process is gone
            return
        if not note:
            return
        recording.write_note(note)


def _reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, PliantError):
        return str(error)
    return f"{type(error).__name__}: {error}"
