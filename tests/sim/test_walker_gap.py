"""The benchmark that plans with a walker's true task, or for tasks in general."""

import numpy as np
import pytest

from benchmarks.walker_gap import Planner, PlanSimulator, Search, drive, goes_on
from robots.signals import Array
from robots.world import Task
from sim.families import make_family
from sim.vec_world import VecWorld

N = 2
PLANS = 3
STEPS = 6
QUICK = Search(hold=2, actions=6, plans=8, hypotheses=2, cold_iterations=2)


def world_under_way(name: str) -> tuple[VecWorld, Task, Array]:
    """A world of held-out tasks after a few random actions, its tasks, and its observation."""
    family = make_family(name)
    task = family.sample(np.random.default_rng(0), N, "heldout")
    world = VecWorld(family, n=N, seed=1)
    world.reset(task)
    for action in random_plans(world, 4)[:, 0].swapaxes(0, 1):
        step = world.step(action)
    return world, task, step.obs


def random_plans(world: VecWorld, steps: int) -> Array:
    """Plans (N, PLANS, steps, a)."""
    rng = np.random.default_rng(2)
    return rng.uniform(-1, 1, (N, PLANS, steps, len(world.family.action.spec)))


# blocks that are not observed, the last target of a servo, a motor's activation, an early end
@pytest.mark.parametrize("name", ["cheetah_pier", "go1_vel", "quadruped_vel", "walker_params"])
def test_a_plan_returns_what_is_forecast_under_the_true_task(name: str) -> None:
    """Bit by bit: the whole state of the world is copied."""
    world, task, obs = world_under_way(name)
    plans = random_plans(world, STEPS)
    forecast = PlanSimulator(world, 1, PLANS).returns(obs, task.values[:, None], plans)
    alive = np.ones(N, dtype=bool)
    total = np.zeros(N)
    for action in plans[:, 1].swapaxes(0, 1):
        step = world.step(action)
        total += np.where(alive, step.reward, 0.0)
        alive &= goes_on(step)
    assert forecast[:, 1].tolist() == total.tolist()
    assert alive.all() == (name != "walker_params")


@pytest.mark.parametrize("name", ["cheetah_vel", "cheetah_params"])
def test_the_value_of_a_plan_is_the_mean_over_hypotheses(name: str) -> None:
    """Also where one simulation serves all of them, because only the reward is hidden."""
    world, _, obs = world_under_way(name)
    plans = random_plans(world, STEPS)
    drawn = world.family.sample(np.random.default_rng(3), 3).values
    hypotheses = np.stack([drawn, drawn[::-1] * 1.1])  # (N, 3, p)
    together = PlanSimulator(world, 3, PLANS).returns(obs, hypotheses, plans)
    one_by_one = PlanSimulator(world, 1, PLANS)
    alone = [one_by_one.returns(obs, hypotheses[:, k : k + 1], plans) for k in range(3)]
    assert together == pytest.approx(np.mean(alone, 0))
    assert np.ptp(alone, axis=0).min() > 0


def test_a_planner_that_knows_nothing_sees_commands_and_expects_training_tasks() -> None:
    world, task, _ = world_under_way("go1_vel")
    planner = Planner(world, task, QUICK, knows=False, seed=0)
    names = world.family.task_names
    hypotheses = planner.hypotheses()
    assert hypotheses.shape == (N, QUICK.hypotheses, len(names))
    commands = task.columns("marker.x", "marker.y")
    for k in range(QUICK.hypotheses):
        assert (hypotheses[:, k, :2] == commands).all()
    bumps = names.index("fixture.bumps.z")
    assert hypotheses[..., bumps].max() <= 0.04 < task.values[:, bumps].min()
    assert not np.array_equal(hypotheses, planner.hypotheses())  # a new search, new draws


def test_knowing_the_direction_is_worth_something_and_the_same_seed_gives_the_same() -> None:
    family = make_family("cheetah_fwd_back")
    task = family.sample(np.random.default_rng(0), 4)
    oracle, blind, again = (
        drive(family, QUICK, task, 12, knows=knows)[0] for knows in (True, False, True)
    )
    assert (oracle > blind + 2).all()
    assert np.array_equal(oracle, again)
