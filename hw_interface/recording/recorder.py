"""Recordings of an arm: MCAP with Foxglove's JSON schemas, written by a process of its own.

The servo fills a ring in shared memory and never waits; this process empties it, and flushes and syncs every
0.2 s, so that a kill at any moment loses no more. A file that was cut off has no index: ``recover`` makes one.
"""

import io
import json
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import Writer

from hw_interface.control.shared_state import EVENTS, RING, SharedState, ring_columns
from hw_interface.control.watchdog import Event, Mode

SYNC = 0.2  # s between two flushes to the disk
TIME = {
    "type": "object",
    "title": "time",
    "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}
VECTOR = {"type": "object", "properties": {axis: NUMBER for axis in "xyz"}}
QUATERNION = {"type": "object", "properties": {axis: NUMBER for axis in "xyzw"}}
JOINT = {
    "type": "object",
    "properties": {"name": TEXT, "position": NUMBER, "velocity": NUMBER, "effort": NUMBER},
}
SCHEMAS: dict[str, dict[str, Any]] = {  # field names as in Foxglove's message definitions
    "foxglove.JointStates": {"timestamp": TIME, "joints": {"type": "array", "items": JOINT}},
    "foxglove.PoseInFrame": {
        "timestamp": TIME,
        "frame_id": TEXT,
        "pose": {"type": "object", "properties": {"position": VECTOR, "orientation": QUATERNION}},
    },
    "foxglove.Log": {
        "timestamp": TIME,
        "level": {"type": "integer"},
        "message": TEXT,
        "name": TEXT,
    },
    "pliant.Servo": {"mode": TEXT, "verdict": {"type": "integer"}, "action": {"type": "integer"}},
}
TOPICS = {
    "/joints": "foxglove.JointStates",
    "/setpoint": "foxglove.JointStates",
    "/object": "foxglove.PoseInFrame",
    "/events": "foxglove.Log",
    "/servo": "pliant.Servo",
}


class Recording:
    """An open MCAP file of one arm."""

    def __init__(self, path: Path, joints: tuple[str, ...]) -> None:
        self.joints = joints
        self._file = path.open("wb")
        self._writer = Writer(self._file)
        self._writer.start()
        schemas = {
            name: self._writer.register_schema(
                name,
                "jsonschema",
                json.dumps({"title": name, "type": "object", "properties": properties}).encode(),
            )
            for name, properties in SCHEMAS.items()
        }
        self._channels = {
            topic: self._writer.register_channel(topic, "json", schemas[schema])
            for topic, schema in TOPICS.items()
        }
        self._offset = (
            time.time() - time.monotonic()
        )  # the wall's clock is a label; order is the monotonic one's
        self._count = 0

    def write(self, topic: str, stamp: float, message: dict[str, Any]) -> None:
        """One message at monotonic time ``stamp`` s; a number that is not finite becomes null."""
        at = int((stamp + self._offset) * 1e9)
        data = msgspec.json.encode(
            {"timestamp": {"sec": at // 10**9, "nsec": at % 10**9}, **message}
        )
        self._writer.add_message(self._channels[topic], at, data, at, self._count)
        self._count += 1

    def row(self, row: np.ndarray[Any, Any]) -> None:
        """A row of the servo's ring."""
        j = len(self.joints)
        c = ring_columns(j)
        stamp = float(row[c["stamp"]][0])
        self._joint_states("/joints", stamp, row[c["q"]], row[c["dq"]], row[c["tau"]])
        self._joint_states("/setpoint", stamp, row[c["q_set"]], row[c["dq_set"]], None)
        if np.isfinite(row[c["object"]]).all():
            x, y, z, qw, qx, qy, qz = row[c["object"]][:7].tolist()
            pose = {
                "position": {"x": x, "y": y, "z": z},
                "orientation": {"x": qx, "y": qy, "z": qz, "w": qw},
            }
            self.write("/object", stamp, {"frame_id": "base", "pose": pose})
        mode, verdict, action = (int(v) for v in row[c["servo"]])
        self.write("/servo", stamp, {"mode": Mode(mode).name, "verdict": verdict, "action": action})

    def _joint_states(self, topic: str, stamp: float, q: Any, dq: Any, tau: Any) -> None:
        effort = [None] * len(q) if tau is None else tau.tolist()
        names = zip(self.joints, q.tolist(), dq.tolist(), effort, strict=True)
        joints = [
            {"name": n, "position": a, "velocity": b} | ({"effort": t} if t is not None else {})
            for n, a, b, t in names
        ]
        self.write(topic, stamp, {"joints": joints})

    def event(self, kind: int, stamp: float, detail: float) -> None:
        """What the watchdog reported."""
        text = f"{Event(kind).name.lower()} ({detail:g})"
        self.write("/events", stamp, {"level": 3, "name": "watchdog", "message": text})

    def lost(self, count: int, stamp: float) -> None:
        """Ticks that came too fast to be kept."""
        self.write(
            "/events",
            stamp,
            {"level": 3, "name": "recorder", "message": f"{count} ticks were not recorded"},
        )

    def sync(self) -> None:
        """On the disk, whatever happens next."""
        self._writer.flush()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index."""
        self._writer.finish()
        self._file.close()


def record(path: Path, joints: tuple[str, ...], actions: int, shared: str, parent: int) -> None:
    """The recorder's process: empty the ring until the servo has said that it is done, or ``parent`` is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end is announced in the memory
    memory = SharedState(len(joints), actions, shared)
    recording = Recording(path, joints)
    tail = told = 0
    synced = time.monotonic()
    try:
        while True:
            over = memory.finished or os.getppid() != parent
            rows, tail, lost = memory.drain(tail)
            for row in rows:
                recording.row(row)
            if lost:
                recording.lost(lost, float(rows[-1][0]) if len(rows) else 0.0)
            count = int(memory.state.read()["events"])
            for i in range(max(told, count - EVENTS), count):
                recording.event(*memory.events[i % EVENTS].tolist())
            told = count
            if time.monotonic() - synced > SYNC:
                recording.sync()
                synced = time.monotonic()
            if over and not len(rows):
                return
            time.sleep(0.01 if len(rows) < RING // 8 else 0)
    finally:
        recording.close()
        memory.close()


def recover(path: Path) -> int:
    """Mend a recording that was cut off: keep every whole message and write the index; returns how many.

    The mended file takes the place of the cut one in one step. ValueError where there is not even a beginning.
    """
    mended = io.BytesIO()
    writer = Writer(mended)
    writer.start()
    schemas: dict[int, int] = {}
    channels: dict[int, int] = {}
    count = 0
    try:
        with path.open("rb") as cut:
            for record_ in StreamReader(cut).records:
                if isinstance(record_, Schema):
                    if record_.id not in schemas:
                        schemas[record_.id] = writer.register_schema(
                            record_.name, record_.encoding, record_.data
                        )
                elif isinstance(record_, Channel):
                    if record_.id not in channels:
                        channels[record_.id] = writer.register_channel(
                            record_.topic,
                            record_.message_encoding,
                            schemas[record_.schema_id],
                            record_.metadata,
                        )
                elif isinstance(record_, Message):
                    channel = channels[record_.channel_id]
                    writer.add_message(
                        channel,
                        record_.log_time,
                        record_.data,
                        record_.publish_time,
                        record_.sequence,
                    )
                    count += 1
    except (McapError, EOFError, ValueError, KeyError, struct.error) as broken:
        if not count:
            raise ValueError(f"{path} holds no whole message: {broken}") from broken
    writer.finish()
    beside = path.with_name(path.name + ".mended")
    with beside.open("wb") as file:
        file.write(mended.getvalue())
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    return count
