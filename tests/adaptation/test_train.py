"""Training resumes after a kill as if nothing happened."""

import errno
import itertools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from collecting import collect
from forked import Forks

from adaptation.jobs import collection
from adaptation.jobs import train as train_job
from adaptation.jobs import trainer as trainer_module
from adaptation.jobs.budget import Budget, TrainerState
from adaptation.jobs.heldout import HeldoutEvaluator
from adaptation.jobs.processes import start_process
from adaptation.jobs.training_tasks import sample_training_tasks
from adaptation.problem import problem_of
from adaptation.runs import archive, checkpoint
from adaptation.runs.log import Log, read_log
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.fields import declared_fields
from policies.method import CollectionSchedule
from policies.methods import METHODS
from robots.errors import BadArgumentError, DamagedError, PliantError
from sim.families import FAMILIES
from sim.task_samplers.uniform import UniformTasks

ITERATIONS = 7


def curve(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log without their wall time."""
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def state(path: Path) -> Any:
    files = archive.read(path / "method")
    return archive.unpack(files[checkpoint.WEIGHTS], files[checkpoint.STATE])["method"]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def train_in_process(forks: Forks, path: Path, method: str, *when: str) -> int:
    """Run ``dying.py``; returns its exit status."""
    script = Path(__file__).parent / "dying.py"
    words = [str(path), str(ITERATIONS), method, *when]
    search_path = os.pathsep.join([str(script.parents[1]), *sys.path])
    return forks.run(str(script), words, path.parent, search_path).returncode


@pytest.fixture(scope="module")
def unbroken(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    runs = {method: tmp_path_factory.mktemp("unbroken") / method for method in ("counter", "blind")}
    for method, path in runs.items():
        assert train_in_process(forks, path, method) == 0
    return runs


KILLS = {
    # within an iteration, after a checkpoint; within the replay's file; within a later checkpoint
    "blind": [("learn", "4"), ("fsync", "2"), ("fsync", "13")],
    "counter": [("fsync", "2"), ("fsync", "9")],  # within the first checkpoint and a later one
}


def other_references(monkeypatch: pytest.MonkeyPatch, target: Any, argument: int) -> None:
    """Let the processes of references do something else than training."""

    def start(*_: Any, **options: Any) -> BaseProcess:
        process = start_process(target, argument, **options)
        if target is sys.exit:
            process.join()
        return process

    monkeypatch.setattr(train_job, "start_process", start)


def test_references_end_with_a_training_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: None
) -> None:
    other_references(monkeypatch, time.sleep, 60)
    monkeypatch.setattr(collection, "VecWorld", None)  # nothing can be collected
    run = Run.create(tmp_path / "run", RunConfig("counter", "tiny", iterations=1))
    with pytest.raises(TypeError):
        train_job.train(run)
    assert multiprocessing.active_children() == []


def test_a_training_ends_at_once_when_a_reference_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: None
) -> None:
    other_references(monkeypatch, sys.exit, 3)
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    run = Run.create(tmp_path / "run", RunConfig("counter", "tiny", iterations=ITERATIONS))
    with pytest.raises(PliantError, match="failed with exit status 3"):
        train_job.train(run, cores=1)
    assert len(read_log(run.log_path("method"), TrainProgress)) == 1


@pytest.mark.parametrize("method", list(KILLS))
def test_a_killed_training_resumes_bit_for_bit(
    forks: Forks, unbroken: dict[str, Path], tmp_path: Path, method: str
) -> None:
    path = tmp_path / method
    for where, when in KILLS[method]:
        assert train_in_process(forks, path, method, where, when) == -signal.SIGKILL
    assert train_in_process(forks, path, method) == 0
    assert [line["iteration"] for line in curve(path)] == list(range(1, ITERATIONS + 1))
    assert curve(path) == curve(unbroken[method])
    assert same(state(path), state(unbroken[method]))
    assert not list(path.glob(".method.*"))
    replay = [file.read_bytes() for file in sorted((path / "method.replay").glob("*"))]
    whole = (unbroken[method] / "method.replay").glob("*")
    assert replay == [file.read_bytes() for file in sorted(whole)]


def test_a_finished_training_is_left_as_it_is(forks: Forks, unbroken: dict[str, Path]) -> None:
    before = (unbroken["counter"] / "log.jsonl").read_bytes()
    assert train_in_process(forks, unbroken["counter"], "counter") == 0
    assert (unbroken["counter"] / "log.jsonl").read_bytes() == before


def test_curves_are_also_written_for_tensorboard(unbroken: dict[str, Path]) -> None:
    events = (unbroken["blind"] / "events" / "method").glob("events.*")
    assert b"return/2" in next(events).read_bytes()


@pytest.mark.usefixtures("registered")
def test_a_second_run_in_the_same_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    train_job.train(Run.create(tmp_path / "run", config))
    with pytest.raises(FileExistsError, match="holds a run already"):
        Run.create(tmp_path / "run", config)
    with pytest.raises(FileNotFoundError, match="is no run folder"):
        Run.open(tmp_path / "nothing")
    (tmp_path / "run" / "config.json").write_text('{"config": {"method": "counter", "color": 1}}')
    with pytest.raises(DamagedError, match="color"):
        Run.open(tmp_path / "run")


IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a setting": ({"settings": {"no_such": 1}}, "no_such"),
    "the engine": ({"engine": "mujoco"}, "tiny-arm runs on ideal, not on mujoco"),
    "the method": ({"method": "no_such"}, "no method named 'no_such'"),
    "the family": ({"family": "no_such"}, "no family named 'no_such'"),
    "a name that is no path": ({"method": "no such"}, "no method named 'no such'"),
    "a module that is missing": ({"family": "no_such:Family"}, "cannot be imported"),
    "the preset": ({"preset": "gpu"}, "no preset named 'gpu'"),
    "no iterations": ({"iterations": 0}, "iterations=0 is not allowed: give a whole number of at"),
    "no steps": ({"steps": -1}, "steps=-1 is not allowed"),
    "no gradient steps": ({"gradient_steps": 0}, "gradient_steps=0 is not allowed"),
    "no time": ({"minutes": 0}, "minutes=0 is not allowed: give a number above 0 or none"),
    "a seed below zero": ({"seed": -1}, "seed=-1 is not allowed"),
    "a trial without a second episode": (
        {"method": "maml", "family": "point", "settings": {"schedule.episodes_per_trial": 1}},
        "must be at least 2 episodes, got 1",
    ),
}


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_what_is_impossible_is_refused_before_anything_is_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = RunConfig(**{"method": "counter", "family": "tiny", **changes})
    with pytest.raises(BadArgumentError, match=message):
        Run.create(tmp_path / "run", config)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("registered")
def test_a_family_and_a_method_may_be_named_by_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run keeps the names that were asked for."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    config = RunConfig("tiny:Counter", "tiny:Tiny", iterations=1, references=False)
    train_job.train(Run.create(tmp_path / "run", config))
    contract = Run.open(tmp_path / "run").load("method", arm="tiny-arm").contract
    assert (contract.method, contract.family) == ("tiny:Counter", "tiny:Tiny")


@pytest.mark.usefixtures("registered")
def test_wall_time_bounds_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    config = RunConfig("counter", "tiny", minutes=1e-9, references=False)
    run = Run.create(tmp_path / "run", config)
    assert train_job.train(run).iteration == 1
    assert run.load("method").trainer["iteration"] == 1


STEPS_PER_ITERATION = 4 * 2 * 5  # tasks, episodes, ticks


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("bounds", "iterations"),
    [
        ({}, tiny.SCHEDULE.iterations),
        ({"steps": STEPS_PER_ITERATION}, 1),
        ({"steps": STEPS_PER_ITERATION + 1}, 2),
        ({"steps": 5 * STEPS_PER_ITERATION, "iterations": 2}, 2),
        ({"steps": 2 * STEPS_PER_ITERATION, "iterations": 9, "minutes": 60.0}, 2),
    ],
)
def test_training_ends_at_the_first_bound_that_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, Any], iterations: int
) -> None:
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    config = RunConfig("counter", "tiny", references=False, **bounds)
    run = Run.create(tmp_path / "run", config)
    last = train_job.train(run)
    assert last.iteration == iterations
    assert last.steps == iterations * STEPS_PER_ITERATION
    assert train_job.train(Run.open(run.path)) == last


class EarlyEnd(tiny.World):
    """One world's episodes end after the second tick."""

    def step(self, action: Any) -> Any:
        step = super().step(action)
        ended = np.zeros(self.n, dtype=bool)
        ended[0] = self.tick == 2
        return replace(step, terminated=ended)


@pytest.mark.usefixtures("registered")
def test_only_ticks_that_were_acted_in_count_as_environment_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "VecWorld", EarlyEnd)
    config = RunConfig("counter", "tiny", references=False, iterations=1)
    last = train_job.train(Run.create(tmp_path / "run", config))
    assert last.steps == 2 * (2 + 3 * 5)  # episodes; one world of 2 ticks, three of 5


@pytest.mark.parametrize("bound", [7, 9])
def test_gradient_steps_bound_a_training_and_are_counted_on_after_a_stop(
    tmp_path: Path, bound: int
) -> None:
    settings = {
        "gradient_steps": 3,
        "schedule.random_trials": 1,
        "schedule.meta_batch": 2,
    }
    config = RunConfig(
        "blind",
        "point",
        gradient_steps=bound,
        references=False,
        save_iterations=1,
        settings=settings,
    )
    run = Run.create(tmp_path / "run", config)
    counts: list[int] = []

    def stop_after_one(share: float, progress: TrainProgress) -> None:
        counts.append(progress.gradient_steps)
        if progress.iteration == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_job.train_role(run, "method", None, stop_after_one)
    train_job.train_role(run, "method", None, stop_after_one)
    assert counts == [3, 6, 9]


def test_cpu_time_counts_iterations_alone_and_goes_on_after_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop_after_two(share: float, progress: TrainProgress) -> None:
        if progress.iteration == 2:
            raise InterruptedError

    clock = itertools.count()  # one second from each look at the clock to the next
    evaluate = HeldoutEvaluator.evaluate

    def evaluate_slowly(self: HeldoutEvaluator, method: Any) -> Any:
        for _ in range(100):
            next(clock)
        return evaluate(self, method)

    monkeypatch.setattr(HeldoutEvaluator, "evaluate", evaluate_slowly)
    monkeypatch.setattr(trainer_module, "process_time", lambda: float(next(clock)))
    settings = {
        "gradient_steps": 1,
        "schedule.random_trials": 1,
        "schedule.meta_batch": 2,
    }
    config = RunConfig(
        "blind",
        "point",
        iterations=5,
        references=False,
        save_iterations=1,
        evaluations=5,
        settings=settings,
    )
    run = Run.create(tmp_path / "run", config)
    with pytest.raises(InterruptedError):
        train_job.train_role(run, "method", None, stop_after_two)
    train_job.train_role(run, "method", None, lambda *_: None)
    assert run.load("method").trainer["cpu_seconds"] == 5.0


def test_a_budget_counts_minutes_in_seconds_and_has_no_other_bound() -> None:
    budget = Budget.of(RunConfig("counter", "tiny"), tiny.SCHEDULE, minutes=2.0)
    many = TrainerState(iteration=10**6, steps=10**9, gradient_steps=10**9, seconds=60)
    assert budget.share(many) == 0.5


def test_the_random_trials_are_part_of_the_first_iteration() -> None:
    problem = problem_of(tiny.Tiny())
    method = tiny.Counter(problem, tiny.CounterConfig(), seed=0)
    method.schedule = CollectionSchedule(meta_batch=4, episodes_per_trial=2, random_trials=3)
    world: Any = tiny.World(tiny.Tiny(), "", 4, 0)
    first, second = (collect(world, method, 0, i) for i in range(2))
    assert first.ticks.reward.shape == (2, 5, 16)
    assert second.ticks.reward.shape == (2, 5, 4)


def test_only_a_privileged_method_learns_from_held_out_tasks() -> None:
    class Apart(tiny.Tiny):
        def sample(self, rng: Any, n: int, split: str = "train") -> Any:
            task = super().sample(rng, n, split)
            return replace(task, values=task.values + 10 * (split == "heldout"))

    problem = problem_of(tiny.Tiny())
    for kind, held_out in ((tiny.Counter, 0), (tiny.PrivilegedCounter, 4)):
        method = kind(problem, tiny.CounterConfig(), seed=0)
        rng = np.random.default_rng(0)
        sampler = UniformTasks(Apart())  # type: ignore[arg-type]
        tasks = sample_training_tasks(sampler, method, rng, 8)
        assert (tasks["goal.x"] > 5).sum() == held_out


def line(iteration: int, value: float = 0.0) -> TrainProgress:
    return TrainProgress(
        iteration=iteration,
        steps=0,
        gradient_steps=0,
        seconds=0.0,
        returns=[value],
        success=[0.0],
        learn={},
    )


def iterations(path: Path) -> list[int]:
    return [record.iteration for record in read_log(path, TrainProgress)]


def test_a_log_keeps_whole_lines_only(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = Log(path)
    log.write(line(1))
    size = log.size
    log.write(line(2, float("nan")))
    log.close()
    path.write_bytes(path.read_bytes() + b'{"a": 3')
    assert read_log(path, TrainProgress)[1].returns == [None]
    assert iterations(path) == [1, 2]
    log = Log(path)
    log.write(line(4))
    log.close()
    assert iterations(path) == [1, 2, 4]
    log = Log(path)
    log.cut(size)
    log.close()
    assert iterations(path) == [1]


def test_a_log_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"iteration": 1}\n')
    with pytest.raises(DamagedError, match=r"log\.jsonl"):
        read_log(path, TrainProgress)
    assert read_log(tmp_path / "nothing.jsonl", TrainProgress) == []


def test_two_processes_never_write_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adaptation.runs.log.LOCK_TIMEOUT", 0.0)
    path = tmp_path / "log.jsonl"
    first = Log(path)
    first.write(line(1))
    with pytest.raises(PliantError, match="is being written by another process"):
        Log(path)
    first.close()
    Log(path).close()
    assert iterations(path) == [1]


# How long the iterations are does not matter here.
SMALL = {
    "gradient_steps": 1,
    "epochs": 1,
    "random_trials": 1,
    "schedule.meta_batch": 2,
    "sac.hidden": (16, 16),
    "dynamics.hidden": (16, 16),
    "steps": 2,  # of fine-tuning
    "tuning.own_steps": 1,
    "tuning.replay_steps": 1,
    "particles.count": 32,
    "planner.horizon": 2,
    "planner.iterations": 1,
    "planner.cold_iterations": 1,
    "planner.num_samples": 16,
    "planner.num_elites": 4,
    "planner.num_kept_elites": 2,
    "warm_up_steps": 0,
    "denoising_steps": 2,
}


RESUMED: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in sorted(METHODS)]
RESUMED += [("blind", {"replay.sampling": "propensity"}), ("pearl", {"replay.sampling": "remind"})]


@pytest.fixture
def short_point() -> Iterator[None]:
    """The point with short trials, in place of the point itself."""
    with FAMILIES.temporarily("point", "short_point:ShortPoint"):
        yield


@pytest.mark.parametrize(("name", "choice"), RESUMED)
def test_every_method_resumes_bit_for_bit(
    tmp_path: Path, name: str, choice: dict[str, Any], short_point: None
) -> None:
    """On a real family of short trials: two iterations in one go, or one, a load, and another."""
    settings = dict(choice)
    for setting in declared_fields(METHODS[name].Config):
        for end, value in SMALL.items():
            if f".{setting}".endswith(f".{end}"):
                settings[setting] = value
    config = RunConfig(
        name,
        "point",
        iterations=2,
        references=False,
        save_iterations=1,
        evaluation_tasks=2,
        settings=settings,
    )
    train_job.train(Run.create(tmp_path / "whole", config))
    parts = Run.create(tmp_path / "parts", config)
    reported: list[int] = []

    def stop_after_one(share: float, progress: TrainProgress) -> None:
        reported.append(progress.iteration)
        if progress.iteration == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_job.train_role(parts, "method", None, stop_after_one)
    train_job.train_role(parts, "method", None, stop_after_one)
    assert reported == [1, 2]
    assert curve(tmp_path / "whole") == curve(tmp_path / "parts")
    assert same(state(tmp_path / "whole"), state(tmp_path / "parts"))


@pytest.mark.usefixtures("registered")
def test_an_error_of_the_disk_names_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_disk(*_: object) -> TrainProgress:
        raise OSError(errno.ENOSPC, "No space left on device")

    run = Run.create(tmp_path / "run", RunConfig("counter", "tiny", references=False))
    monkeypatch.setattr(train_job, "_train_method", fill_disk)
    with pytest.raises(OSError, match="No space left") as failure:
        train_job.train(run)
    assert failure.value.filename == str(run.path)
