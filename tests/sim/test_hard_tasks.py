"""Laws of the sampler that prefers hard tasks: what it prefers, what it keeps, what it forgets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.families import FAMILIES, make_family
from sim.randomization import with_ranges
from sim.task_samplers.hard import HardTasks, HardTasksConfig

N = 64  # tasks of a trial


def low_at_the_right(task: Task) -> Array:
    """Returns that depend on one of two parameters."""
    return -task["goal.x"]


def train(
    sampler: HardTasks, returns: Callable[[Task], Array], trials: int, seed: int = 0
) -> HardTasks:
    rng = np.random.default_rng(seed)
    for _ in range(trials):
        task = sampler.sample(rng, N)
        sampler.learn(task, returns(task), np.zeros(N))
    return sampler


def drawn(sampler: HardTasks, name: str, tasks: int = 3200) -> Array:
    """One parameter of many tasks."""
    rng = np.random.default_rng(1)
    return np.concatenate([sampler.sample(rng, N)[name] for _ in range(tasks // N)])


def test_hard_tasks_are_drawn_more_often_than_easy_ones() -> None:
    """The rightmost tenth of goals has the lowest returns: 10 % of the tasks as declared."""
    sampler = HardTasks(FAMILIES["point"]())
    x = drawn(sampler, "goal.x")
    assert (x > 0.8).mean() == pytest.approx(0.1, abs=0.02)
    train(sampler, low_at_the_right, 40)
    x = drawn(sampler, "goal.x")
    assert (x > 0.8).mean() > 0.3
    assert 0.02 < (x < -0.8).mean() < 0.06, "easy ones are not forgotten"
    y = drawn(sampler, "goal.y")
    assert abs(y.mean()) < 0.15, "the other parameter does not matter"
    assert sampler.log()["difficulty"] > 0.65


def test_the_reference_share_is_drawn_as_the_family_declares() -> None:
    family = FAMILIES["point"]()
    sampler = train(HardTasks(family), low_at_the_right, 40)
    for n in (1, 2, 7, 50):
        task = sampler.sample(np.random.default_rng(3), n)
        declared = family.sample(np.random.default_rng(3), n)
        is_declared = (task.values == declared.values).all(1)
        assert is_declared.sum() == -(-n // 5), "a fifth of the tasks, rounded up"


@pytest.mark.parametrize(("name", "parameter"), [("point", "goal.y"), ("slide", "object.mass")])
def test_chance_is_not_taken_for_difficulty(name: str, parameter: str) -> None:
    family = FAMILIES[name]()
    noise = np.random.default_rng(5)
    sampler = train(HardTasks(family), lambda _: noise.normal(size=N), 60)
    declared = family.sample(np.random.default_rng(2), 3200)[parameter]
    spread = declared.std()
    assert drawn(sampler, parameter).mean() == pytest.approx(declared.mean(), abs=0.35 * spread)
    assert sampler.log()["difficulty"] == pytest.approx(0.5, abs=0.06)


def test_what_has_become_easy_is_not_drawn_more_often_any_longer() -> None:
    sampler = train(HardTasks(FAMILIES["point"]()), low_at_the_right, 40)
    assert drawn(sampler, "goal.x").mean() > 0.25
    train(sampler, lambda task: 10 + task["goal.x"], 40)
    assert drawn(sampler, "goal.x").mean() < -0.25


def test_a_categorical_parameter_is_weighted_too() -> None:
    """The fit goes to 0.2 · 0.5 + 0.8 · 1, of which a fifth of the tasks is drawn as declared."""
    sampler = HardTasks(FAMILIES["cheetah_fwd_back"]())
    train(sampler, lambda task: task["goal.direction"], 40)
    backward = (drawn(sampler, "goal.direction") == -1).mean()
    assert backward == pytest.approx(0.2 * 0.5 + 0.8 * 0.9, abs=0.03)


def test_a_number_that_is_no_declared_parameter_is_weighted_too() -> None:
    """Which joint of the arm is inverted is drawn by the family itself."""
    sampler = HardTasks(FAMILIES["cripple_arm"]())
    name = "disturbance.gain.joint2"
    before = (drawn(sampler, name) < 0).mean()
    train(sampler, lambda task: -(task[name] < 0).astype(float), 40)
    assert (drawn(sampler, name) < 0).mean() > 2 * before > 0


def test_tasks_never_lie_where_held_out_ones_do() -> None:
    """Held-out goals lie on the black fields of a checkerboard, eight by eight."""
    family = FAMILIES["point"]()
    sampler = train(HardTasks(family), low_at_the_right, 40)
    rng = np.random.default_rng(4)

    def colors(values: Array) -> set[int]:
        field = np.floor((values + 1) / 2 * 8).astype(int)
        return set((field.sum(1) % 2).tolist())

    assert colors(sampler.sample(rng, 500).values) == {0}
    assert colors(family.sample(rng, 500, "heldout").values) == {1}


def test_the_tail_is_that_of_declared_tasks_whatever_is_drawn() -> None:
    """Of weights that undo the draws, a tenth lies in the tail; unweighted tasks hold more."""
    config = HardTasksConfig(tasks=4096, tail=0.1, min_tail=0.01)
    sampler = train(HardTasks(FAMILIES["point"]()), low_at_the_right, 40)
    sampler = _with_config(sampler, config)
    rng = np.random.default_rng(6)
    task = sampler.sample(rng, 2000)
    sampler.learn(task, low_at_the_right(task), np.zeros(2000))
    importance = 1 / sampler._excess
    in_tail = sampler._tail(importance / importance.sum())
    is_hardest_tenth = task["goal.x"] > 0.8  # of evenly drawn goals
    assert (in_tail == is_hardest_tenth).mean() > 0.93
    assert in_tail.mean() > 0.25


def _with_config(sampler: HardTasks, config: HardTasksConfig) -> HardTasks:
    """The fitted distribution under another config, with nothing gathered."""
    other = HardTasks(sampler.family, config)
    other.probabilities = sampler.probabilities
    return other


def test_returns_that_are_not_known_are_left_out() -> None:
    """A hidden half: tasks whose return is not known do not count as hard, nor as easy."""
    sampler = HardTasks(FAMILIES["point"]())

    def hidden(task: Task) -> Array:
        return np.where(task["goal.x"] > 0, np.nan, -task["goal.x"])

    train(sampler, hidden, 60)
    x = drawn(sampler, "goal.x")
    assert (np.abs(x + 0.1) < 0.1).mean() > 0.12, "the hardest of the known ones"
    before = sampler.probabilities.copy()
    train(sampler, lambda _: np.full(N, np.nan), 20)
    np.testing.assert_array_equal(sampler.probabilities, before)


def test_what_has_no_hard_tasks_is_refused() -> None:
    family: Any = with_ranges(make_family("point"), {"goal.x": (0.5,), "goal.y": (0.5,)})
    with pytest.raises(BadArgumentError, match="all tasks of point are the same"):
        HardTasks(family)
    sampler = HardTasks(FAMILIES["point"]())
    task = sampler.sample(np.random.default_rng(0), 4)
    with pytest.raises(BadArgumentError, match="of 4 tasks"):
        sampler.learn(task, np.zeros(3), np.zeros(3))
