"""Hindsight: goals are exchanged within a batch, and rewards follow from them."""

from dataclasses import replace

import numpy as np
import torch

from adaptation.problem import problem_of
from policies.method import Problem, Transition
from policies.rl.relabel import relabel_goals
from sim.families import FAMILIES
from sim.families.slide import Slide

FAMILY = Slide()
PROBLEM = problem_of(FAMILY)
GOAL = list(PROBLEM.goal_columns)
SIZE = 32


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def batch() -> Transition:
    """Random transitions, each with a goal of its own that stays."""
    g = seeded()
    obs = torch.rand(SIZE, PROBLEM.obs_dim, generator=g)
    next_obs = torch.rand(SIZE, PROBLEM.obs_dim, generator=g)
    next_obs[:, GOAL] = obs[:, GOAL]
    action = torch.rand(SIZE, PROBLEM.action_dim, generator=g)
    no = torch.zeros(SIZE, dtype=torch.bool)
    return Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.zeros(SIZE),
        next_obs=next_obs,
        terminated=no,
        truncated=~no,
        first=no,
        begins=~no,
        valid=~no,
    )


def test_goals_are_exchanged_and_nothing_else_but_the_reward_changes() -> None:
    stored = batch()
    changed = relabel_goals(stored, PROBLEM, seeded())
    rest = [i for i in range(PROBLEM.obs_dim) if i not in GOAL]
    torch.testing.assert_close(changed.obs[:, rest], stored.obs[:, rest])
    torch.testing.assert_close(changed.next_obs[:, rest], stored.next_obs[:, rest])
    torch.testing.assert_close(changed.obs[:, GOAL], changed.next_obs[:, GOAL])
    given = sorted(stored.obs[:, GOAL].tolist())
    assert sorted(changed.obs[:, GOAL].tolist()) == given, "those of the batch, in another order"
    assert changed.obs[:, GOAL].tolist() != stored.obs[:, GOAL].tolist()
    reward = FAMILY.reward(changed.obs, changed.applied, changed.next_obs, None)
    torch.testing.assert_close(changed.reward, reward)
    assert changed.action is stored.action


def test_the_reward_of_ones_own_goal_is_the_worlds() -> None:
    stored = batch()
    alone = stored[:1]
    again = relabel_goals(alone, PROBLEM, seeded())
    expected = FAMILY.reward(alone.obs, alone.applied, alone.next_obs, None)
    torch.testing.assert_close(again.reward, expected)


def test_where_no_goal_is_observed_a_batch_stays_as_it_is() -> None:
    stored = batch()
    hidden: Problem = replace(PROBLEM, reward=None)
    without: Problem = replace(PROBLEM, goal_columns=())
    for problem in (hidden, without):
        assert relabel_goals(stored, problem, seeded()) is stored


def test_what_families_call_their_goal_decides_nothing_but_the_reward() -> None:
    """The physics of a start do not change with the goal."""
    for name in FAMILIES:
        family = FAMILIES[name]()
        columns = family.obs.indices(family.goal_names)
        assert not (columns and family.hidden_reward), name
        rng = np.random.default_rng(0)
        task = family.sample(rng, 2)
        start = family.start(np.random.default_rng(1), task)
        other = family.sample(rng, 2)
        values = np.where(_is_goal(family.task_names), other.values, task.values)
        swapped = replace(task, values=values)
        again = family.start(np.random.default_rng(1), swapped)
        if columns:
            np.testing.assert_array_equal(start.q, again.q)
            np.testing.assert_array_equal(start.object_pos, again.object_pos)


def _is_goal(names: tuple[str, ...]) -> list[bool]:
    return [name.startswith(("goal", "marker")) for name in names]
