"""The replay's files: every task is written once, and comes back bit for bit or is refused."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adaptation.runs import checkpoint
from adaptation.runs.journal import ReplayJournal, Segment
from policies.method import Transition, TrialBatch
from policies.rl.replay import Replay
from robots.errors import DamagedError

CPU = torch.device("cpu")
CAPACITY = 9
E, H = 2, 3


def trial(seed: int, n: int) -> TrialBatch:
    """Random numbers of a point's family; some worlds end early, one has no valid tick."""
    generator = torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(E, H, n, *shape, generator=generator)

    no = torch.zeros(E, H, n, dtype=torch.bool)
    ticks = Transition(
        obs=numbers(2),
        action=numbers(2),
        applied=numbers(2),
        reward=numbers(),
        next_obs=numbers(2),
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=numbers() > -1,
    )
    task = torch.randn(n, 4, generator=generator)
    return TrialBatch(ticks, task, torch.arange(n), no[:, 0])


def begun(folder: Path) -> ReplayJournal:
    journal = ReplayJournal(folder)
    journal.clear()
    return journal


def restored(folder: Path, mark: dict[str, Any]) -> Replay:
    replay = Replay(CAPACITY, CPU)
    ReplayJournal(folder).restore(mark, replay)
    return replay


def same(a: Replay, b: Replay) -> bool:
    first = a.state_dict()
    second = b.state_dict()
    tensors = ("data", "length", "task")
    plain = ("added", "widths")
    return all(torch.equal(first[name], second[name]) for name in tensors) and all(
        first[name] == second[name] for name in plain
    )


def files(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("sizes", [[1], [3, 3, 3], [4, 4, 4, 4, 4], [2, 20, 1], [9, 9, 8]])
def test_a_replay_comes_back_bit_for_bit_after_every_mark(tmp_path: Path, sizes: list[int]) -> None:
    replay = Replay(CAPACITY, CPU)
    journal = begun(tmp_path / "replay")
    for seed, n in enumerate(sizes):
        replay.add(trial(seed, n))
        mark = journal.append(replay)
        journal.remove_old()
        back = restored(tmp_path / "replay", mark)
        assert same(back, replay)
    back.add(trial(99, 2))
    replay.add(trial(99, 2))
    assert same(back, replay), "and the ring goes on at the same place"


def test_an_empty_replay_has_an_empty_mark(tmp_path: Path) -> None:
    mark = begun(tmp_path).append(Replay(CAPACITY, CPU))
    assert len(restored(tmp_path, mark)) == 0


def test_every_task_is_written_once_and_old_segments_are_deleted(tmp_path: Path) -> None:
    replay = Replay(CAPACITY, CPU)
    journal = begun(tmp_path)
    replay.add(trial(0, 1))
    journal.append(replay)
    task_bytes = sum(files(tmp_path).values())
    before = files(tmp_path)
    for seed in range(1, 40):
        replay.add(trial(seed, 1))
        journal.append(replay)
        after = files(tmp_path)
        assert sum(after.values()) - sum(before.values()) == task_bytes
        journal.remove_old()
        before = files(tmp_path)
    assert sum(before.values()) <= (CAPACITY + 1) * task_bytes


def test_what_was_appended_after_the_mark_is_cut_off(tmp_path: Path) -> None:
    replay = Replay(80, CPU)  # segments of ten tasks
    journal = begun(tmp_path)
    replay.add(trial(0, 4))
    mark = journal.append(replay)
    named = files(tmp_path)
    replay.add(trial(1, 20))
    journal.append(replay)  # as a training that is killed before its checkpoint is written
    back = Replay(80, CPU)
    resumed = ReplayJournal(tmp_path)
    resumed.restore(mark, back)
    assert files(tmp_path) == named
    back.add(trial(1, 20))
    again = Replay(80, CPU)
    ReplayJournal(tmp_path).restore(resumed.append(back), again)
    assert same(again, replay)


def test_one_flipped_bit_or_a_missing_byte_is_refused(tmp_path: Path) -> None:
    replay = Replay(CAPACITY, CPU)
    journal = begun(tmp_path)
    replay.add(trial(0, 3))
    mark = journal.append(replay)
    for path in list(tmp_path.iterdir()):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        for damaged in (bytes(flipped), whole[:-1], b""):
            path.write_bytes(damaged)
            with pytest.raises(DamagedError, match=path.name):
                restored(tmp_path, mark)
        path.unlink()
        with pytest.raises(DamagedError, match=path.name):
            restored(tmp_path, mark)
        path.write_bytes(whole)
    assert same(restored(tmp_path, mark), replay)


@pytest.mark.parametrize("tasks", [0, 3])
def test_a_segment_that_is_a_link_is_refused_and_the_file_behind_it_kept(
    tmp_path: Path, tasks: int
) -> None:
    """A run folder from elsewhere must not cut a file of the user's."""
    replay = Replay(CAPACITY, CPU)
    journal = begun(tmp_path / "replay")
    replay.add(trial(0, 1))
    mark = journal.append(replay)
    named = mark["segments"][0]
    path = tmp_path / "replay" / f"{named['first']:012d}.tasks"
    private = tmp_path / "private"
    private.write_bytes(path.read_bytes() + b"more")
    kept = private.read_bytes()
    path.unlink()
    path.symlink_to(private)
    if tasks == 0:
        named.update(tasks=0, sha256=hashlib.sha256().hexdigest())
    with pytest.raises(DamagedError):
        restored(tmp_path / "replay", mark)
    with pytest.raises(OSError, match="symbolic link"):
        Segment(path, 0).append(np.zeros((1, 1), dtype=np.float32))
    assert private.read_bytes() == kept


def test_a_mark_without_tasks_empties_no_file(tmp_path: Path) -> None:
    replay = Replay(CAPACITY, CPU)
    replay.add(trial(0, 1))
    mark = begun(tmp_path).append(replay)
    before = files(tmp_path)
    mark["segments"][0].update(tasks=0, sha256=hashlib.sha256().hexdigest())
    with pytest.raises(DamagedError, match=f"{tmp_path}.*without tasks"):
        restored(tmp_path, mark)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [
        {"added": "three"},
        {"added": -1},
        {"segments": None},
        {"widths": []},
        {"widths": [-1, 1]},
        {"ticks": 10**15},
        {"ticks": -1},
    ],
    ids=str,
)
def test_a_malformed_mark_is_named_as_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    replay = Replay(CAPACITY, CPU)
    replay.add(trial(0, 3))
    mark = begun(tmp_path).append(replay)
    with pytest.raises(DamagedError):
        restored(tmp_path, {**mark, **change})


def test_a_mark_whose_numbers_fit_no_replay_is_damage(tmp_path: Path) -> None:
    """Widths, ticks and parameters that give the same number of columns in another way."""
    replay = Replay(CAPACITY, CPU)
    replay.add(trial(0, 3))
    mark = begun(tmp_path).append(replay)
    columns = mark["ticks"] * sum(mark["widths"]) + mark["parameters"]
    changed = {**mark, "ticks": 0, "parameters": columns}
    with pytest.raises(DamagedError):
        restored(tmp_path, changed)


def learned() -> Any:
    """A blind policy after one trial."""
    changes = {"gradient_steps": 1, "buffer_tasks": 16}
    config = checkpoint.method_config("blind", checkpoint.family_named("point"), "cpu", changes)
    method = checkpoint.build("blind", checkpoint.family_named("point"), 0, config)
    method.learn(trial(0, 5))
    return method


def test_a_checkpoint_loads_without_its_replay_and_training_with_it(tmp_path: Path) -> None:
    method = learned()
    journal = begun(tmp_path / "replay")
    checkpoint.save(tmp_path / "it", "blind", method, "point", trial(0, 5), {}, journal)
    resumed: Any = checkpoint.load(
        tmp_path / "it", journal=ReplayJournal(tmp_path / "replay")
    ).method
    assert same(resumed.replay, method.replay)
    assert method.learn(trial(1, 5)) == resumed.learn(trial(1, 5))
    os.rename(tmp_path / "replay", tmp_path / "elsewhere")
    deployed: Any = checkpoint.load(tmp_path / "it").method
    assert len(deployed.replay) == 0
    with pytest.raises(DamagedError, match="tasks"):
        checkpoint.load(tmp_path / "it", journal=ReplayJournal(tmp_path / "replay"))


def test_a_checkpoint_that_holds_its_replay_itself_still_loads(tmp_path: Path) -> None:
    """As those written before there were journals."""
    method = learned()
    checkpoint.save(tmp_path / "it", "blind", method, "point", trial(0, 5), {})
    journal = ReplayJournal(tmp_path / "replay")
    resumed: Any = checkpoint.load(tmp_path / "it", journal=journal).method
    assert same(resumed.replay, method.replay)
    checkpoint.save(tmp_path / "it", "blind", resumed, "point", trial(0, 5), {}, journal)
    again: Any = checkpoint.load(tmp_path / "it", journal=ReplayJournal(tmp_path / "replay")).method
    assert same(again.replay, method.replay)
