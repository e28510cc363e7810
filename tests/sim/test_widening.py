"""Ranges widen on success, narrow on failure, and never pass what the family declares."""

import numpy as np
import pytest
import tiny

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.families import FAMILIES
from sim.randomization import parameters_of
from sim.task_samplers.widening import WideningConfig, WideningRanges

QUICK = WideningConfig(tasks=4, step=0.2)
WIDENED = ["slide", "reach", "point_sparse", "ant_goal", "cheetah_inverted", "hopper_params"]


def learn(sampler: WideningRanges, task: Task, success: Array) -> None:
    """Returns do not matter."""
    sampler.learn(task, np.zeros(len(task)), success)


def widths(sampler: WideningRanges) -> Array:
    return np.array([high - low for low, high in sampler.ranges.values()])


def train(sampler: WideningRanges, success: float, rounds: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        task = sampler.sample(rng, 16)
        learn(sampler, task, np.full(len(task), success))


@pytest.mark.parametrize("name", WIDENED)
def test_success_widens_to_the_declared_ranges_and_no_further(name: str) -> None:
    family = FAMILIES[name]()
    declared = {parameter.name: parameter.train.numbers for parameter in parameters_of(family)}
    sampler = WideningRanges(family, QUICK)
    before = widths(sampler)
    train(sampler, 1.0, 40 * len(sampler.ends))
    assert (widths(sampler) > before).all()
    for changed, numbers in sampler.ranges.items():
        low, high = declared[changed]
        assert numbers == pytest.approx((low, high))
        assert low <= numbers[0] < numbers[1] <= high
    assert len(sampler.sample(np.random.default_rng(1), 8)) == 8


def test_a_range_widens_by_one_step_at_the_end_that_succeeded() -> None:
    sampler = WideningRanges(FAMILIES["point"](), WideningConfig(width=0.2, step=0.1, tasks=1))
    rng = np.random.default_rng(0)
    task = sampler.sample(rng, 64)
    before = dict(sampler.ranges)
    learn(sampler, task, np.where(task.end == 2, 1.0, np.nan))
    moved = [name for name, numbers in sampler.ranges.items() if numbers != before[name]]
    assert len(moved) == 1
    change = np.subtract(sampler.ranges[moved[0]], before[moved[0]])
    assert sorted(np.abs(change)) == pytest.approx([0.0, 0.2])  # a tenth of 2 m
    assert widths(sampler).sum() == pytest.approx(0.4 + 0.4 + 0.2)


def test_failure_narrows_to_the_middle() -> None:
    sampler = WideningRanges(FAMILIES["slide"](), QUICK)
    train(sampler, 0.0, 20 * len(sampler.ends))
    assert widths(sampler) == pytest.approx(0)
    low, high = sampler.ranges["object.mass"]
    assert low == high == pytest.approx(0.35)


def test_success_that_is_neither_high_nor_low_moves_nothing() -> None:
    sampler = WideningRanges(FAMILIES["slide"](), QUICK)
    before = sampler.ranges
    train(sampler, 0.45, 60)
    assert sampler.ranges == before


def test_a_range_stops_where_the_method_stops_to_succeed() -> None:
    config = WideningConfig(tasks=4, step=0.05)
    sampler = WideningRanges(FAMILIES["slide"](), config)
    rng = np.random.default_rng(0)

    def succeeds(task: Task) -> Array:
        return (task["object.restitution"] < 0.5).astype(float)

    for _ in range(1500):
        task = sampler.sample(rng, 16)
        learn(sampler, task, succeeds(task))
    low, high = sampler.ranges["object.restitution"]
    assert low == 0.2
    assert high == pytest.approx(0.5, abs=0.03)  # a step is 0.02
    assert sampler.ranges["object.mass"] == (0.2, 0.5)


def test_tasks_lie_in_the_present_ranges_and_about_half_at_an_end() -> None:
    sampler = WideningRanges(FAMILIES["slide"](), QUICK)
    rng = np.random.default_rng(0)
    is_at_end = []
    for _ in range(40):
        task = sampler.sample(rng, 64)
        low, high = sampler.ranges["object.mass"]
        mass = task["object.mass"]
        assert (mass >= low - 1e-12).all()
        assert (mass <= high + 1e-12).all()
        for number, end in enumerate(sampler.ends):
            if end.parameter.name in task.names:
                fixed = task[end.parameter.name][task.end == number]
                assert fixed == pytest.approx(end.value, rel=1e-9)
        is_at_end.append(task.end >= 0)
        learn(sampler, task, np.full(64, 1.0))
    assert np.mean(is_at_end) == pytest.approx(0.5, abs=0.03)
    assert sampler.width > 0.5


def test_a_seed_repeats_its_tasks() -> None:
    sampler = WideningRanges(FAMILIES["slide"](), QUICK)
    first, second = (sampler.sample(np.random.default_rng(3), 8) for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)


def test_what_is_not_known_moves_nothing() -> None:
    sampler = WideningRanges(FAMILIES["slide"](), QUICK)
    before = sampler.state_dict()
    train(sampler, np.nan, 60)
    assert sampler.state_dict() == before
    assert sampler.width == pytest.approx(QUICK.width)


def test_what_cannot_be_widened_or_learned_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="cheetah_params declares no range"):
        WideningRanges(FAMILIES["cheetah_params"]())
    with pytest.raises(BadArgumentError, match="tiny declares no range"):
        WideningRanges(tiny.Tiny())  # type: ignore[arg-type]
    family = FAMILIES["slide"]()
    sampler = WideningRanges(family)
    rng = np.random.default_rng(0)
    with pytest.raises(BadArgumentError, match="of the tasks that were drawn"):
        learn(sampler, sampler.sample(rng, 4), np.ones(3))
    with pytest.raises(BadArgumentError, match="of the tasks that were drawn"):
        learn(sampler, family.sample(rng, 4), np.ones(4))
