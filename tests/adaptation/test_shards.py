"""Laws of collecting on several workers: the same bits anywhere, and no bits lost with a worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from ray_parts import loopback_environment, needs_ray
from test_trainer import SMALL, ignore, run_of, same, state
from worker_parts import Here, KillsOnce

from adaptation.cli import main
from adaptation.jobs import collection, fingerprint, shards
from adaptation.jobs.collection import LocalCollector, pack_acting_state
from adaptation.jobs.executors import EXECUTORS
from adaptation.jobs.shards import MOST_LOSSES, ShardedCollector
from adaptation.jobs.trainer import Trainer
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.jobs.trial_source import Helpers
from adaptation.random_policy import concat_trials
from adaptation.runs import checkpoint
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.method import TrialBatch
from robots.errors import BadArgumentError, PliantError
from robots.world import Task
from sim.task_samplers.uniform import UniformTasks

WORLDS = 5  # of an iteration
OnProgress = Callable[[float, TrainProgress], None]


@pytest.fixture
def _tiny_world(registered: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "VecWorld", tiny.World)


def train(run: Run, executor: Any, on_progress: OnProgress = ignore) -> dict[str, torch.Tensor]:
    """Every tensor of the method at the end."""
    trainer = Trainer(run, "method")
    trainer.helpers = Helpers(executor=executor)
    trainer.train(on_progress)
    return state(run)


def sharded_run(path: Path, collectors: int = 2, **settings: Any) -> Run:
    """A short training, by default with overlap."""
    changes = {"iterations": 4, "evaluations": 0, "save_iterations": 1, "collectors": collectors}
    given = {**SMALL, "schedule.meta_batch": WORLDS, **settings}
    return run_of(path, settings=given, **changes)


class Shards:
    """A sharded collector in this process, with the method whose weights it collects with."""

    def __init__(self, run: Run) -> None:
        c = run.config
        config: Any = checkpoint.method_config(c.method, run.family, c.preset, c.settings)
        self.run = run
        self.config = config
        self.executor: Any = Here()
        self.method = checkpoint.build(c.method, run.family, c.seed, config)
        self.collector = ShardedCollector(run, "method", config, WORLDS, self.executor)

    def tasks(self, iteration: int) -> list[Task]:
        tasks = TrainingTasks(UniformTasks(self.run.family), self.method, self.run.config.seed)
        return tasks.draw(iteration)

    def collect(self, iteration: int, tasks: list[Task]) -> TrialBatch:
        self.collector.begin(iteration, pack_acting_state(self.method), tasks)
        return self.collector.finish()


@pytest.mark.usefixtures("_tiny_world")
def test_shards_are_joined_in_the_order_of_the_worlds(tmp_path: Path) -> None:
    """The random trials of the first iteration come first, as where one process collects."""
    sharded = Shards(sharded_run(tmp_path / "run", collectors=3))
    sizes = [arguments[4] for arguments in sharded.executor.started]
    assert sizes == [1, 2, 2]
    here = LocalCollector(sharded.run, "method", sharded.config)
    for iteration, worlds in ((0, 2 * WORLDS), (1, WORLDS)):
        tasks = sharded.tasks(iteration)
        here.begin(iteration, pack_acting_state(sharded.method), tasks)
        expected = here.finish()
        trial = sharded.collect(iteration, tasks)
        assert len(trial.task) == worlds
        assert torch.equal(trial.task, expected.task)
        assert torch.equal(trial.task_ids, expected.task_ids)
        assert trial.ticks.obs.shape == expected.ticks.obs.shape
        assert trial.success.shape == expected.success.shape


@pytest.mark.usefixtures("_tiny_world")
def test_shards_draw_numbers_of_their_own(tmp_path: Path) -> None:
    """In the same tasks, with the same weights, no two worlds begin and act alike."""
    sharded = Shards(sharded_run(tmp_path / "run", collectors=WORLDS))
    trial = sharded.collect(0, [task.take([0] * WORLDS) for task in sharded.tasks(0)])
    starts = trial.ticks.obs[0, 0]
    actions = trial.ticks.action[0, 0]
    assert len(actions.unique(dim=0)) == 2 * WORLDS
    assert len(starts.unique(dim=0)) == 2 * WORLDS
    again = sharded.collect(1, sharded.tasks(1)[:1])
    assert not torch.equal(again.ticks.action[0, 0], actions[WORLDS:])


@pytest.mark.usefixtures("_tiny_world")
def test_noise_of_episodes_is_joined_too(tmp_path: Path) -> None:
    sharded = Shards(sharded_run(tmp_path / "run"))
    trial = sharded.collect(1, sharded.tasks(1))
    first, second = (
        TrialBatch(**{**vars(trial), "noise": torch.full((2, WORLDS, 3), value)})
        for value in (1.0, 2.0)
    )
    joined = concat_trials([first, second]).noise
    assert joined is not None
    assert joined[0, :, 0].tolist() == [1.0] * WORLDS + [2.0] * WORLDS
    assert concat_trials([first, trial]).noise is None


@pytest.mark.usefixtures("_tiny_world")
@pytest.mark.parametrize("overlap", [True, False])
def test_a_training_with_collectors_resumes_bit_for_bit(tmp_path: Path, overlap: bool) -> None:
    """Also after a collector was lost so often that the training ended."""
    settings = {"schedule.overlap": overlap}
    whole = train(sharded_run(tmp_path / "whole", **settings), Here())
    alone = train(sharded_run(tmp_path / "alone", collectors=1, **settings), Here())
    assert not same(whole, alone), "another number of collectors draws other numbers"
    run = sharded_run(tmp_path / "run", **settings)
    executor = Here()

    def lose(share: float, progress: TrainProgress) -> None:
        if progress.iteration == 2:
            executor.losses = MOST_LOSSES

    message = f"collector 0 was lost {MOST_LOSSES} times: its process was taken away"
    with pytest.raises(PliantError, match=message):
        train(run, executor, lose)
    last = run.last_progress("method")
    assert last is not None
    assert last.iteration == 2
    assert same(train(Run.open(run.path), Here()), whole)


@pytest.mark.usefixtures("_tiny_world")
def test_a_lost_collector_is_replaced_and_collects_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = train(sharded_run(tmp_path / "whole"), Here())
    executor = Here()

    def lose(share: float, progress: TrainProgress) -> None:
        executor.losses = MOST_LOSSES - 1 if progress.iteration == 2 else 0

    assert same(train(sharded_run(tmp_path / "run"), executor, lose), whole)
    assert len(executor.started) == 2 + MOST_LOSSES - 1
    message = "pliant: collector 0 is started again: its process was taken away"
    assert capsys.readouterr().err.splitlines() == [message] * (MOST_LOSSES - 1)


def test_a_machine_with_other_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = point_run(tmp_path / "run")
    executor: Any = Here(is_remote=True)
    config: Any = checkpoint.method_config("blind", run.family, "cpu", run.config.settings)
    ShardedCollector(run, "method", config, 3, executor).close()
    monkeypatch.setattr(fingerprint, "VERSIONS", ("numpy",))
    digest, *others = executor.started[0]
    with pytest.raises(PliantError, match=f"has other code or versions: .* not {digest}"):
        shards.build_checked(digest, *others)


def point_run(path: Path) -> Run:
    """A training in the real worlds, which other processes know."""
    settings = {**SMALL, "schedule.meta_batch": 3}
    config = RunConfig(
        "blind",
        "point",
        iterations=3,
        references=False,
        evaluations=0,
        collectors=2,
        settings=settings,
    )
    return Run.create(path, config)


MARKS = {"ray": [needs_ray, pytest.mark.slow]}
KINDS = [pytest.param(name, marks=MARKS.get(name, [])) for name in EXECUTORS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_collector_that_is_killed_costs_no_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """On any executor: as all in one process, although one collector is killed in the middle."""
    expected = train(point_run(tmp_path / "here"), Here())
    with loopback_environment(), EXECUTORS[kind](2) as executor:
        dying = KillsOnce(executor, tmp_path / "killed", call=2)
        assert same(train(point_run(tmp_path / kind), dying), expected)
    assert (tmp_path / "killed").exists()
    assert " is started again: its " in capsys.readouterr().err


def test_collectors_that_are_impossible_are_refused(
    tmp_path: Path, registered: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadArgumentError, match="6 collectors cannot share the 5 worlds"):
        sharded_run(tmp_path / "run", collectors=6)
    with pytest.raises(BadArgumentError, match="counter cannot restart its random numbers"):
        run_of(tmp_path / "run", "counter", collectors=2)
    train_point = ["train", "blind", "--family", "point", "--out", str(tmp_path / "run")]
    refused = {
        ("--executor", "threads"): "threads",
        ("--address", "head:1"): "--address is of --executor ray",
        ("--collectors", "0"): "--collectors",
    }
    for words, reason in refused.items():
        assert main([*train_point, *words]) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_keeps_its_number_of_collectors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = point_run(tmp_path / "run")
    assert main(["train", "--resume", "--out", str(run.path), "--collectors", "3"]) == 2
    assert "was begun with collectors 2, not 3" in capsys.readouterr().err


@needs_ray
def test_a_cluster_for_a_single_collector_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "blind", "--family", "point", "--executor", "ray"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    assert "--executor ray needs --collectors 2 or more" in capsys.readouterr().err
    assert main([*words, "--collectors", "2", "--seeds", "0,1"]) == 2
    assert "--seeds trains on this machine" in capsys.readouterr().err
