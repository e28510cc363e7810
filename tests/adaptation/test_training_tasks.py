"""Training with a task sampler: who draws, who learns, and what a kill or a second core changes."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from adaptation import cli
from adaptation.jobs.cells import suite_cells
from adaptation.jobs.collection import collect_each
from adaptation.jobs.compare import group_runs
from adaptation.jobs.fingerprint import fingerprint
from adaptation.jobs.train import describe_progress
from adaptation.jobs.trainer import Trainer
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.jobs.trial_source import Helpers
from adaptation.random_policy import concat_trials
from adaptation.runs import checkpoint
from adaptation.runs.log import read_log
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from adaptation.suites import FamilyTable, Suite, Training
from policies.belief import named_tensors
from robots.errors import BadArgumentError, UnknownNameError
from robots.signals import Array
from robots.world import Task
from sim.families.point import Point
from sim.task_samplers import TASK_SAMPLERS
from sim.task_samplers.uniform import UniformTasks
from sim.vec_world import VecWorld

TASKS = 64  # of a trial: the samplers change with the first, or with the second
OVERLAPPING = ("blind", {"gradient_steps": 1, "buffer_tasks": 256, "schedule.random_trials": 1})
IN_ORDER = ("rl2", {"epochs": 2, "minibatches": 2})
every_sampler = pytest.mark.parametrize("sampler", sorted(TASK_SAMPLERS))
every_source = pytest.mark.parametrize("method", [OVERLAPPING, IN_ORDER], ids=lambda m: m[0])


def run_of(path: Path, sampler: str, method: tuple[str, dict[str, Any]], **changes: Any) -> Run:
    name, settings = method
    settings = {**settings, "schedule.meta_batch": TASKS, "schedule.episodes_per_trial": 1}
    defaults = {"iterations": 6, "references": False, "evaluations": 0, "settings": settings}
    return Run.create(path, RunConfig(name, "point", task_sampler=sampler, **defaults, **changes))


def trained(run: Run, role: str = "method", has_second_core: bool = False) -> Run:
    trainer = Trainer(run, role)
    trainer.helpers = Helpers(has_second_core)
    trainer.train(lambda share, progress: None)
    return run


def state(run: Run) -> dict[str, torch.Tensor]:
    return named_tensors(run.load("method").method.state_dict())


def log(run: Run, role: str = "method") -> list[TrainProgress]:
    return read_log(run.log_path(role), TrainProgress)


def outcomes(run: Run) -> list[Any]:
    """What the log says, apart from time."""
    return [(line.returns, line.success, line.learn, line.tasks) for line in log(run)]


def same(a: Run, b: Run) -> bool:
    first, second = state(a), state(b)
    are_equal = all(torch.equal(first[name], second[name]) for name in first)
    return list(first) == list(second) and are_equal and outcomes(a) == outcomes(b)


@pytest.fixture
def acted_in(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks of every episode, in this process."""
    tasks: list[Task] = []
    reset = VecWorld.reset

    def recorded(self: VecWorld, task: Task) -> Array:
        tasks.append(task)
        return reset(self, task)

    monkeypatch.setattr(VecWorld, "reset", recorded)
    return tasks


# ---- which tasks are acted in ----


@every_source
def test_by_default_the_tasks_are_those_that_the_family_draws(
    tmp_path: Path, method: tuple[str, dict[str, Any]], acted_in: list[Task]
) -> None:
    trained(run_of(tmp_path / "run", "uniform", method, seed=3))
    expected = []
    for iteration in range(6):
        rng = np.random.default_rng([3, iteration])
        expected.append(Point().sample(rng, TASKS).values)
        if iteration == 0 and method is OVERLAPPING:  # the random trial
            expected.append(Point().sample(rng, TASKS).values)
    np.testing.assert_array_equal([task.values for task in acted_in], expected)


@every_source
def test_ranges_that_have_not_widened_hold_all_tasks(
    tmp_path: Path, method: tuple[str, dict[str, Any]], acted_in: list[Task]
) -> None:
    """A tenth of the range of 2 m, and no success yet that would widen it by more than a step."""
    run = trained(run_of(tmp_path / "run", "widening", method))
    x = np.concatenate([task["goal.x"] for task in acted_in])
    assert 0.05 < np.abs(x).max() <= 0.1 + 1e-9
    assert [line.tasks["width"] for line in log(run)] == sorted(
        (line.tasks["width"] for line in log(run)), reverse=True
    ), "they get narrower"
    assert log(run)[-1].tasks["width"] < 0.1


class Told(UniformTasks):
    """A sampler that writes down what it is told."""

    def __init__(self) -> None:
        super().__init__(Point())
        self.told: list[tuple[Task, Array, Array]] = []

    def learn(self, task: Task, returns: Array, success: Array) -> None:
        self.told.append((task, returns, success))


def told_by(method_name: str, **settings: Any) -> tuple[Told, Any]:
    """What a sampler is told of the first trial, and that trial."""
    family = Point()
    settings = {"schedule.meta_batch": 8, "schedule.random_trials": 2, **settings}
    config = checkpoint.method_config(method_name, family, "cpu", settings)
    method = checkpoint.build(method_name, family, 0, config)
    sampler = Told()
    tasks = TrainingTasks(sampler, method, seed=0)
    world = VecWorld(family, None, 8, seed=0)
    trial = concat_trials(collect_each(world, method, 0, 0, tasks.draw(0)))
    tasks.learn(trial)
    world.close()
    return sampler, trial


def test_a_sampler_is_told_of_the_last_episode_and_not_of_random_trials() -> None:
    sampler, trial = told_by("blind")
    ((task, returns, success),) = sampler.told
    assert trial.ticks.reward.shape[2] == 24
    np.testing.assert_array_equal(task.values.astype(np.float32), trial.task[16:].float())
    reward = trial.ticks.reward[-1].double().numpy()  # of the last episode, no tick is invalid
    np.testing.assert_allclose(returns, reward[:, 16:].sum(0), rtol=1e-6)
    np.testing.assert_array_equal(success, trial.success[-1, 16:])


def test_a_sampler_is_not_told_of_held_out_tasks() -> None:
    sampler, _ = told_by("oracle")
    ((_, returns, success),) = sampler.told
    for outcome in (returns, success):
        np.testing.assert_array_equal(np.isnan(outcome), np.arange(8) % 2 == 1)


def test_a_sampler_is_not_told_of_worlds_that_diverged() -> None:
    sampler, trial = told_by("blind")
    sampler.told.clear()
    trial.ticks.truncated[-1, :, 16 + 3] = False
    tasks = TrainingTasks(sampler, _Plain(), seed=0)  # type: ignore[arg-type]
    tasks.draw(1)
    tasks.learn(trial)
    ((_, returns, _),) = sampler.told
    assert np.flatnonzero(np.isnan(returns)).tolist() == [3]


class _Plain:
    """What the tasks of a method depend on."""

    privileged = False

    class schedule:  # noqa: N801
        meta_batch = 8
        random_trials = 0


def test_evaluations_are_on_the_same_tasks_whatever_the_sampler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[Array]] = {}
    sample = Point.sample
    for sampler in sorted(TASK_SAMPLERS):
        heldout = drawn.setdefault(sampler, [])

        def recorded(
            self: Point, rng: Any, n: int, split: str = "train", heldout: Any = heldout
        ) -> Task:
            task = sample(self, rng, n, split)
            if split == "heldout" and n == 5:
                heldout.append(task.values)
            return task

        monkeypatch.setattr(Point, "sample", recorded)
        run = run_of(tmp_path / sampler, sampler, IN_ORDER, evaluation_tasks=5)
        run = Run(run.path, msgspec.structs.replace(run.config, evaluations=2))
        trained(run)
    first, *others = drawn.values()
    assert len(first) == 1
    for other in others:
        np.testing.assert_array_equal(other, first)


# ---- the same result each time ----


@every_sampler
@every_source
def test_a_killed_training_ends_as_one_that_was_not(
    tmp_path: Path, sampler: str, method: tuple[str, dict[str, Any]]
) -> None:
    whole = trained(run_of(tmp_path / "whole", sampler, method))
    for stop_at in (1, 3, 4):
        run = run_of(tmp_path / str(stop_at), sampler, method, save_iterations=1)

        def stop(share: float, progress: TrainProgress, stop_at: int = stop_at) -> None:
            if progress.iteration == stop_at:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            Trainer(run, "method").train(stop)
        assert same(trained(run), whole)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["hard", "widening"])
def test_a_second_core_changes_nothing(tmp_path: Path, sampler: str) -> None:
    here, again, beside = (tmp_path / name for name in ("here", "again", "beside"))
    alone = trained(run_of(here, sampler, OVERLAPPING))
    assert same(trained(run_of(again, sampler, OVERLAPPING)), alone)
    assert same(trained(run_of(beside, sampler, OVERLAPPING), has_second_core=True), alone)


def test_the_sampler_is_never_behind_under_overlap(tmp_path: Path, acted_in: list[Task]) -> None:
    """The tasks of trial i follow from the outcomes of all trials before it."""
    run = trained(run_of(tmp_path / "run", "hard", OVERLAPPING))
    difficulty = [line.tasks["difficulty"] for line in log(run)]
    assert difficulty[:3] == pytest.approx([0.5] * 3), "drawn before the first fit, at the second"
    assert difficulty[3] != pytest.approx(0.5, abs=1e-3)
    per_trial = [acted_in[0], *acted_in[2:]]  # without the random trial
    for iteration, task in enumerate(per_trial):
        unfitted = TASK_SAMPLERS["hard"](Point()).sample(np.random.default_rng([0, iteration]), 64)
        is_as_at_first = np.array_equal(task.values, unfitted.values)
        assert is_as_at_first == (iteration < 2)


# ---- config, records and commands ----


def test_references_are_trained_in_tasks_of_the_same_sampler(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "widening", IN_ORDER)
    small = {**OVERLAPPING[1], "schedule.meta_batch": 8}
    run.settings = lambda role: small  # type: ignore[method-assign]
    for role in ("blind", "oracle"):
        trained(run, role)
        assert {tuple(line.tasks) for line in log(run, role)} == {("width",)}


def test_a_sampler_that_does_not_suit_the_family_is_refused(tmp_path: Path) -> None:
    config = RunConfig("pearl", "cheetah_params", task_sampler="widening")
    with pytest.raises(BadArgumentError, match="cheetah_params declares no range"):
        Run.create(tmp_path / "run", config)
    fixed = {"range.goal.x": "0.5", "range.goal.y": "0.1"}
    for sampler, message in (("widening", "declares no range"), ("hard", "are the same")):
        with pytest.raises(BadArgumentError, match=message):
            check_config(RunConfig("blind", "point", task_sampler=sampler, settings=fixed))
    with pytest.raises(UnknownNameError, match="no task sampler named 'easy'; there are: hard"):
        check_config(RunConfig("pearl", "point", task_sampler="easy"))
    assert not (tmp_path / "run").exists()


def test_the_default_leaves_fingerprints_as_they_were_and_another_changes_them() -> None:
    config = check_config(RunConfig("blind", "point", references=False))
    default = fingerprint(config)
    other = fingerprint(msgspec.structs.replace(config, task_sampler="hard"))
    assert default.config != other.config
    assert default.code != other.code
    assert (default.family, default.versions) == (other.family, other.versions)


def test_a_run_of_an_older_version_has_the_default(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "uniform", IN_ORDER)
    file = run.path / "config.json"
    document = msgspec.json.decode(file.read_bytes())
    del document["config"]["task_sampler"]
    file.write_bytes(msgspec.json.encode(document))
    assert Run.open(run.path).config == run.config


def test_the_command_keeps_the_sampler_and_refuses_another_one_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--no-references", "--evaluations", "0", "--iterations", "2", "--out"]
    small = ["--set", "schedule.meta_batch=4"]
    out = str(tmp_path / "run")
    train = ["train", "rl2", "--family", "point", "--task-sampler", "widening", *small, *words, out]
    assert cli.main(train) == 0
    assert Run.open(tmp_path / "run").config.task_sampler == "widening"
    assert "width 0.10" in capfd.readouterr().err
    again = ["train", "--resume", "--out", out, "--iterations", "3"]
    assert cli.main(again) == 0
    assert cli.main([*again, "--task-sampler", "hard"]) != 0
    assert "was begun with task_sampler 'widening', not 'hard'" in capfd.readouterr().err


def test_a_line_of_the_log_is_shown_with_what_the_sampler_tells(tmp_path: Path) -> None:
    line = log(trained(run_of(tmp_path / "run", "hard", IN_ORDER)))[0]
    assert describe_progress(line).endswith("difficulty 0.50")


def test_a_suite_may_name_a_sampler_for_a_method() -> None:
    methods = {"pearl": Training(task_sampler="hard"), "rl2": Training()}
    suite = Suite(families={"point": FamilyTable(methods=methods)})
    samplers = {cell.training.method: cell.training.task_sampler for cell in suite_cells(suite)}
    assert samplers == {"pearl": "hard", "rl2": "uniform"}


def test_runs_of_different_samplers_are_compared_as_different_methods(tmp_path: Path) -> None:
    runs = []
    for sampler in ("uniform", "hard"):
        for seed in (0, 1):
            runs.append(run_of(tmp_path / f"{sampler}{seed}", sampler, IN_ORDER, seed=seed))
    groups = group_runs(runs)
    assert {name: len(members) for name, members in groups.items()} == {"rl2": 2, "rl2 (hard)": 2}
