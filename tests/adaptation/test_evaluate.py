"""An evaluation lets every policy of a run act in the same tasks, and explores as a trial does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from adaptation.jobs import collection
from adaptation.jobs import evaluate as evaluate_job
from adaptation.jobs import train as train_job
from adaptation.metrics import final_metrics
from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from adaptation.runs.checkpoint import problem_of
from adaptation.runs.run import Run, RunConfig
from policies.methods import METHODS
from robots.world import Task

FAMILY: Any = tiny.Tiny()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: None) -> Run:
    """A run with a method and both references."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    monkeypatch.setattr(evaluate_job, "VecWorld", tiny.World)
    monkeypatch.setitem(METHODS._entries, "blind", "tiny:Counter")
    monkeypatch.setitem(METHODS._entries, "oracle", "tiny:PrivilegedCounter")
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    trained = Run.create(tmp_path / "run", config)
    for role in ("method", "blind", "oracle"):
        train_job.train_role(trained, role, None, lambda share, progress: None)
    return trained


class Calls:
    """Stands for ``rollout`` and keeps what it was called with."""

    def __init__(self) -> None:
        self.policies: list[Any] = []
        self.tasks: list[Task] = []
        self.explore: list[list[bool]] = []
        self.draws: list[float] = []

    def __call__(self, world: Any, policy: Any, task: Task, episodes: int, explore: Any) -> Any:
        self.policies.append(policy)
        self.tasks.append(task)
        self.explore.append(explore)
        trial = rollout(world, policy, task, episodes, explore)
        self.draws.append(world.rng.random())
        return trial


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()
    monkeypatch.setattr(evaluate_job, "rollout", made)
    return made


def test_every_policy_acts_in_the_same_tasks_under_the_same_random_numbers(
    run: Run, calls: Calls
) -> None:
    result = evaluate_job.evaluate(run, tasks=6)
    adapted, no_adaptation, _, oracle = calls.policies
    assert isinstance(no_adaptation, NoAdaptation)
    assert no_adaptation.method is adapted
    assert oracle.privileged
    for task in calls.tasks:
        np.testing.assert_array_equal(task.values, calls.tasks[0].values)
    assert len(set(calls.draws)) == 1
    assert calls.explore == [[True, True, False]] * 4
    assert (result.tasks, result.episodes) == (6, 3)
    assert result.run == str(run.path)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_tasks_are_those_of_the_split_that_is_asked_for(
    run: Run, calls: Calls, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    asked = []
    sample = tiny.Tiny.sample

    def record(self: Any, rng: Any, n: int, split: str = "train") -> Task:
        asked.append(split)
        return sample(self, rng, n, split)

    monkeypatch.setattr(tiny.Tiny, "sample", record)
    list(run.policies())  # loading samples tasks too, for their ranges
    asked.clear()
    assert evaluate_job.evaluate(run, tasks=2, split=split).split == split
    assert asked == [split]


def test_tasks_are_held_out_ones_by_default(run: Run, calls: Calls) -> None:
    assert evaluate_job.evaluate(run, tasks=2).split == "heldout"


def test_the_last_episode_of_a_familys_trial_and_those_after_it_do_not_explore() -> None:
    expected = {
        1: [False],
        2: [True, False],
        3: [True, True, False],
        5: [True, True, False, False, False],
    }
    for episodes, explore in expected.items():
        assert evaluate_job.explores(FAMILY, episodes) == explore


def test_metrics_are_of_the_last_valid_state_of_each_episode() -> None:
    world = tiny.Script(4, terminated={1: 2}, diverged={2: 2, 3: 0})
    task = Task(FAMILY.task_names, np.zeros((4, 3)), np.arange(4))
    method = tiny.Counter(problem_of(FAMILY), tiny.CounterConfig(), seed=0)
    metrics = final_metrics(FAMILY, task, rollout(world, method, task, episodes=2))
    ticks = np.array([5, 3, 2, np.nan])  # a scripted state counts the ticks
    expected = np.tile(ticks * np.sqrt(2), (2, 1))
    np.testing.assert_allclose(metrics["distance_m"], expected)
