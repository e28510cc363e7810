"""Training goes on after a kill as if nothing had been."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from adaptation.jobs import train as meta_train
from adaptation.runs import archive, checkpoint
from adaptation.runs.run import Log, RunConfig, read_config, read_log
from policies.methods import METHODS
from robots.errors import DamagedError, PliantError

ITERATIONS = 7


def curves(run: Path) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in line.items() if k != "seconds"} for line in read_log(run / "log.jsonl")
    ]


def state(run: Path) -> Any:
    files = archive.read(run / "method")
    return archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])["method"]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def child(run: Path, method: str, *when: str) -> int:
    script = Path(__file__).parent / "dying.py"
    command = [sys.executable, str(script), str(run), str(ITERATIONS), method, *when]
    path = os.pathsep.join([str(script.parents[1]), *sys.path])
    return subprocess.run(command, timeout=120, env={**os.environ, "PYTHONPATH": path}).returncode


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    runs = {method: tmp_path_factory.mktemp("unbroken") / method for method in ("counter", "blind")}
    for method, run in runs.items():
        assert child(run, method) == 0
    return runs


@pytest.mark.parametrize(
    ("method", "kills"),
    [
        ("blind", [("learn", "4")]),  # mid-lesson, after a checkpoint
        (
            "counter",
            [("fsync", "2"), ("fsync", "9")],
        ),  # in the first checkpoint, and in a later one
    ],
)
def test_a_killed_training_resumes_bit_for_bit(
    unbroken: dict[str, Path], tmp_path: Path, method: str, kills: list[tuple[str, str]]
) -> None:
    run = tmp_path / method
    for where, when in kills:
        assert child(run, method, where, when) == -signal.SIGKILL
    assert child(run, method) == 0
    assert [line["iteration"] for line in curves(run)] == list(range(1, ITERATIONS + 1))
    assert curves(run) == curves(unbroken[method])
    assert same(state(run), state(unbroken[method]))
    assert not list(run.glob(".method.*"))


def test_a_finished_training_is_left_as_it_is(unbroken: dict[str, Path]) -> None:
    before = (unbroken["counter"] / "log.jsonl").read_bytes()
    assert child(unbroken["counter"], "counter") == 0
    assert (unbroken["counter"] / "log.jsonl").read_bytes() == before


def test_curves_are_also_written_for_tensorboard(unbroken: dict[str, Path]) -> None:
    events = (unbroken["blind"] / "events" / "method").glob("events.*")
    assert b"return/2" in next(events).read_bytes()


@pytest.mark.usefixtures("registered")
def test_a_second_run_in_the_same_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_train, "VecWorld", tiny.World)
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    meta_train.train(tmp_path / "run", config)
    with pytest.raises(FileExistsError, match="holds a run already"):
        meta_train.train(tmp_path / "run", config)
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        meta_train.train(tmp_path / "nothing")
    (tmp_path / "run" / "config.json").write_text('{"config": {"method": "counter", "color": 1}}')
    with pytest.raises(DamagedError, match="color"):
        read_config(tmp_path / "run")


@pytest.mark.usefixtures("registered")
def test_wall_time_bounds_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_train, "VecWorld", tiny.World)
    last = meta_train.train(
        tmp_path / "run", RunConfig("counter", "tiny", minutes=1e-9, references=False)
    )
    assert last["iteration"] == 1
    assert checkpoint.load(tmp_path / "run" / "method").trainer["iteration"] == 1


def test_the_warm_up_is_part_of_the_first_lesson() -> None:
    method = tiny.Counter(checkpoint.problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
    method.schedule = type(method.schedule)(tasks=4, episodes=2, warmup=3)
    world = tiny.World(tiny.Tiny(), "", 4, 0)
    first, second = (meta_train.collect(world, method, 0, i) for i in range(2))
    assert first.ticks.reward.shape == (2, 5, 16)
    assert second.ticks.reward.shape == (2, 5, 4)


def test_only_a_ceiling_learns_from_held_out_tasks() -> None:
    class Apart(tiny.Tiny):
        def sample(self, rng: Any, n: int, split: str = "train") -> Any:
            task = super().sample(rng, n, split)
            return replace(task, values=task.values + 10 * (split == "heldout"))

    for kind, held_out in ((tiny.Counter, 0), (tiny.Told, 4)):
        method = kind(checkpoint.problem_of(tiny.Tiny()), tiny.CounterConfig(), seed=0)
        tasks = meta_train.sample_training_tasks(Apart(), method, np.random.default_rng(0), 8)
        assert (tasks["goal.x"] > 5).sum() == held_out


def test_a_log_keeps_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.write({"a": 1})
    kept = log.size
    log.write({"a": float("nan")})
    log.close()
    path.write_bytes(path.read_bytes() + b'{"a": 3')
    assert read_log(path) == [{"a": 1}, {"a": None}]
    log = Log(path)
    log.write({"a": 4})
    log.close()
    assert [line["a"] for line in read_log(path)] == [1, None, 4]
    log = Log(path)
    log.cut(kept)
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}]


def test_two_processes_never_write_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adaptation.runs.run.PATIENCE", 0.0)
    first = Log(tmp_path / "log.jsonl")
    first.write({"a": 1})
    with pytest.raises(PliantError, match="is being written by another process"):
        Log(tmp_path / "log.jsonl")
    first.close()
    Log(tmp_path / "log.jsonl").close()
    assert read_log(tmp_path / "log.jsonl") == [{"a": 1}]


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_resumes_bit_for_bit(tmp_path: Path, name: str) -> None:
    """On a real family: three lessons in one go, or one, a load, and two."""
    sizes = {
        "updates": 1,
        "warmup": 1,
        "schedule.meta_batch": 2,
    }  # how long the lessons are does not matter here
    names = checkpoint.setting_names(name)
    small = {
        setting: value for setting in names for end, value in sizes.items() if setting.endswith(end)
    }
    config = RunConfig(
        name, "point", iterations=3, references=False, save_iterations=1, settings=small
    )
    meta_train.train(tmp_path / "whole", config)
    monitor: list[int] = []

    def stop(share: float, line: dict[str, Any]) -> None:
        monitor.append(line["iteration"])
        if line["iteration"] == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        meta_train.train_role(tmp_path / "parts", config, "method", None, stop)
    meta_train.train_role(
        tmp_path / "parts",
        config,
        "method",
        None,
        lambda _, line: monitor.append(line["iteration"]),
    )
    assert monitor == [1, 2, 3]
    assert curves(tmp_path / "whole") == curves(tmp_path / "parts")
    assert same(state(tmp_path / "whole"), state(tmp_path / "parts"))
