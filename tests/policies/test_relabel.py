"""Hindsight: goals are exchanged within a batch, and rewards follow from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from adaptation.problem import problem_of
from adaptation.random_policy import RandomPolicy
from adaptation.rollout import rollout
from policies.method import Problem, Transition
from policies.rl.relabel import exchange_hidden_goals, relabel_goals, with_gain, with_true_reward
from sim.families import FAMILIES
from sim.families.slide import Slide
from sim.vec_world import VecWorld

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


def test_a_hidden_goal_is_exchanged_in_the_task_and_physics_stay_as_they_are() -> None:
    hidden = replace(PROBLEM, reward=None, task_names=("goal.x", "friction"))
    goal = torch.arange(SIZE, dtype=torch.float32)
    task = torch.stack([goal, 100 + goal], 1)
    half = exchange_hidden_goals(task, hidden, 0.5, seeded())
    assert half[:, 1].tolist() == task[:, 1].tolist()
    assert set(half[:, 0].tolist()) <= set(goal.tolist()), "goals of others in the batch"
    exchanged = int((half[:, 0] != goal).sum())
    assert SIZE / 4 <= exchanged <= 3 * SIZE / 4
    everyone = exchange_hidden_goals(task, hidden, 1.0, seeded())
    assert sorted(everyone[:, 0].tolist()) == goal.tolist()
    no_one = exchange_hidden_goals(task, hidden, 0.0, seeded())
    assert no_one.tolist() == task.tolist()


def test_where_no_goal_is_hidden_tasks_and_rewards_stay_as_they_are() -> None:
    task = torch.rand(SIZE, PROBLEM.task_dim, generator=seeded())
    assert exchange_hidden_goals(task, PROBLEM, 1.0, seeded()) is task
    stored = batch()
    assert with_true_reward(PROBLEM, stored, task) is stored


def test_a_gain_keeps_the_goal_and_earns_the_reward_of_its_outcome() -> None:
    stored = batch()[:, None]  # (n, 1, ...)
    task = torch.zeros(SIZE, PROBLEM.task_dim)
    gain = torch.linspace(0.5, 2.0, SIZE)
    changed = with_gain(PROBLEM, stored, task, gain)
    expected = gain[:, None, None] * (stored.next_obs - stored.obs)
    torch.testing.assert_close(changed.next_obs - changed.obs, expected)
    torch.testing.assert_close(changed.next_obs[..., GOAL], stored.next_obs[..., GOAL])
    reward = FAMILY.reward(changed.obs, changed.applied, changed.next_obs, None)
    torch.testing.assert_close(changed.reward, reward)
    assert changed.obs is stored.obs


HIDDEN_REWARD = [name for name in FAMILIES if FAMILIES[name]().hidden_reward]


@pytest.mark.parametrize("name", HIDDEN_REWARD)
def test_the_reward_of_the_true_task_is_what_the_simulator_gave(name: str) -> None:
    family = FAMILIES[name]()
    problem = problem_of(family)
    world = VecWorld(family, n=3, seed=0)
    task = family.sample(np.random.default_rng(0), 3)
    trial = rollout(world, RandomPolicy(problem.action_dim, seeded()), task, 1)
    ticks = trial.ticks.flatten(0, 1).transpose(0, 1)  # (n, H, ...)
    again = with_true_reward(problem, ticks, trial.task)
    torch.testing.assert_close(again.reward, ticks.reward, atol=1e-3, rtol=1e-4)


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
