"""What slide claims: one strike, a target out of reach, physics that matter, engines that agree."""

import itertools

import numpy as np
import pytest

from robots.kinematics import Kinematics
from robots.signals import Array
from robots.world import Task
from sim.families.slide import OBJECT_X, OBJECT_Y, START, TARGET_X, TARGET_Y, Slide
from sim.vec_world import VecWorld

TOOL_VELOCITY = Slide.obs.indices(["tool.vx", "tool.vy"])


def strike(engine: str, task: Task, push: Array) -> tuple[Array, VecWorld]:
    """The last observation of pushing forward by ``push`` (n,) until the horizon, and the world."""
    family = Slide()
    world = VecWorld(family, engine, len(task), seed=0)
    world.reset(task)
    action = np.stack([push, 0 * push], 1)
    for _ in range(family.horizon):
        step = world.step(action)
    return step.obs, world


@pytest.fixture(scope="module")
def tasks() -> Task:
    family = Slide()
    rng = np.random.default_rng(0)
    train = family.sample(rng, 8)
    held = family.sample(rng, 8, "heldout")
    return Task(train.names, np.concatenate([train.values, held.values]), np.arange(16))


def test_targets_lie_out_of_reach_and_the_tool_stops_before(tasks: Task) -> None:
    family = Slide()
    reach = 0.855  # m, the Panda's from its shoulder
    shoulder = 0.333  # m above the table
    assert tasks["marker.x"].min() > np.sqrt(reach**2 - shoulder**2)
    obs, world = strike("mujoco", tasks, np.ones(16))
    tool = Kinematics(family.body).position(world.signals.q)
    assert (tool[:, 0] < family.limits.tool_box[0, 1]).all()
    assert np.abs(obs[:, TOOL_VELOCITY]).max() < 0.02, "the tool has come to rest"


def test_held_out_objects_differ_from_trained_ones() -> None:
    family = Slide()
    rng = np.random.default_rng(0)
    train = family.sample(rng, 500)
    held = family.sample(rng, 500, "heldout")
    assert not set(train["object.shape"]) & set(held["object.shape"])
    trained = train["object.friction"]
    friction = held["object.friction"]
    assert ((friction < trained.min()) | (friction > trained.max())).all()
    assert held["object.size_x"].min() > train["object.size_x"].max()
    with pytest.raises(ValueError, match="heldout"):
        family.sample(rng, 1, "somewhere")


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_the_same_strike_sends_a_slippery_object_further(engine: str, tasks: Task) -> None:
    values = tasks.values[:4].copy()
    values[:] = values[0]
    values[:, tasks.names.index("object.friction")] = (0.05, 0.08, 0.11, 0.155)
    obs, world = strike(engine, Task(tasks.names, values, np.arange(4)), np.full(4, 0.3))
    distance = obs[:, OBJECT_X] - START[0]
    assert (np.diff(distance) < -0.02).all()
    assert distance[0] / distance[-1] > 1.5, "friction must matter"
    height = world.signals.object_pos[:, 2] - values[:, tasks.names.index("object.size_z")]
    assert np.abs(height).max() < 5e-3, "it lies flat"


def test_objects_go_about_as_far_in_both_engines(tasks: Task) -> None:
    push = np.tile(np.linspace(-0.5, 0.8, 8), 2)
    ends = [strike(engine, tasks, push)[0] for engine in ("mujoco", "bullet")]
    in_mujoco, in_bullet = (obs[:, OBJECT_X] for obs in ends)
    assert np.corrcoef(in_mujoco, in_bullet)[0, 1] > 0.9


def test_reward_adds_up_to_where_the_object_rests() -> None:
    family = Slide()
    rng = np.random.default_rng(1)
    start = np.zeros((3, len(family.obs)))
    start[:, OBJECT_X] = 0.5
    start[:, family.obs.index("object.cos_yaw")] = 1.0
    start[:, TARGET_X] = 0.95
    start[:, TARGET_Y] = 0.05
    ends = start.copy()
    ends[:, OBJECT_X] = (0.95, 0.5, 5.0)
    ends[:, OBJECT_Y] = (0.05, 0.0, 0.0)
    between = start + rng.uniform(0, 0.3) * (ends - start)
    path = [start, between, ends]
    total = sum(family.reward(a, None, b, None) for a, b in itertools.pairwise(path))
    assert total[0] == pytest.approx(1.0)
    assert total[1] == pytest.approx(0.0)
    assert -1.0 < total[2] < 0.0, "far past is bad, but bounded"
    assert family.success(ends, None).tolist() == [True, False, False]


def test_the_metric_is_the_objects_distance_from_the_target_without_a_bound() -> None:
    family = Slide()
    obs = np.zeros((2, len(family.obs)))
    obs[:, OBJECT_X] = (0.9, 5.0)
    obs[:, TARGET_X] = 1.0
    np.testing.assert_allclose(family.metrics(obs, None)["distance_m"], [0.1, 4.0])
