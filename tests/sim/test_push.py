"""What push claims: one straight push, physics that matter, engines that agree, a pose to reach."""

from dataclasses import replace

import numpy as np
import pytest

from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Signals
from robots.world import Start, Task
from sim.families import arms_for, make_family
from sim.families.object_on_table import COS_YAW, OBJECT_X, OBJECT_Y, SIN_YAW, TARGET_X, TARGET_Y
from sim.families.push import Push
from sim.vec_world import VecWorld

FAMILY = Push()
MARK = np.array(FAMILY.mark)
TIP = 0.02  # m, radius of the tool's ball
every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])


class Finer(Push):
    """The same physics in steps of a third of the length."""

    def __init__(self) -> None:
        super().__init__()
        contact = self.scene.contact_timestep
        assert contact is not None
        self.scene = replace(self.scene, contact_timestep=contact / 5)


def boxes(n: int, **changes: float | list[float]) -> Task:
    """Boxes of 8 by 8 cm with some parameters changed, such as ``com_y``."""
    numbers = {
        "shape": 0.0,
        "size_x": 0.04,
        "size_y": 0.04,
        "size_z": 0.025,
        "mass": 0.3,
        "friction": 0.4,
        "com_x": 0.0,
        "com_y": 0.0,
    }
    columns = [np.full(n, value) for value in (numbers | changes).values()]
    target = np.tile([MARK[0] + 0.1, MARK[1]], (n, 1))
    values = np.concatenate([np.stack(columns, -1), target], 1)
    return Task(FAMILY.task_names, values, np.arange(n))


def at_mark(task: Task, place: Array = MARK, yaw: float = 0.0) -> Start:
    """Objects at a place, turned by a yaw."""
    n = len(task)
    height = task.columns("object.size_z")
    quat = np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
    return Start(
        q=np.tile(FAMILY.ready, (n, 1)),
        object_pos=np.concatenate([np.tile(place, (n, 1)), height], 1),
        object_quat=np.tile(quat, (n, 1)),
    )


def action_of(offset: Array, direction: Array, end: Array) -> Array:
    """Actions (n, 3) that ask for pushes in m and rad, (n,) each."""
    spec = FAMILY.action.spec
    values = np.stack([offset, direction, end], -1)
    return np.asarray(2 * (values - spec.low) / (spec.high - spec.low) - 1)


def push(
    engine: str,
    task: Task,
    end: float,
    direction: float = 0.0,
) -> tuple[Array, Signals]:
    """Observations (n, o) and signals after pushes through the mark that end at x = ``end``."""
    n = len(task)
    world = VecWorld(FAMILY, engine, n, seed=0)
    world.reset(task, start=at_mark(task))
    action = action_of(np.zeros(n), np.full(n, direction), np.full(n, end))
    step = world.step(action)
    signals = world.signals
    world.close()
    return step.obs, signals


def yaws(obs: Array) -> Array:
    return np.asarray(np.arctan2(obs[:, SIN_YAW], obs[:, COS_YAW]))


@every_engine
def test_a_push_moves_the_object_to_where_the_tool_stops(engine: str) -> None:
    """A rough object, pushed toward its center of mass, neither turns nor slides on."""
    task = boxes(2, friction=0.8)
    end = MARK[0] + 0.05
    obs, signals = push(engine, task, end)
    expected = end + TIP + 0.04
    np.testing.assert_allclose(obs[:, OBJECT_X], expected, atol=0.008)
    np.testing.assert_allclose(obs[:, OBJECT_Y], 0.0, atol=0.005)
    np.testing.assert_allclose(yaws(obs), 0.0, atol=0.1)
    height = signals.object_pos[:, 2] - task["object.size_z"]
    assert np.abs(height).max() < 2e-3, "it lies flat"


@every_engine
def test_a_push_that_ends_before_the_object_leaves_it_where_it_is(engine: str) -> None:
    task = boxes(2)
    obs, _ = push(engine, task, MARK[0] - 0.08)
    np.testing.assert_allclose(obs[:, [OBJECT_X, OBJECT_Y]], [MARK, MARK], atol=1e-3)


@every_engine
def test_the_center_of_mass_decides_which_way_an_object_turns(engine: str) -> None:
    """The side that it lies on is held back by friction."""
    task = boxes(3, com_y=[-0.012, 0.0, 0.012])
    obs, _ = push(engine, task, MARK[0] + 0.02)
    right, middle, left = yaws(obs)
    assert right < -0.2
    assert abs(middle) < 0.1
    assert left > 0.2


@every_engine
def test_a_rough_object_is_dragged_sideways_and_a_slippery_one_less(engine: str) -> None:
    """By a tool that moves aslant: friction holds it to the face, or it slides along."""
    task = boxes(2, friction=[0.2, 0.8])
    obs, _ = push(engine, task, MARK[0], direction=0.45)
    slippery, rough = obs[:, OBJECT_Y]
    assert rough > slippery + 0.004


@every_engine
def test_mass_alone_hardly_matters(engine: str) -> None:
    """Friction and inertia both grow with it."""
    task = boxes(2, mass=[0.1, 0.5], com_y=0.005)
    obs, _ = push(engine, task, MARK[0] + 0.03)
    light, heavy = obs
    np.testing.assert_allclose(light[:2], heavy[:2], atol=0.01)


def many_pushes(engine: str, task: Task, family: Push = FAMILY) -> tuple[Array, Signals]:
    """The end of straight pushes at objects that all touch the tool, from the same starts."""
    n = len(task)
    world = VecWorld(family, engine, n, seed=3)
    rng = np.random.default_rng(3)
    world.reset(task)
    offset = rng.uniform(-0.02, 0.02, n)
    direction = rng.uniform(-0.2, 0.2, n)
    end = MARK[0] + rng.uniform(0.0, 0.1, n)
    step = world.step(action_of(offset, direction, end))
    signals = world.signals
    world.close()
    return step.obs, signals


def test_objects_come_to_about_the_same_pose_in_both_engines() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 24)
    in_mujoco, _ = many_pushes("mujoco", task)
    in_bullet, _ = many_pushes("bullet", task)
    distance = np.linalg.norm(in_mujoco[:, :2] - in_bullet[:, :2], axis=1)
    turned = np.abs(np.angle(np.exp(1j * (yaws(in_mujoco) - yaws(in_bullet)))))
    assert np.median(distance) < 0.01, "m"
    assert np.median(turned) < np.radians(8)
    assert np.corrcoef(yaws(in_mujoco), yaws(in_bullet))[0, 1] > 0.85


@every_engine
def test_an_episode_is_one_decision_that_ends_at_rest(engine: str) -> None:
    assert Push.horizon == 1
    task = FAMILY.sample(np.random.default_rng(1), 16)
    task = task.with_columns({"object.friction": np.full(16, 0.2)})
    _, signals = many_pushes(engine, task)
    assert np.abs(signals.object_vel[:, :2]).max() < 5e-3


def test_the_same_push_ends_in_about_the_same_pose_with_finer_steps() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 32)
    usual, _ = many_pushes("mujoco", task)
    fine, _ = many_pushes("mujoco", task, Finer())
    distance = np.linalg.norm(usual[:, :2] - fine[:, :2], axis=1)
    assert np.median(distance) < 0.003, "m"
    assert np.quantile(distance, 0.9) < 0.01


def test_what_a_push_asks_of_the_joints_follows_from_the_setpoint_alone() -> None:
    """Off its line back to the start, there sideways; on its line forward, and at its end not."""
    kinematics = Kinematics(FAMILY.body)
    rest = np.zeros((1, 7))
    q = FAMILY.ready[None]
    x, y, _ = kinematics.position(q)[0]
    far = q.copy()
    far[0, 3] += 0.2  # further from the base
    far_x = kinematics.position(far)[0, 0]
    assert far_x > x + 0.03
    cases = [
        (q, 0.03, MARK[0], (0.0, 0.3)),
        (q, y, MARK[0], (0.3, 0.0)),
        (far, 0.03, MARK[0], (-0.4, 0.0)),
        (far, y, far_x, (0.0, 0.0)),
    ]
    for setpoint, offset, end, expected in cases:
        action = action_of(np.array([offset]), np.zeros(1), np.array([end]))
        dq = FAMILY.action(action, Setpoint(setpoint, rest, rest))
        _, _, jacobian = kinematics.forward_jacobian(setpoint)
        np.testing.assert_allclose(jacobian[0, :2] @ dq[0], expected, atol=0.02)


def pose(x: float, y: float, yaw: float) -> Array:
    """The observation of an object at the target plus (x, y) m, turned by a yaw."""
    target_x = MARK[0] + 0.1
    target_y = MARK[1] + 0.02
    return np.array([target_x + x, target_y + y, np.sin(yaw), np.cos(yaw), target_x, target_y])


def test_the_reward_is_what_the_pose_gains() -> None:
    """By its formula, at poses whose errors are known."""
    before = pose(-0.1, 0.0, 0.0)
    worth_before = 0.5 * (1 - 0.1 / 0.2) + 0.5 / (1 + 5.0**2)
    quarter = 2 * np.sin(np.radians(7.5)) / np.radians(15)  # of the chord to the angle
    cases = [
        (pose(0.0, 0.0, 0.0), 1.0),
        (pose(0.02, 0.0, 0.0), 0.5 * 0.9 + 0.25),
        (pose(0.0, -0.02, 0.0), 0.5 * 0.9 + 0.25),
        (pose(0.0, 0.0, np.radians(15)), 0.5 * (1 - quarter / 10) + 0.5 / (1 + quarter**2)),
        (pose(5.0, 0.0, 2.0), 0.5 / (1 + 10.0**2)),
    ]
    for after, worth in cases:
        assert FAMILY.reward(before, None, after, None) == pytest.approx(worth - worth_before)
    assert FAMILY.reward(before, None, before, None) == 0.0


@pytest.mark.parametrize(
    ("x", "y", "degrees", "expected"),
    [
        (0.0, 0.0, 0.0, True),
        (0.013, -0.013, 14.0, True),
        (0.021, 0.0, 0.0, False),
        (0.0, -0.021, 0.0, False),
        (0.0, 0.0, 16.0, False),
        (0.0, 0.0, -16.0, False),
        (0.0, 0.0, 180.0, False),
    ],
)
def test_success_asks_for_place_and_yaw(x: float, y: float, degrees: float, expected: bool) -> None:
    obs = pose(x, y, np.radians(degrees))
    assert FAMILY.success(obs, None) == expected
    metrics = FAMILY.metrics(obs, None)
    assert metrics["distance_m"] == pytest.approx(np.hypot(x, y))
    assert metrics["yaw_rad"] == pytest.approx(2 * np.sin(np.radians(abs(degrees)) / 2))


def test_success_is_judged_at_the_end() -> None:
    """An object that was pushed across the target is not on it."""
    task = boxes(2)
    reached = MARK[0] + 0.1 - 0.04 - TIP  # where the tool has the object on the target
    world = VecWorld(FAMILY, "mujoco", 2, seed=0)
    world.reset(task, start=at_mark(task))
    passed = []
    world.on_frame = lambda world: passed.append(
        FAMILY.success(FAMILY.observe(world.signals), None)[1]
    )
    ends = np.array([reached, reached + 0.05])
    step = world.step(action_of(np.zeros(2), np.zeros(2), ends))
    world.close()
    assert any(passed)
    assert step.success.tolist() == [True, False]


def test_an_observation_tells_where_to_begin_again() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 6)
    world = VecWorld(FAMILY, "mujoco", 6, seed=0)
    obs = world.reset(task)
    estimated = task.with_columns({"object.shape": np.array([-1.7, 0.2, 1.9, 2.2, 3.6, 5.2])})
    simulated, start = FAMILY.state_of(obs, estimated)
    assert simulated["object.shape"].tolist() == [0, 0, 2, 2, 4, 4]
    np.testing.assert_allclose(world.reset(simulated, start=start), obs, atol=1e-9)
    world.close()


@pytest.mark.parametrize("arm", arms_for("push"))
def test_every_arm_pushes_an_object_to_the_furthest_target(arm: str) -> None:
    family = make_family("push", arm)
    assert isinstance(family, Push)
    n = 4
    task = boxes(n).with_columns({"marker.x": np.full(n, family.mark[0] + 0.14)})
    place = np.tile([*family.mark, 0.025], (n, 1))
    start = Start(np.tile(family.ready, (n, 1)), object_pos=place)
    world = VecWorld(family, "mujoco", n, seed=0)
    world.reset(task, start=start)
    step = world.step(np.tile([0.0, 0.0, 1.0], (n, 1)))
    tool = world.signals.tool_pos
    world.close()
    assert (step.obs[:, OBJECT_X] > step.obs[:, TARGET_X]).all()
    assert (np.abs(step.obs[:, OBJECT_Y]) < 0.03).all()
    assert np.abs(tool[:, 2] - 0.03).max() < 2e-3, "m: the tool stays at its height"
    assert (step.obs[:, TARGET_Y] == 0.0).all()
