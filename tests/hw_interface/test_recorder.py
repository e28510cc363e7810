"""Recordings that survive a kill."""

import json
import multiprocessing
import os
import resource
import signal
import socket
import time
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from mcap.reader import make_reader

from hw_interface.control.events import Event, Mode
from hw_interface.control.layout import RING, Sizes, ring_columns, ring_width
from hw_interface.control.shared_state import SharedState
from hw_interface.recording.files import claim_next
from hw_interface.recording.metadata import checksum
from hw_interface.recording.recorder import Recording, RecordingPlan
from hw_interface.recording.recovery import recover
from hw_interface.recording.schemas import PROFILE, SCHEMAS, TOPICS
from hw_interface.recording.serve import record
from robots.catalog.panda import PANDA
from robots.errors import DamagedError

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
SIZES = Sizes(joints=7, actions=2, task_parameters=10)
COLUMNS = ring_columns(7)
SPAWN = multiprocessing.get_context("spawn")


def make_row(tick: int, stamp: float) -> Any:
    row = np.zeros(ring_width(7))
    row[COLUMNS["stamp"]] = stamp
    row[COLUMNS["q"]] = tick
    row[COLUMNS["control"]] = (Mode.RUNNING, 0, tick)
    return row


def make_plan(path: Path, urdf: Path | None = None) -> RecordingPlan:
    return RecordingPlan(path, JOINTS, True, {"arm": "panda", "seed": "7"}, urdf)


def start_recorder(path: Path, shared: SharedState) -> tuple[SpawnProcess, socket.socket]:
    """A recorder's process, and the policy's end of the socket between them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arguments = (make_plan(path), SIZES, shared.name, os.getpid(), theirs)
    process = SPAWN.Process(target=record, args=arguments, daemon=True)
    process.start()
    theirs.close()
    return process, ours


def start_recording(path: Path) -> tuple[SharedState, SpawnProcess, socket.socket]:
    """A recorder that has begun: memory, process, and the policy's end of the socket."""
    shared = SharedState(SIZES)
    process, ours = start_recorder(path, shared)
    while not path.exists() or path.stat().st_size == 0:
        shared.push(make_row(0, time.monotonic()))
        time.sleep(0.01)
    return shared, process, ours


def read_messages(path: Path, topic: str) -> list[dict[str, Any]]:
    """By the index, as a viewer reads it."""
    with path.open("rb") as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.chunk_indexes
        return [json.loads(message.data) for _, _, message in reader.iter_messages(topics=[topic])]


def read_actions(path: Path) -> list[int]:
    return [message["action"] for message in read_messages(path, "/control")]


@pytest.mark.parametrize("seconds", [0.5, 1.1])
def test_a_kill_costs_the_last_moment_only(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "cut.mcap"
    shared = SharedState(SIZES)
    process, _notes = start_recorder(path, shared)
    while not path.exists():
        time.sleep(0.01)
    began = time.monotonic()
    pushed: list[float] = []
    while time.monotonic() - began < seconds:
        pushed.append(time.monotonic() - began)
        shared.push(make_row(len(pushed), time.monotonic()))
        time.sleep(0.004)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    shared.close()
    recover(path)
    kept = read_actions(path)
    assert kept == list(range(1, len(kept) + 1))
    # one period between two flushes, and as much again for a busy machine
    assert pushed[len(kept) - 1] > pushed[-1] - 0.45
    assert recover(path).messages == sum(len(read_messages(path, topic)) for topic in TOPICS)


@pytest.mark.parametrize("share", [0.3, 0.77, 0.999])
def test_a_file_that_was_cut_anywhere_is_repaired(tmp_path: Path, share: float) -> None:
    path = tmp_path / "whole.mcap"
    recording = Recording(make_plan(path))
    for k in range(200):
        recording.write_tick(make_row(k, 0.01 * k))
        if k % 20 == 19:
            recording.sync()
    recording.close()
    assert read_actions(path) == list(range(200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    recover(path)
    kept = read_actions(path)
    assert kept == list(range(len(kept)))
    assert len(kept) > 200 * share - 40
    assert [file.name for file in tmp_path.iterdir()] == ["whole.mcap"]


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n", b"not a recording at all"])
def test_a_file_without_a_message_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.mcap"
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="no whole message"):
        recover(path)
    assert path.read_bytes() == content


def test_a_recorder_that_comes_late_reports_what_it_missed(tmp_path: Path) -> None:
    path = tmp_path / "late.mcap"
    shared = SharedState(SIZES)
    for k in range(RING + 100):
        shared.push(make_row(k, 0.01 * k))
    shared.events[0] = (int(Event.STALE), 0.5, 0.26)
    shared.state.write(events=1)
    shared.finish()
    process, _notes = start_recorder(path, shared)
    process.join(60)
    shared.close()
    assert len(read_actions(path)) == RING - 1
    reports = [message["message"] for message in read_messages(path, "/events")]
    assert sorted(reports) == ["101 ticks were not recorded", "stale (0.26)"]


def test_numbers_that_are_not_finite_are_written_as_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "nan.mcap"
    recording = Recording(make_plan(path))
    row = make_row(1, 0.0)
    row[COLUMNS["q"]] = np.nan
    row[COLUMNS["object"]] = np.nan
    row[COLUMNS["tau"]] = np.inf
    recording.write_tick(row)
    recording.close()

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    with path.open("rb") as file:
        for _, _, message in make_reader(file).iter_messages():
            json.loads(message.data, parse_constant=refuse)
    assert read_messages(path, "/object") == []
    assert read_messages(path, "/joints")[0]["joints"][0]["position"] is None


def test_a_full_disk_ends_the_recorder_which_says_why(tmp_path: Path) -> None:
    """The file may have 20 kB more; what was written before is kept."""
    path = tmp_path / "full.mcap"
    shared, process, ours = start_recording(path)
    assert process.pid is not None
    limit = path.stat().st_size + 20_000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    rng = np.random.default_rng(0)
    while process.is_alive():
        for tick in range(100):
            row = make_row(tick, time.monotonic())
            row[COLUMNS["q"]] = rng.normal(size=7)
            shared.push(row)
        time.sleep(0.01)
    process.join()
    assert process.exitcode == 1
    assert ours.recv(1000) == b"File too large"
    shared.close()
    assert recover(path).messages > 0


def test_what_the_policy_says_is_recorded_with_the_ticks(tmp_path: Path) -> None:
    path = tmp_path / "notes.mcap"
    shared, process, ours = start_recording(path)
    for tick in range(10):
        message = {"episode": 1, "tick": tick, "reward": float("nan")}
        ours.send(msgspec.json.encode(("/decision", 0.1 * tick, message)))
    shared.finish()
    process.join(60)
    assert process.exitcode == 0
    shared.close()
    decisions = read_messages(path, "/decision")
    assert [message["tick"] for message in decisions] == list(range(10))
    assert decisions[0]["reward"] is None
    with path.open("rb") as file:
        (metadata,) = make_reader(file).iter_metadata()
    assert metadata.metadata["seed"] == "7"
    assert metadata.metadata["profile"] == PROFILE
    assert metadata.metadata["numpy"] == np.__version__
    assert metadata.metadata["crc32"] == checksum(metadata.metadata)


def test_a_recording_without_a_message_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "nothing.mcap"
    Recording(make_plan(path)).close()
    assert not path.exists()


def test_the_file_of_the_arm_is_in_its_recording(tmp_path: Path) -> None:
    path = tmp_path / "arm.mcap"
    recording = Recording(make_plan(path, PANDA.urdf))
    recording.write_tick(make_row(1, 0.0))
    recording.close()
    with path.open("rb") as file:
        (attachment,) = make_reader(file).iter_attachments()
    assert attachment.name == PANDA.urdf.name
    assert attachment.data == PANDA.urdf.read_bytes()


def test_a_recording_never_gets_the_number_of_another(tmp_path: Path) -> None:
    for _ in range(2):
        claim_next(tmp_path).write_text("kept")
    (tmp_path / "recording-0.mcap").unlink()
    (tmp_path / "recording-one.mcap").touch()
    assert claim_next(tmp_path).name == "recording-2.mcap"
    assert (tmp_path / "recording-1.mcap").read_text() == "kept"
    (tmp_path / "recording-12.mcap").touch()
    assert claim_next(tmp_path).name == "recording-13.mcap"


def claim_many(folder: Path, count: int) -> list[str]:
    return [claim_next(folder).name for _ in range(count)]


def test_two_programs_never_get_the_same_recording(tmp_path: Path) -> None:
    with SPAWN.Pool(2) as pool:
        shares = pool.starmap(claim_many, [(tmp_path, 100)] * 2, chunksize=1)
    names = [name for share in shares for name in share]
    assert len(set(names)) == 200


PAGE = (Path(__file__).parents[2] / "docs" / "recordings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", TOPICS)
def test_the_page_explains_every_channel(topic: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{topic}` |")]
    (row,) = rows
    assert f"| `{TOPICS[topic]}` |" in row
    for name in SCHEMAS[TOPICS[topic]]:
        assert name == "timestamp" or f"`{name}`" in row


def test_the_lines_of_the_page_read_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording(make_plan(tmp_path / "recording-0.mcap"))
    recording.write("/decision", 0.0, {"episode": 4, "tick": 2, "reward": 0.5})
    recording.close()
    code = PAGE.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "4 2 0.5\n"


def test_rows_and_events_of_random_bytes_end_no_recording(tmp_path: Path) -> None:
    """What cannot be written is counted; what comes after it is recorded."""
    path = tmp_path / "recording-0.mcap"
    shared, process, _notes = start_recording(path)
    rng = np.random.default_rng(0)
    for _ in range(50):
        shared.push(np.frombuffer(rng.bytes(8 * ring_width(7)), dtype=np.float64))
        shared.push(np.full(ring_width(7), rng.choice([np.nan, np.inf, 1e300, -1e18])))
        time.sleep(0.002)
    garbage = rng.bytes(shared.events.nbytes)
    shared.events[...] = np.frombuffer(garbage, dtype=shared.events.dtype)
    shared.state.write(events=20)
    time.sleep(0.1)
    shared._head[...] = 2**63
    time.sleep(0.1)
    for tick in range(1, 101):
        shared.push(make_row(tick, time.monotonic()))
    shared.finish()
    process.join()
    shared.close()
    assert process.exitcode == 0
    assert read_actions(path)[-100:] == list(range(1, 101))
    texts = [message["message"] for message in read_messages(path, "/events")]
    assert any("not recorded" in text for text in texts)
