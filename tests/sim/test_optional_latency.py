"""Families whose tasks have a latency only where its range is set."""

import numpy as np
import pytest

from adaptation.problem import problem_of
from robots.world import Family, Task
from sim.families import FAMILIES
from sim.families.optional_latency import LATENCY, OptionalLatency
from sim.families.splits import SPLITS
from sim.randomization import with_ranges
from sim.vec_world import VecWorld

NAMES = ("cripple_arm", "insert", "reach")
N, STEPS = 2, 4
every_family = pytest.mark.parametrize("name", NAMES)


def test_every_family_with_an_optional_latency_is_tested_here() -> None:
    found = [name for name, kind in FAMILIES.items() if _is_optional(kind)]
    assert sorted(found) == list(NAMES)


def _is_optional(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, OptionalLatency)


@every_family
def test_a_latency_is_a_parameter_of_tasks_only_where_its_range_is_set(name: str) -> None:
    family: Family = FAMILIES[name]()
    late = with_ranges(family, {LATENCY.name: (0.02, 0.05)})
    assert late.task_names == (*family.task_names, LATENCY.name)
    assert with_ranges(family, {LATENCY.name: (0.0,)}).task_names == family.task_names
    for split in SPLITS:
        task = family.sample(np.random.default_rng(0), 50, split)
        assert task.names == family.task_names, "a latency of 0 is no parameter"
        delayed = late.sample(np.random.default_rng(0), 50, split)
        np.testing.assert_array_equal(delayed.columns(*task.names), task.values)
        assert 0.02 <= delayed[LATENCY.name].min() < 0.03
        assert 0.04 < delayed[LATENCY.name].max() <= 0.05


@every_family
def test_a_late_family_whose_latency_is_fixed_at_0_keeps_the_parameter(
    name: str,
) -> None:
    late = with_ranges(FAMILIES[name](), {LATENCY.name: (0.0, 0.05)})
    at_end = with_ranges(late, {LATENCY.name: (0.0,)})
    task = at_end.sample(np.random.default_rng(0), 5)
    assert task.names == late.task_names
    assert not task[LATENCY.name].any()


@every_family
def test_a_fixed_latency_is_known_to_be_fixed(name: str) -> None:
    family = with_ranges(FAMILIES[name](), {LATENCY.name: (0.03,)})
    problem = problem_of(family)
    assert problem.task_names[-1] == LATENCY.name
    assert problem.task_low[-1] == problem.task_high[-1] == 0.03


@every_family
def test_a_late_world_does_what_a_prompt_one_does_whose_arm_first_stands_still(name: str) -> None:
    """With a latency of one decision, to the last digit; the reward is that of the same task."""
    family: Family = FAMILIES[name]()
    decision = family.dt * family.action_repeat
    late = with_ranges(family, {LATENCY.name: (decision,)})
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (STEPS, N, len(family.action.spec)))

    task = family.sample(np.random.default_rng(2), N)
    prompt_world = VecWorld(family, n=N)
    prompt_world.reset(task)
    standstill = family.action.standstill(prompt_world.gate.setpoint)
    prompt = [prompt_world.step(action) for action in (standstill, *actions[:-1])]

    late_world = VecWorld(late, n=N)
    values = np.column_stack([task.values, np.full(N, decision)])
    late_world.reset(Task(late.task_names, values, task.ids))
    delayed = [late_world.step(action) for action in actions]

    for one, other in zip(prompt, delayed, strict=True):
        np.testing.assert_array_equal(one.obs, other.obs)
        np.testing.assert_array_equal(one.reward, other.reward)
        np.testing.assert_allclose(one.applied, other.applied, atol=1e-12)
    assert np.ptp([step.obs for step in prompt], axis=0).any(), "the arm moves"
