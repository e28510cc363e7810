"""Recordings that survive a kill."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.reader import make_reader

from hw_interface.control.shared_state import RING, SharedState, ring_columns
from hw_interface.control.watchdog import Event, Mode
from hw_interface.recording.recorder import Recording, record, recover

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
COLUMNS = ring_columns(7)
SPAWN = multiprocessing.get_context("spawn")


def row(tick: int, stamp: float) -> Any:
    out = np.zeros(COLUMNS["servo"].stop)
    out[COLUMNS["stamp"]], out[COLUMNS["q"]] = stamp, tick
    out[COLUMNS["servo"]] = (Mode.RUNNING, 0, tick)
    return out


def messages(path: Path, topic: str) -> list[dict[str, Any]]:
    """By the index, as a viewer reads it."""
    with path.open("rb") as file:
        reader = make_reader(file)
        assert reader.get_summary() is not None
        assert reader.get_summary().chunk_indexes  # type: ignore[union-attr]
        return [json.loads(message.data) for _, _, message in reader.iter_messages(topics=[topic])]


def actions(path: Path) -> list[int]:
    return [message["action"] for message in messages(path, "/servo")]


@pytest.mark.parametrize("seconds", [0.5, 1.1])
def test_a_kill_costs_the_last_moment_only(tmp_path: Path, seconds: float) -> None:
    path, shared = tmp_path / "cut.mcap", SharedState(7, 2)
    process = SPAWN.Process(
        target=record, args=(path, JOINTS, 2, shared.name, os.getpid()), daemon=True
    )
    process.start()
    while not path.exists():
        time.sleep(0.01)
    began, pushed = time.monotonic(), []
    while time.monotonic() - began < seconds:
        pushed.append(time.monotonic() - began)
        shared.push(row(len(pushed), time.monotonic()))
        time.sleep(0.004)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    shared.close()
    recover(path)
    kept = actions(path)
    assert kept == list(range(1, len(kept) + 1))
    assert pushed[len(kept) - 1] > pushed[-1] - 0.45, (
        "0.2 s between two flushes, and as much for a busy machine"
    )
    assert recover(path) == sum(
        len(messages(path, topic)) for topic in ("/joints", "/setpoint", "/object", "/servo")
    )


@pytest.mark.parametrize("share", [0.3, 0.77, 0.999])
def test_a_file_cut_anywhere_is_mended(tmp_path: Path, share: float) -> None:
    path = tmp_path / "whole.mcap"
    recording = Recording(path, JOINTS)
    for k in range(200):
        recording.row(row(k, 0.01 * k))
        if k % 20 == 19:
            recording.sync()
    recording.close()
    assert actions(path) == list(range(200))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    recover(path)
    kept = actions(path)
    assert kept == list(range(len(kept)))
    assert len(kept) > 200 * share - 40
    assert [p.name for p in tmp_path.iterdir()] == ["whole.mcap"]


@pytest.mark.parametrize("content", [b"", b"\x89MCAP0\r\n", b"not a recording at all"])
def test_what_holds_nothing_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.mcap"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no whole message"):
        recover(path)
    assert path.read_bytes() == content


def test_a_recorder_that_comes_late_says_what_it_missed(tmp_path: Path) -> None:
    path, shared = tmp_path / "late.mcap", SharedState(7, 2)
    for k in range(RING + 100):
        shared.push(row(k, 0.01 * k))
    shared.events[0] = (int(Event.STALE), 0.5, 0.26)
    shared.state.write(events=1)
    shared.finish()
    process = SPAWN.Process(
        target=record, args=(path, JOINTS, 2, shared.name, os.getpid()), daemon=True
    )
    process.start()
    process.join(30)
    shared.close()
    assert len(actions(path)) == RING - 1
    said = [message["message"] for message in messages(path, "/events")]
    assert sorted(said) == ["101 ticks were not recorded", "stale (0.26)"]


def test_numbers_that_are_none_are_written_as_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "nan.mcap"
    recording = Recording(path, JOINTS)
    bad = row(1, 0.0)
    bad[COLUMNS["q"]], bad[COLUMNS["object"]] = np.nan, np.nan
    bad[COLUMNS["tau"]] = np.inf
    recording.row(bad)
    recording.close()
    with path.open("rb") as file:
        for _, _, message in make_reader(file).iter_messages():
            json.loads(message.data, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert messages(path, "/object") == []
    assert messages(path, "/joints")[0]["joints"][0]["position"] is None
