"""Recordings of an arm: MCAP files with Foxglove's JSON schemas, written by a separate process.

The control process fills a ring in shared memory and never waits. The recorder empties it and syncs
the file to disk every 0.2 s, so a kill at any moment loses at most that much. A file that was cut
off has no index; ``hw_interface.recording.recovery`` rebuilds it.
"""

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.writer import Writer

from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import POSE, ring_columns
from hw_interface.recording import metadata
from hw_interface.recording.schemas import ENCODING, PROFILE, planned_channels
from robots.signals import Array

INFO = 2  # level in Foxglove's Log
WARNING = 3  # likewise
NANOSECONDS = 10**9  # in a second
LATEST = 2**63  # ns
DIGITS = 6  # of the numbers of a tick: µrad, µm, µN·m


@dataclass(frozen=True)
class RecordingPlan:
    """What a recorder needs to know; sent to its process once."""

    path: Path  # an empty file, see ``files.claim_next``
    joints: tuple[str, ...]  # names of the arm's joints
    lockstep: bool  # stamps are s of control, not of the monotonic clock
    notes: dict[str, str]  # entries of the metadata, see ``metadata.describe``
    urdf: Path | None = None  # of the arm; attached to the recording


class Recording:
    """An open MCAP file of one arm."""

    def __init__(self, plan: RecordingPlan) -> None:
        """Start the file.

        Raises:
            OSError: the file cannot be written.
        """
        self.path = plan.path
        self.joints = plan.joints
        self.messages = 0
        self.stamp = 0.0  # s, of the newest message
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
        """Add a message; numbers that are not finite become null.

        Args:
            topic: a key of ``schemas.TOPICS``.
            stamp: s, monotonic; in lockstep s of control.
            message: as the topic's schema says, without the timestamp.

        Raises:
            ValueError, OverflowError: the stamp is not a possible time.
        """
        log_time = int((stamp + self._clock_offset) * NANOSECONDS)
        if not 0 <= log_time < LATEST:
            raise ValueError(f"{stamp} s is not a possible time")
        self.stamp = stamp
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

    def write_ticks(self, rows: Array) -> int:
        """Add rows of the control process's ring; returns how many were damaged and left out."""
        damaged = 0
        for row in rows:
            try:
                self.write_tick(row)
            except (ValueError, OverflowError):
                damaged += 1
        return damaged

    def write_tick(self, row: Array) -> None:
        """Add a row of the control process's ring, see ``ring_columns``.

        Raises:
            ValueError, OverflowError: its numbers are impossible; nothing is added.
        """
        rounded = row.round(DIGITS)
        tick = {name: rounded[column] for name, column in self._columns.items()}
        stamp = float(row[self._columns["stamp"]][0])
        mode, verdict, action = [int(number) for number in tick["control"]]
        mode_name = Mode(mode).name
        self._write_joints("/joints", stamp, tick["q"], tick["dq"], tick["tau"])
        self._write_joints("/setpoint", stamp, tick["q_set"], tick["dq_set"], None)
        tracked = tick["object"]
        if np.isfinite(tracked).all():
            self._write_object(stamp, tracked[:POSE])
        if np.isfinite(tick["wrench"]).all():
            self._write_wrench(stamp, tick["wrench"])
        message = {
            "mode": mode_name,
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
        """Add an event of the watchdog.

        Raises:
            ValueError, OverflowError: its numbers are impossible.
        """
        self._warn("watchdog", stamp, f"{Event(kind).name.lower()} ({detail:g})")

    def write_lost(self, what: str) -> None:
        """Log that something could not be recorded."""
        self._warn("recorder", self.stamp, f"{what} not recorded")

    def _warn(self, name: str, stamp: float, text: str) -> None:
        self.write("/events", stamp, {"level": WARNING, "name": name, "message": text})

    def sync(self) -> None:
        """Write everything so far to disk."""
        self._writer.flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and close the file; remove it if it holds no message."""
        if self.messages == 0:
            self.path.unlink()
            self.abandon()
            return
        self._writer.finish()
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after a failure; ``recover`` can repair it."""
        with contextlib.suppress(OSError):  # the failure may occur again
            self._file.close()


def _vector(numbers: Array) -> dict[str, float]:
    x, y, z = numbers.tolist()
    return {"x": x, "y": y, "z": z}
