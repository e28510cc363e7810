"""Repair of recordings: whatever the damage, what is whole is kept and nothing else."""

import json
import os
import resource
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zstandard
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer

from hw_interface.control.layout import ring_columns, ring_width
from hw_interface.recording import recovery
from hw_interface.recording.recorder import Recording, RecordingPlan
from hw_interface.recording.recovery import Recovered, recover
from hw_interface.recording.scan import HEAD, MAGIC
from hw_interface.recording.schemas import PROFILE
from robots.errors import BadArgumentError, DamagedError, PliantError

JOINTS = ("shoulder", "elbow")
CHUNKS = 5
TICKS = 4  # of each chunk
STRIDE = 13  # bytes, odd: every bit of a byte has its turn
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
    places = [data.find(original.data[first:after]) for first, after, _ in original.chunks]
    named_everywhere = PROFILE.encode() in data
    for place, (_, _, messages) in zip(places, original.chunks, strict=True):
        named = named_everywhere or 0 <= places[0] <= place  # the first one names the topics
        if place >= 0 and named:
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


@pytest.mark.usefixtures("unsynced")
def test_any_flipped_bit_costs_no_whole_chunk_and_gives_no_wrong_message(
    original: Original, tmp_path: Path
) -> None:
    """A bit of every 13th byte; all 33,016 bits before the index were tried once, as well."""
    for place in range(0, len(original.data), STRIDE):
        damaged = bytearray(original.data)
        damaged[place] ^= 1 << (place % 8)
        check(tmp_path / "flipped.mcap", bytes(damaged), original)


@pytest.mark.usefixtures("unsynced")
def test_a_file_that_is_cut_anywhere_keeps_its_whole_chunks(
    original: Original, tmp_path: Path
) -> None:
    for length in range(0, len(original.data), 4 * STRIDE):
        check(tmp_path / "cut.mcap", original.data[:length], original)


@pytest.mark.usefixtures("unsynced")
def test_a_file_that_is_put_together_anyhow_gives_original_messages_only(
    original: Original, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    whole = original.data
    for _ in range(40):
        first, second = sorted(rng.integers(0, original.end, size=2).tolist())
        part = whole[first:second]
        noise = rng.bytes(second - first)
        spliced = [
            whole[:first] + whole[second:],  # a part is missing
            whole[:second] + part + whole[second:],  # or there twice
            whole[:first] + noise + whole[second:],  # or overwritten
            part + whole[:first] + whole[second:],  # or elsewhere
            whole[:first] + b"\xff" * len(part) + whole[second:],
            whole[:first] + bytes(len(part)) + whole[second:],
        ]
        for data in spliced:
            check(tmp_path / "spliced.mcap", data, original)


def test_what_is_lost_is_counted(original: Original, tmp_path: Path) -> None:
    whole = check(tmp_path / "r.mcap", original.data, original)
    assert whole == Recovered(CHUNKS * TICKS * PER_TICK, 0, 0)
    for number, (first, after, messages) in enumerate(original.chunks):
        damaged = bytearray(original.data)
        damaged[after - 20] ^= 1
        result = check(tmp_path / "r.mcap", bytes(damaged), original)
        assert result is not None
        last = number == CHUNKS - 1  # nothing whole comes after it
        lost = 0 if last else messages.total()
        size = after - first
        assert result == Recovered(whole.messages - messages.total(), lost, size)
        # the repaired file says again what is missing
        assert recover(tmp_path / "r.mcap") == Recovered(result.messages, lost, 0)


def test_metadata_and_attachments_are_kept_where_they_are_whole(
    original: Original, tmp_path: Path
) -> None:
    path = tmp_path / "r.mcap"
    kinds = {Opcode.METADATA: [], Opcode.ATTACHMENT: []}
    for opcode, first, after in find_records(original.data):
        if opcode in kinds:
            kinds[Opcode(opcode)].append((first, after))
    for damaged_kind in (None, *kinds):
        data = bytearray(original.data)
        for _, after in kinds.get(damaged_kind, []):
            data[after - 3] ^= 1
        path.write_bytes(data)
        recover(path)
        with path.open("rb") as file:
            reader = make_reader(file)
            metadata = [record.metadata for record in reader.iter_metadata()]
            names = [record.name for record in reader.iter_attachments()]
        assert names == ([] if damaged_kind == Opcode.ATTACHMENT else ["arm.urdf"])
        if damaged_kind == Opcode.METADATA:
            assert metadata == []
        else:
            assert [record["seed"] for record in metadata] == ["7"]


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("crcs", [True, False])
def test_of_a_foreign_file_only_what_a_checksum_confirms_is_kept(
    tmp_path: Path, compression: CompressionType, crcs: bool
) -> None:
    path = tmp_path / "foreign.mcap"
    with path.open("wb") as file:
        writer = Writer(file, compression=compression, enable_crcs=crcs)
        writer.start("another", "tool")
        schema = writer.register_schema("a", "jsonschema", b"{}")
        channel = writer.register_channel("/a", "json", schema)
        writer.add_message(channel, log_time=5, data=b"1", publish_time=5)
        writer.finish()
    content = path.read_bytes()
    if crcs and compression is not CompressionType.LZ4:
        assert recover(path).messages == 1
        assert read_messages(path) == {("/a", 5, b"1"): 1}
    else:
        with pytest.raises(DamagedError, match="no whole message"):
            recover(path)
        assert path.read_bytes() == content


def test_a_frame_that_promises_too_much_takes_no_memory(tmp_path: Path) -> None:
    """Sizes in a chunk's head and in its compressed frame are not believed."""
    path = tmp_path / "bomb.mcap"
    bomb = zstandard.compress(bytes(2**20))
    for promised in (2**20, 2**40, 2**63):
        head = struct.pack("<QQQII", 0, 0, promised, 1, 4) + b"zstd"
        body = head + struct.pack("<Q", len(bomb)) + bomb
        path.write_bytes(MAGIC + HEAD.pack(Opcode.CHUNK, len(body)) + body)
        with pytest.raises(DamagedError, match="no whole message"):
            recover(path)


def run_command(path: Path) -> tuple[int, dict[str, Any], str]:
    """``pliant recover --json``: exit status, answer, and standard error."""
    command = [sys.executable, "-m", "adaptation.cli", "recover", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_command_says_in_one_line_what_it_did_or_why_not(
    original: Original, tmp_path: Path
) -> None:
    path = tmp_path / "cut.mcap"
    path.write_bytes(original.data[: original.chunks[2][0] + 50])
    status, answer, _ = run_command(path)
    assert status == 0
    assert answer["messages"] == 2 * TICKS * PER_TICK
    assert answer["lost_bytes"] == 50
    path.write_bytes(b"no recording" * 1000)
    status, answer, complaint = run_command(path)
    assert status == 1
    assert "no whole message" in answer["error"]
    assert len(complaint.splitlines()) == 1


def make_folder(path: Path) -> None:
    path.mkdir()


def make_link_to_itself(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (make_folder, "is a folder, no file"),
        (os.mkfifo, "is a pipe or device, no file"),
        (make_link_to_itself, "no file"),
        (Path.touch, "no whole message"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "r.mcap"
    make(path)
    with pytest.raises(PliantError, match=reason) as refusal:
        recover(path)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="is a pipe or device"):
        recover(Path(os.devnull))


def test_a_full_disk_is_an_error_and_leaves_everything_as_it_was(
    original: Original, tmp_path: Path
) -> None:
    path = tmp_path / "r.mcap"
    path.write_bytes(original.data)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(PliantError, match=r"cannot repair .* too large"):
            recover(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == original.data


def test_a_file_that_is_being_recorded_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.mcap"
    recording = Recording(RecordingPlan(path, JOINTS, True, {}, None))
    recording.write("/events", 0.0, {"message": "one"})
    recording.sync()
    with pytest.raises(BadArgumentError, match="still being recorded"):
        recover(path)
    recording.close()
    assert recover(path).messages == 1
