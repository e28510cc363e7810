"""What every task sampler keeps: draws that repeat, a state that is all it has learned."""

from typing import Any

import numpy as np
import pytest

from adaptation.runs import archive
from robots.world import Task
from sim.families import FAMILIES
from sim.task_samplers import DEFAULT, TASK_SAMPLERS
from sim.task_samplers.base import TaskSampler

FAMILY_NAMES = ("point", "slide", "cripple_arm")
N = 64

every_sampler = pytest.mark.parametrize("name", sorted(TASK_SAMPLERS))
families = pytest.mark.parametrize("family", FAMILY_NAMES)


def make(name: str, family: str) -> TaskSampler:
    sampler: TaskSampler = TASK_SAMPLERS[name](FAMILIES[family]())
    return sampler


def train(sampler: TaskSampler, first: int, last: int) -> None:
    """Trials whose outcomes depend on the task."""
    for trial in range(first, last):
        task = sampler.sample(np.random.default_rng(trial), N)
        returns = task.values @ np.arange(1.0, 1 + len(task.names))
        sampler.learn(task, returns, (returns > np.median(returns) - 1).astype(float))


def draw(sampler: TaskSampler, seed: int = 99) -> Task:
    return sampler.sample(np.random.default_rng(seed), N)


@every_sampler
@families
def test_a_draw_repeats_and_changes_nothing(name: str, family: str) -> None:
    sampler = make(name, family)
    train(sampler, 0, 6)
    first = draw(sampler)
    draw(sampler, 5)
    np.testing.assert_array_equal(draw(sampler).values, first.values)
    assert first.values.shape == (N, len(FAMILIES[family]().task_names))
    assert first.names == FAMILIES[family]().task_names


@every_sampler
@families
def test_a_sampler_goes_on_from_a_saved_state(name: str, family: str) -> None:
    """At any time, and after the state was written to a file and read."""
    whole = make(name, family)
    train(whole, 0, 12)
    for stop in (0, 1, 3, 7):
        sampler = make(name, family)
        train(sampler, 0, stop)
        saved: dict[str, Any] = archive.unpack(*archive.pack(sampler.state_dict()))
        train(sampler, stop, stop + 2)  # a saved state is not changed by what follows
        resumed = make(name, family)
        resumed.load_state_dict(saved)
        train(resumed, stop, 12)
        np.testing.assert_array_equal(draw(resumed).values, draw(whole).values)
        assert resumed.log() == whole.log()


@every_sampler
def test_what_a_sampler_tells_lies_between_0_and_1(name: str) -> None:
    sampler = make(name, "slide")
    train(sampler, 0, 12)
    assert all(0 <= value <= 1 for value in sampler.log().values())
    assert (sampler.log() == {}) == (name == DEFAULT)


@families
def test_the_default_draws_what_the_family_declares(family: str) -> None:
    sampler = make(DEFAULT, family)
    train(sampler, 0, 3)
    declared = FAMILIES[family]().sample(np.random.default_rng(99), N)
    np.testing.assert_array_equal(draw(sampler).values, declared.values)


@pytest.mark.parametrize("name", [name for name in sorted(TASK_SAMPLERS) if name != DEFAULT])
def test_another_sampler_draws_other_tasks_once_it_has_learned(name: str) -> None:
    sampler = make(name, "slide")
    train(sampler, 0, 12)
    declared = FAMILIES["slide"]().sample(np.random.default_rng(99), N)
    assert not np.array_equal(draw(sampler).values, declared.values)
