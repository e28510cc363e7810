"""Repair of recordings: whatever the damage, what is whole is kept and nothing else."""

import errno
import os
import random
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Chunk
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from adaptation.cli import main
from hw_interface.control.layout import ring_columns, ring_width
from hw_interface.recording import recovery
from hw_interface.recording.recorder import Recording, RecordingPlan
from hw_interface.recording.recovery import Recovered, recover
from hw_interface.recording.scan import HEAD, MAGIC
from robots.errors import BadArgumentError, DamagedError, PliantError

JOINTS = ("shoulder", "elbow")
CHUNKS = 5
TICKS = 4  # of each chunk
PER_TICK = 3  # messages: joints, setpoint, control

Message = tuple[str, int, bytes]  # topic, time, data


class Original(NamedTuple):
    """A small whole recording."""

    data: bytes
    messages: Counter[Message]
    chunks: list[tuple[int, int, Counter[Message]]]  # start, end, messages
    end: int  # of the data, where the index begins


def write_recording(path: Path, first: float = 0.0) -> None:
    urdf = path.with_name("arm.urdf")
    urdf.write_text("<robot name='arm'/>")
    recording = Recording(RecordingPlan(path, JOINTS, True, {"seed": "7"}, urdf))
    columns = ring_columns(len(JOINTS))
    for tick in range(CHUNKS * TICKS):
        row = np.full(ring_width(len(JOINTS)), np.nan)
        row[columns["stamp"]] = first + 0.01 * tick
        row[columns["q"]] = first + tick
        row[columns["control"]] = (3, 0, tick)
        recording.write_tick(row)
        if tick % TICKS == TICKS - 1:
            recording.sync()
    recording.close()


def read_messages(path: Path) -> Counter[Message]:
    """By the index, every checksum compared, as a viewer reads it."""
    found: Counter[Message] = Counter()
    with path.open("rb") as file:
        for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            found[channel.topic, message.log_time, message.data] += 1
    return found


def find_records(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Opcode, start and end of every record of a whole file."""
    position = len(MAGIC)
    while position < len(data) - len(MAGIC):
        opcode, length = HEAD.unpack_from(data, position)
        yield opcode, position, position + HEAD.size + length
        position += HEAD.size + length


def read_original(path: Path) -> Original:
    data = path.read_bytes()
    messages = read_messages(path)
    by_time = sorted(messages, key=lambda message: message[1])
    chunks = []
    end = 0
    for opcode, first, after in find_records(data):
        if opcode == Opcode.CHUNK:
            size = TICKS * PER_TICK
            own = by_time[len(chunks) * size : (len(chunks) + 1) * size]
            chunks.append((first, after, Counter(own)))
        if opcode == Opcode.DATA_END:
            end = first
    assert len(chunks) == CHUNKS
    return Original(data, messages, chunks, end)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    path = tmp_path_factory.mktemp("original") / "whole.mcap"
    write_recording(path)
    return read_original(path)


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of repairs need no disk."""

    def nothing(handle: int) -> None:
        del handle

    monkeypatch.setattr(recovery.os, "fsync", nothing)


def check(path: Path, data: bytes, original: Original) -> Recovered | None:
    """Repair damaged bytes; every message is an original one, and every whole chunk is there."""
    path.write_bytes(data)
    expected: Counter[Message] = Counter()
    for first, after, messages in original.chunks:
        if original.data[first:after] in data:
            expected |= messages
    try:
        result = recover(path)
    except DamagedError:
        assert not expected
        assert path.read_bytes() == data
        return None
    kept = read_messages(path)
    assert expected <= kept <= original.messages
    assert result.messages == kept.total()
    assert result.lost_messages <= original.messages.total() - kept.total()
    assert list(path.parent.iterdir()) == [path]
    return result
