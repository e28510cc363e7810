"""Ranges widen on success, narrow on failure, and never pass what the family declares."""

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.curriculum import Curriculum, CurriculumConfig
from sim.families import FAMILIES
from sim.randomization import parameters_of

QUICK = CurriculumConfig(tasks=4, step=0.2)
WIDENED = ["slide", "reach", "point_sparse", "ant_goal", "cheetah_inverted", "hopper_params"]


def widths(curriculum: Curriculum) -> Array:
    return np.array([high - low for low, high in curriculum.ranges.values()])


def train(curriculum: Curriculum, success: float, rounds: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        task = curriculum.sample(rng, 16)
        curriculum.learn(np.full(len(task), success))


@pytest.mark.parametrize("name", WIDENED)
def test_success_widens_to_the_declared_ranges_and_no_further(name: str) -> None:
    family = FAMILIES[name]()
    declared = {parameter.name: parameter.train.numbers for parameter in parameters_of(family)}
    curriculum = Curriculum(family, QUICK)
    before = widths(curriculum)
    train(curriculum, 1.0, 40 * len(curriculum.ends))
    assert (widths(curriculum) > before).all()
    for changed, numbers in curriculum.ranges.items():
        low, high = declared[changed]
        assert numbers == pytest.approx((low, high))
        assert low <= numbers[0] < numbers[1] <= high
    assert len(curriculum.sample(np.random.default_rng(1), 8)) == 8


def test_a_range_widens_by_one_step_at_the_end_that_succeeded() -> None:
    curriculum = Curriculum(FAMILIES["point"](), CurriculumConfig(width=0.2, step=0.1, tasks=1))
    rng = np.random.default_rng(0)
    task = curriculum.sample(rng, 64)
    before = dict(curriculum.ranges)
    curriculum.learn(np.ones(len(task)))
    moved = [name for name, numbers in curriculum.ranges.items() if numbers != before[name]]
    assert len(moved) == 1
    change = np.subtract(curriculum.ranges[moved[0]], before[moved[0]])
    assert sorted(np.abs(change)) == pytest.approx([0.0, 0.2])  # a tenth of 2 m
    assert widths(curriculum).sum() == pytest.approx(0.4 + 0.4 + 0.2)


def test_failure_narrows_to_the_middle() -> None:
    curriculum = Curriculum(FAMILIES["slide"](), QUICK)
    train(curriculum, 0.0, 20 * len(curriculum.ends))
    assert widths(curriculum) == pytest.approx(0)
    low, high = curriculum.ranges["object.mass"]
    assert low == high == pytest.approx(0.35)


def test_success_that_is_neither_high_nor_low_moves_nothing() -> None:
    curriculum = Curriculum(FAMILIES["slide"](), QUICK)
    before = curriculum.ranges
    train(curriculum, 0.6, 60)
    assert curriculum.ranges == before


def test_a_range_stops_where_the_method_stops_to_succeed() -> None:
    config = CurriculumConfig(tasks=4, step=0.05)
    curriculum = Curriculum(FAMILIES["slide"](), config)
    rng = np.random.default_rng(0)

    def succeeds(task: Task) -> Array:
        return (task["object.restitution"] < 0.5).astype(float)

    for _ in range(1500):
        task = curriculum.sample(rng, 16)
        curriculum.learn(succeeds(task))
    low, high = curriculum.ranges["object.restitution"]
    assert low == 0.2
    assert high == pytest.approx(0.5, abs=0.03)  # a step is 0.02
    assert curriculum.ranges["object.mass"] == (0.2, 0.5)


def test_tasks_lie_in_the_present_ranges_and_about_half_at_an_end() -> None:
    curriculum = Curriculum(FAMILIES["slide"](), QUICK)
    rng = np.random.default_rng(0)
    at_end = []
    for _ in range(40):
        task = curriculum.sample(rng, 64)
        low, high = curriculum.ranges["object.mass"]
        mass = task["object.mass"]
        assert (mass >= low - 1e-12).all()
        assert (mass <= high + 1e-12).all()
        for changed, numbers in curriculum.ranges.items():
            if changed in task.names:
                is_at_end = np.isclose(task[changed][:, None], numbers, rtol=0, atol=1e-12)
                at_end.append(is_at_end.any(1).mean())
        curriculum.learn(np.full(64, 0.6))
    assert max(at_end) > 0.3
    asked = [share for share in at_end if share > 0]
    assert np.mean(asked) == pytest.approx(0.5, abs=0.05)


def test_a_seed_repeats_its_tasks() -> None:
    first, second = (
        Curriculum(FAMILIES["slide"](), QUICK).sample(np.random.default_rng(3), 8) for _ in range(2)
    )
    np.testing.assert_array_equal(first.values, second.values)


def test_what_cannot_be_widened_or_learned_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="cheetah_params declares no range"):
        Curriculum(FAMILIES["cheetah_params"]())
    curriculum = Curriculum(FAMILIES["slide"]())
    curriculum.sample(np.random.default_rng(0), 4)
    for success in (np.ones(3), np.full(4, np.nan)):
        with pytest.raises(BadArgumentError, match="4 finite numbers"):
            curriculum.learn(success)
