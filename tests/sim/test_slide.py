"""What slide claims: one strike, a target out of reach, physics that matter, engines that agree."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Signals
from robots.world import Family, Task
from sim.families.object_on_table import OBJECT_X, OBJECT_Y, TARGET_X, TARGET_Y
from sim.families.slide import Slide
from sim.vec_world import VecWorld

MARK = Slide().mark


class Finer(Slide):
    """The same physics in steps of half the length."""

    def __init__(self) -> None:
        super().__init__()
        contact = self.scene.contact_timestep
        assert contact is not None
        timestep = self.scene.timestep / 2
        self.scene = replace(self.scene, timestep=timestep, contact_timestep=contact / 2)


def strike(
    engine: str,
    task: Task,
    speed: Array,
    family: Family | None = None,
    direction: float = 0.0,
) -> tuple[Array, Signals]:
    """The end of strikes at ``speed`` (n,) m/s, straight ones by default.

    Returns:
        Observations (n, o) and signals.
    """
    family = family or Slide()
    world = VecWorld(family, engine, len(task), seed=0)
    world.reset(task)
    spec = family.action.spec
    share = (speed - spec.low[0]) / (spec.high[0] - spec.low[0])
    action = np.stack([2 * share - 1, np.full_like(share, direction)], 1)
    step = world.step(action)
    signals = world.signals
    world.close()
    return step.obs, signals


def aimed(task: Task, distance: float = 0.45) -> Array:
    """Speeds (n,) m/s at which objects go about ``distance`` m."""
    friction = task["object.friction"]
    restitution = task["object.restitution"]
    return np.asarray(np.sqrt(2 * friction * 9.81 * distance) / (1 + restitution))


def repeated(task: Task, times: int) -> Task:
    return task.take(np.repeat(np.arange(len(task)), times))


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
    fastest = np.full(16, family.action.spec.high[0])
    _, signals = strike("mujoco", tasks, fastest)
    tool = Kinematics(family.body).position(signals.q)
    assert (tool[:, 0] < family.limits.tool_box[0, 1]).all()
    assert np.abs(signals.tool_vel).max() < 0.01, "the tool has come to rest"


def test_an_episode_is_one_decision_that_ends_at_rest(tasks: Task) -> None:
    assert Slide.horizon == 1
    _, signals = strike("mujoco", tasks, aimed(tasks))
    speed = np.linalg.norm(signals.object_vel[:, :2], axis=1)
    assert speed.max() < 1e-3


@pytest.mark.parametrize(("engine", "objects", "starts"), [("mujoco", 6, 8), ("bullet", 3, 6)])
def test_the_same_strike_ends_at_the_same_place_whatever_the_time_step(
    engine: str, objects: int, starts: int, tasks: Task
) -> None:
    """And the millimeter by which starts differ does not grow beyond one centimeter."""
    rows = np.linspace(0, 15, objects).astype(int)
    task = repeated(tasks.take(rows), starts)
    means = []
    for family in (Slide(), Finer()):
        obs, _ = strike(engine, task, aimed(task), family)
        places = obs[:, [OBJECT_X, OBJECT_Y]].reshape(objects, starts, 2)
        means.append(places.mean(1))
        deviation = np.sqrt(places.var(1).sum(1))
        assert np.median(deviation) < 0.01, f"m, of each object: {deviation}"
    shift = np.linalg.norm(means[0] - means[1], axis=1)
    assert shift.max() < 0.015, f"m, of each object: {shift}"


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
    task = Task(tasks.names, values, np.arange(4))
    obs, signals = strike(engine, task, np.full(4, 0.5))
    distance = obs[:, OBJECT_X] - MARK[0]
    assert (np.diff(distance) < -0.02).all()
    assert distance[0] / distance[-1] > 1.5, "friction must matter"
    height = signals.object_pos[:, 2] - values[:, tasks.names.index("object.size_z")]
    assert np.abs(height).max() < 5e-3, "it lies flat"


def test_objects_go_about_as_far_in_both_engines(tasks: Task) -> None:
    speed = aimed(tasks) * np.tile(np.linspace(0.7, 1.1, 8), 2)
    ends = [strike(engine, tasks, speed)[0] for engine in ("mujoco", "bullet")]
    in_mujoco, in_bullet = (obs[:, OBJECT_X] - MARK[0] for obs in ends)
    assert np.corrcoef(in_mujoco, in_bullet)[0, 1] > 0.97
    assert np.median(in_bullet / in_mujoco) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("direction", [-1.0, 1.0])
def test_a_direction_sends_every_object_to_its_side(direction: float, tasks: Task) -> None:
    obs, _ = strike("mujoco", tasks, aimed(tasks), direction=direction)
    assert (direction * obs[:, OBJECT_Y] > 0.03).all()


def test_what_a_strike_asks_of_the_joints_follows_from_the_setpoint_alone() -> None:
    """Aside of its line the tool moves sideways; on it, forward at the speed that was asked for."""
    family = Slide()
    action = np.array([[0.5, 0.0]])
    speed = 0.75 * family.action.spec.high[0]
    kinematics = Kinematics(family.body)
    for turn, expected in ((0.0, (speed, 0.0)), (0.1, (0.0, -0.4))):
        q = family.ready + turn * np.eye(7)[0]
        rest = np.zeros((1, 7))
        dq = family.action(action, Setpoint(q[None], rest, rest))
        _, _, jacobian = kinematics.forward_jacobian(q[None])
        np.testing.assert_allclose(jacobian[0, :2] @ dq[0], expected, atol=1e-3)


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


def test_an_estimated_shape_is_taken_as_the_nearest_one() -> None:
    """A particle filter of continuous numbers estimates a code between shapes, or beyond them."""
    family = Slide()
    task = family.sample(np.random.default_rng(0), 4)
    estimated = task.with_columns({"object.shape": np.array([-1.7, 0.8, 3.6, 5.2])})
    obs = np.tile([*MARK, 0.0, 1.0, 0.9, 0.0], (4, 1))
    simulated, start = family.state_of(obs, estimated)
    assert simulated["object.shape"].tolist() == [0, 1, 4, 4]
    VecWorld(family, n=4).reset(simulated, start=start)
