"""What slide claims: one strike, a target out of reach, an unknown that matters, two engines that tell one story."""

import itertools

import numpy as np
import pytest

from robots.kinematics import Kinematics
from robots.signals import Array
from robots.world import Task
from sim.families.slide import Slide
from sim.vec_world import VecWorld


def strike(engine: str, task: Task, push: Array) -> tuple[Array, VecWorld]:
    """Push forward as told (n,), until the horizon; where everything ended."""
    family = Slide()
    world = VecWorld(family, engine, len(task), seed=0)
    world.reset(task)
    action = np.stack([push, 0 * push], 1)
    for _ in range(family.horizon):
        step = world.step(action)
    return step.obs, world


@pytest.fixture(scope="module")
def tasks() -> Task:
    family, rng = Slide(), np.random.default_rng(0)
    train, held = family.sample(rng, 8), family.sample(rng, 8, "heldout")
    return Task(train.names, np.concatenate([train.values, held.values]), np.arange(16))


def test_targets_lie_out_of_reach_and_the_tool_stops_before(tasks: Task) -> None:
    family = Slide()
    reach = 0.333  # m, of the shoulder above the table; 0.855 m is the panda's reach from there
    assert tasks["marker.x"].min() > np.sqrt(0.855**2 - reach**2)
    obs, world = strike("mujoco", tasks, np.ones(16))
    assert (
        Kinematics(family.body).position(world.signals.q)[:, 0] < family.limits.tool_box[0, 1]
    ).all()
    assert np.abs(obs[:, 2:4]).max() < 0.02, "the tool has come to rest"


def test_held_out_objects_differ_from_trained_ones() -> None:
    family, rng = Slide(), np.random.default_rng(0)
    train, held = family.sample(rng, 500), family.sample(rng, 500, "heldout")
    assert not set(train["object.shape"]) & set(held["object.shape"])
    inside = (held["object.friction"] > train["object.friction"].min()) & (
        held["object.friction"] < train["object.friction"].max()
    )
    assert not inside.any()
    assert held["object.size_x"].min() > train["object.size_x"].max()
    with pytest.raises(ValueError, match="heldout"):
        family.sample(rng, 1, "somewhere")


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_the_same_strike_sends_a_slippery_object_further(engine: str, tasks: Task) -> None:
    values = tasks.values[:4].copy()
    values[:] = values[0]
    values[:, tasks.names.index("object.friction")] = (0.05, 0.08, 0.11, 0.155)
    obs, world = strike(engine, Task(tasks.names, values, np.arange(4)), np.full(4, 0.3))
    distance = obs[:, 4] - 0.5
    assert (np.diff(distance) < -0.02).all()
    assert distance[0] / distance[-1] > 1.5, "friction must matter"
    height = world.signals.object_pos[:, 2] - values[:, tasks.names.index("object.size_z")]
    assert np.abs(height).max() < 5e-3, "it lies flat"


def test_both_engines_tell_the_same_story(tasks: Task) -> None:
    push = np.tile(np.linspace(-0.5, 0.8, 8), 2)
    far = {engine: strike(engine, tasks, push)[0][:, 4] for engine in ("mujoco", "bullet")}
    assert np.corrcoef(far["mujoco"], far["bullet"])[0, 1] > 0.9


def test_reward_adds_up_to_where_the_object_rests() -> None:
    family, rng = Slide(), np.random.default_rng(1)
    at = np.zeros((3, len(family.obs)))
    at[:, 4], at[:, 9], at[:, 11], at[:, 12] = 0.5, 1.0, 0.95, 0.05
    ends = at.copy()
    ends[:, 4:6] = ((0.95, 0.05), (0.5, 0.0), (5.0, 0.0))
    way = [at, at + rng.uniform(0, 0.3) * (ends - at), ends]
    total = sum(family.reward(a, None, b, None) for a, b in itertools.pairwise(way))
    assert total[0] == pytest.approx(1.0)
    assert total[1] == pytest.approx(0.0)
    assert -1.0 < total[2] < 0.0, "far past is bad, but bounded"
    assert family.success(ends, None).tolist() == [True, False, False]
