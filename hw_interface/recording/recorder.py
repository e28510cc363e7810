"""Recordings of an arm: MCAP with Foxglove's JSON schemas, written by a process of its own.

The control process fills a ring in shared memory and never waits. The recorder empties it, and
flushes and syncs every 0.2 s, so that a kill at any moment loses at most that. A file that was cut
off has no index; ``hw_interface.recording.recovery`` makes one.
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.writer import Writer

from hw_interface.control.layout import EVENTS, POSE, RING, Sizes, ring_columns
from hw_interface.control.own_session import enter_own_session
from hw_interface.control.shared_state import SharedState
from hw_interface.control.watchdog import Event, Mode
from hw_interface.recording.schemas import SCHEMAS, TOPICS
from robots.signals import Array

SYNC_PERIOD = 0.2  # s between two flushes to the disk
IDLE_SLEEP = 0.01  # s between two polls of the ring while it is nearly empty
WARNING = 3  # level in Foxglove's Log
NANOSECONDS = 10**9  # in a second


class Recording:
    """An open MCAP file of one arm."""

    def __init__(self, path: Path, joints: tuple[str, ...]) -> None:
        """Create the file, for an arm of these joints."""
        self.joints = joints
        self._columns = ring_columns(len(joints))
        self._file = path.open("wb")
        self._writer = Writer(self._file)
        self._writer.start()
        self._channels = self._register_channels()
        # wall-clock time is for display only: messages are ordered by the monotonic clock
        self._clock_offset = time.time() - time.monotonic()
        self._count = 0

    def _register_channels(self) -> dict[str, int]:
        """Declare every topic in the file; returns their channel numbers."""
        schemas = {}
        for name, properties in SCHEMAS.items():
            schema = {"title": name, "type": "object", "properties": properties}
            data = json.dumps(schema).encode()
            schemas[name] = self._writer.register_schema(name, "jsonschema", data)
        channels = {}
        for topic, name in TOPICS.items():
            channels[topic] = self._writer.register_channel(topic, "json", schemas[name])
        return channels

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
            sequence=self._count,
        )
        self._count += 1

    def write_tick(self, row: Array) -> None:
        """Add a row of the control process's ring, see ``ring_columns``."""
        tick = {name: row[column] for name, column in self._columns.items()}
        stamp = float(tick["stamp"][0])
        self._write_joints("/joints", stamp, tick["q"], tick["dq"], tick["tau"])
        self._write_joints("/setpoint", stamp, tick["q_set"], tick["dq_set"], None)
        tracked = tick["object"]
        if np.isfinite(tracked).all():
            self._write_object(stamp, tracked[:POSE])
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
        x, y, z = pose[:3].tolist()
        position = {"x": x, "y": y, "z": z}
        w, x, y, z = pose[3:].tolist()
        orientation = {"x": x, "y": y, "z": z, "w": w}
        pose_message = {"position": position, "orientation": orientation}
        self.write("/object", stamp, {"frame_id": "base", "pose": pose_message})

    def write_event(self, kind: int, stamp: float, detail: float) -> None:
        """Add an event of the watchdog."""
        self._log("watchdog", stamp, f"{Event(kind).name.lower()} ({detail:g})")

    def write_lost(self, count: int, stamp: float) -> None:
        """Log that ``count`` ticks were overwritten before they could be recorded."""
        self._log("recorder", stamp, f"{count} ticks were not recorded")

    def _log(self, name: str, stamp: float, text: str) -> None:
        self.write("/events", stamp, {"level": WARNING, "name": name, "message": text})

    def sync(self) -> None:
        """Bring everything so far onto the disk."""
        self._writer.flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and close the file."""
        self._writer.finish()
        self._file.close()


def record(path: Path, joints: tuple[str, ...], sizes: Sizes, shared: str, parent: int) -> None:
    """Run the recorder's process from its start to its end.

    It empties the ring until the control process has finished, the policy's process is gone, or a
    signal asks it to end.

    Args:
        path: the file.
        joints: names of the arm's joints.
        sizes: of the shared memory.
        shared: name of the shared memory.
        parent: process id of the policy.
    """
    ending = threading.Event()
    enter_own_session(ending.set)
    memory = SharedState(sizes, shared)
    recording = Recording(path, joints)
    tail = 0
    events = 0
    synced = time.monotonic()
    try:
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
            if time.monotonic() - synced > SYNC_PERIOD:
                recording.sync()
                synced = time.monotonic()
            if asked_to_end or (is_last_round and not len(rows)):
                return
            if len(rows) < RING // 8:
                time.sleep(IDLE_SLEEP)
    finally:
        recording.close()
        memory.close()


def _write_new_events(recording: Recording, memory: SharedState, written: int) -> int:
    """Add the events after the first ``written``; returns how many there are now."""
    count = int(memory.state.read_nonblocking()["events"])
    for number in range(max(written, count - EVENTS), count):
        kind, stamp, detail = memory.events[number % EVENTS].tolist()
        recording.write_event(kind, stamp, detail)
    return count
