"""What headline figures rest on, seen from inside: what a method and a world are really given."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from adaptation.jobs import collection
from adaptation.jobs import evaluate as evaluate_job
from adaptation.jobs import train as train_job
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.methods import METHODS
from robots.signals import Array
from robots.world import Task

EPISODES = tiny.Tiny.episodes
TICKS = tiny.Tiny.horizon
TASKS = 6
HELD_OUT = 10.0  # held-out goals lie so far away along x, training goals nearer than 1
POLICIES = ("adapted", "no_adaptation", "blind", "oracle")


@dataclass
class Seen:
    """What was given to methods and worlds, in the order of the calls."""

    explore: list[bool] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)  # ticks that the belief has counted
    goals: list[Array] = field(default_factory=list)  # x of every world's goal, at a reset
    starts: list[Array] = field(default_factory=list)
    rewards: list[Array] = field(default_factory=list)

    def clear(self) -> None:
        for values in vars(self).values():
            values.clear()

    def of_policy(self, calls: list[Any], name: str) -> list[Any]:
        """The share of one policy in calls that are as many for each."""
        each = len(calls) // len(POLICIES)
        first = POLICIES.index(name) * each
        return calls[first : first + each]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Watches the tiny method and the tiny world, and sets held-out goals apart."""
    watched = Seen()
    act = tiny.Counter.act
    reset = tiny.World.reset
    step = tiny.World.step
    sample = tiny.Tiny.sample

    def watched_act(self: Any, obs: Any, belief: Any, explore: bool) -> Any:
        watched.explore.append(explore)
        watched.evidence.append(float(belief.ticks[0]))
        return act(self, obs, belief, explore)

    def watched_reset(self: Any, task: Task) -> Array:
        obs = reset(self, task)
        watched.goals.append(task["goal.x"].copy())
        watched.starts.append(obs.copy())
        return obs

    def watched_step(self: Any, action: Array) -> Any:
        result = step(self, action)
        watched.rewards.append(result.reward)
        return result

    def set_apart(self: Any, rng: Any, n: int, split: str = "train") -> Task:
        task = sample(self, rng, n, split)
        if split == "heldout":
            task.values[:, 0] += HELD_OUT
        return task

    monkeypatch.setattr(tiny.Counter, "act", watched_act)
    monkeypatch.setattr(tiny.World, "reset", watched_reset)
    monkeypatch.setattr(tiny.World, "step", watched_step)
    monkeypatch.setattr(tiny.Tiny, "sample", set_apart)
    return watched


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: None, seen: Seen) -> Run:
    """A trained run with both references; what training saw is forgotten."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    monkeypatch.setattr(evaluate_job, "VecWorld", tiny.World)
    monkeypatch.setitem(METHODS._entries, "blind", "tiny:Counter")
    monkeypatch.setitem(METHODS._entries, "oracle", "tiny:PrivilegedCounter")
    config = RunConfig("counter", "tiny", iterations=1, references=False)
    trained = Run.create(tmp_path / "run", config)
    for role in ("method", "blind", "oracle"):
        train_job.train_role(trained, role, None, lambda share, progress: None)
    list(trained.policies())  # loading repeats recorded decisions
    seen.clear()
    return trained


def test_all_episodes_but_the_last_explore_and_no_adaptation_never_does(
    run: Run, seen: Seen
) -> None:
    evaluate_job.evaluate(run, tasks=TASKS)
    exploring = [True] * (EPISODES - 1) * TICKS + [False] * TICKS
    for name in ("adapted", "blind", "oracle"):
        assert seen.of_policy(seen.explore, name) == exploring, name
    assert seen.of_policy(seen.explore, "no_adaptation") == [False] * EPISODES * TICKS


def test_an_episode_after_the_familys_trial_does_not_explore(run: Run, seen: Seen) -> None:
    evaluate_job.evaluate(run, tasks=TASKS, episodes=EPISODES + 1)
    flags = seen.of_policy(seen.explore, "adapted")
    assert flags[(EPISODES - 1) * TICKS :] == [False] * 2 * TICKS


@pytest.mark.parametrize(("split", "is_apart"), [(None, True), ("heldout", True), ("train", False)])
def test_the_worlds_tasks_are_those_of_the_split_and_held_out_by_default(
    run: Run, seen: Seen, split: str | None, is_apart: bool
) -> None:
    asked = {} if split is None else {"split": split}
    result = evaluate_job.evaluate(run, tasks=TASKS, **asked)
    assert len(seen.goals) == len(POLICIES) * EPISODES
    for goals in seen.goals:
        assert ((goals > HELD_OUT - 1) == is_apart).all()
    assert result.split == (split or "heldout")


def test_every_policy_has_the_same_tasks_and_the_same_starts(run: Run, seen: Seen) -> None:
    evaluate_job.evaluate(run, tasks=TASKS)
    starts = seen.of_policy(seen.starts, "adapted")
    assert not np.array_equal(starts[0], starts[1]), "episodes start anew"
    for name in POLICIES:
        np.testing.assert_array_equal(seen.of_policy(seen.starts, name), starts)
        for goals in seen.of_policy(seen.goals, name):
            np.testing.assert_array_equal(goals, seen.goals[0])


def test_another_seed_judges_on_other_tasks_and_other_starts(run: Run, seen: Seen) -> None:
    evaluate_job.evaluate(run, tasks=TASKS, seed=0)
    evaluate_job.evaluate(run, tasks=TASKS, seed=1)
    middle = len(seen.goals) // 2
    assert not np.array_equal(seen.goals[0], seen.goals[middle])
    assert not np.array_equal(seen.starts[0], seen.starts[middle])


def test_adapted_gathers_evidence_and_no_adaptation_keeps_its_prior(run: Run, seen: Seen) -> None:
    """A belief of the tiny method counts ticks, and ``adapt`` adds 100."""
    evaluate_job.evaluate(run, tasks=TASKS)
    expected = []
    for episode in range(EPISODES):
        before = episode * (TICKS + 100)
        expected += [before + tick for tick in range(TICKS)]
    assert seen.of_policy(seen.evidence, "adapted") == expected
    assert seen.of_policy(seen.evidence, "no_adaptation") == [0.0] * EPISODES * TICKS


def test_differences_are_of_the_last_episode_and_of_what_the_world_paid(
    run: Run, seen: Seen
) -> None:
    result = evaluate_job.evaluate(run, tasks=TASKS)
    returns = {}
    for name in POLICIES:
        ticks = np.array(seen.of_policy(seen.rewards, name)).reshape(EPISODES, TICKS, TASKS)
        returns[name] = ticks.sum(1).mean(1)  # by episode
        found = getattr(result, name).returns
        np.testing.assert_allclose(found, returns[name], rtol=1e-5)
    gained = returns["adapted"] - returns["no_adaptation"]
    assert result.adaptation is not None
    assert result.over_blind is not None
    assert result.adaptation.value == pytest.approx(gained[-1], rel=1e-4)
    assert gained[0] != pytest.approx(gained[-1], rel=1e-3)
    over_blind = returns["adapted"] - returns["blind"]
    assert result.over_blind.value == pytest.approx(over_blind[-1], rel=1e-4)


def test_tasks_that_repeat_are_counted_once(
    run: Run, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family with one held-out task is judged on one task, from whatever many starts."""
    sample = tiny.Tiny.sample

    def one_task(self: Any, rng: Any, n: int, split: str = "train") -> Task:
        task = sample(self, rng, n, split)
        task.values[:] = task.values[0]
        return task

    monkeypatch.setattr(tiny.Tiny, "sample", one_task)
    result = evaluate_job.evaluate(run, tasks=TASKS)
    assert (result.tasks, result.trials) == (1, TASKS)
    assert result.adaptation is not None
    assert result.adaptation.interval is None
