"""What insert claims: forces obey statics, knowing the hole is enough, and guessing is not."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.insert_gap import drive, knowing, straight
from hw_interface.devices import check_scene
from robots.bodies import make_kinematics
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Signals, Verdict
from robots.upright_tool import UprightToolPosition
from robots.world import Task
from sim.engines import ENGINES
from sim.engines.base import Engine
from sim.families import arms_for, make_family
from sim.families.cheetah_goals import CheetahVel
from sim.families.insert import GUIDE, LARGEST_OFFSET, LOWEST, PEG_RADIUS, PRESS, WALL, Insert
from sim.families.splits import SPLITS
from sim.scene_model import compile_scene
from sim.twin import Twin
from sim.vec_world import VecWorld

every_engine = pytest.mark.parametrize("engine", ["mujoco", "bullet"])
every_arm = pytest.mark.parametrize("arm", arms_for("insert"))
INSERT = Insert()
ROUND = 0.0  # code of a peg's shape


def insert_with(arm: str) -> Insert:
    family = make_family("insert", arm)
    assert isinstance(family, Insert)
    return family


def hole_at(
    family: Insert, x: float, y: float, friction: float = 0.2, shape: float = ROUND
) -> Task:
    """One task with a hole of 1 mm clearance, so far (m) from its supposed place."""
    middle = PEG_RADIUS + 0.001 + WALL
    center_x, center_y, _ = family.touch
    walls = [x + center_x - middle, x + center_x + middle]
    walls += [y + center_y - middle, y + center_y + middle]
    return Task(family.task_names, np.array([[*walls, friction, shape]]), np.arange(1))


def send(family: Insert, world: VecWorld, places: Array) -> list[Signals]:
    """The signals after each decision.

    Args:
        family: with its action map.
        world: n tasks.
        places: (k, 3) m, targets as in the observation, the same in every task.
    """
    measured = []
    low = family.obs.low[:3]
    high = family.obs.high[:3]
    for place in places:
        action = (2 * place - low - high) / (high - low)
        world.step(np.tile(action, (world.n, 1)))
        measured.append(world.signals)
    return measured


@every_engine
@every_arm
def test_a_peg_that_presses_is_in_balance_with_its_springs(engine: str, arm: str) -> None:
    """K·(setpoint - q) = Jᵀ·wrench, as for any arm at rest whose own weight is compensated."""
    family = insert_with(arm)
    world = VecWorld(family, engine, n=1, seed=0)
    world.reset(hole_at(family, LARGEST_OFFSET, LARGEST_OFFSET))
    *_, last = send(family, world, np.tile([-0.01, -0.01, -LOWEST], (30, 1)))
    springs = family.body.stiffness * (world.gate.setpoint.q - last.q)[0]
    jacobian = Kinematics(family.body).jacobian(last.q)[0]
    assert last.wrench is not None
    of_wrench = jacobian.T @ last.wrench[0]
    np.testing.assert_allclose(of_wrench, springs, atol=0.05 * np.abs(springs).max())
    down = -last.wrench[0, 2]
    assert 0.2 * PRESS * family.limits.force < down < family.limits.force
    assert not (last.wrench[0] == 0).any()
    world.close()


@every_engine
def test_a_peg_that_slides_is_held_back_by_coulombs_friction(engine: str) -> None:
    friction = 0.3
    world = VecWorld(INSERT, engine, n=1, seed=0)
    world.reset(hole_at(INSERT, -LARGEST_OFFSET, LARGEST_OFFSET, friction))
    send(INSERT, world, np.tile([-0.01, -0.02, -0.005], (15, 1)))
    forward = np.linspace(-0.01, 0.02, 8)
    path = np.stack([forward, np.full(8, -0.02), np.full(8, -0.005)], -1)
    touching = 0
    for signals in send(INSERT, world, path)[2:]:
        assert signals.wrench is not None
        x, y, z = signals.wrench[0, :3]
        if z > -0.5:  # N: the peg chatters
            continue
        touching += 1
        assert signals.tool_vel[0, 0] > 0.005  # m/s
        assert x > 0  # the peg pushes the rim forward
        assert np.hypot(x, y) == pytest.approx(friction * -z, rel=0.05)
    assert touching >= 2
    world.close()


@every_engine
def test_a_peg_in_the_air_feels_nothing(engine: str) -> None:
    world = VecWorld(INSERT, engine, n=1, seed=0)
    world.reset(hole_at(INSERT, 0.0, 0.0))
    *_, last = send(INSERT, world, np.tile([0.01, 0.0, 0.01], (4, 1)))
    np.testing.assert_allclose(last.wrench, 0.0, atol=1e-9)
    world.close()


@pytest.mark.parametrize(
    ("arm", "engine", "n"),
    [(arm, "mujoco", 48) for arm in arms_for("insert")] + [("panda", "bullet", 12)],
)
def test_knowing_the_hole_is_enough_and_guessing_is_not(arm: str, engine: str, n: int) -> None:
    family = insert_with(arm)
    knows, _, _ = drive(family, engine, n, "heldout", knowing)
    guesses, _, force = drive(family, engine, n, "heldout", straight)
    assert knows.mean() >= 0.9
    assert guesses.mean() <= 0.3
    assert force.max() < family.limits.force


def test_the_outcome_does_not_depend_on_the_time_step() -> None:
    finer = Insert()
    finer.scene = finer.scene.with_timestep(INSERT.scene.timestep / 2)
    for kind in (knowing, straight):
        usual, time, _ = drive(INSERT, "mujoco", 24, "train", kind)
        fine, fine_time, _ = drive(finer, "mujoco", 24, "train", kind)
        assert (usual == fine).mean() > 0.95
        both = usual & fine
        if both.any():
            apart = np.abs(time[both] - fine_time[both])
            assert np.median(apart) <= INSERT.dt * INSERT.action_repeat


@every_engine
def test_a_hole_is_where_its_task_has_it(engine: str) -> None:
    """The same motion inserts the peg into one hole and not into another; then the other way."""
    world = VecWorld(INSERT, engine, n=2, seed=0)
    here = hole_at(INSERT, 0.01, -0.005)
    elsewhere = hole_at(INSERT, -0.01, 0.005)
    for tasks, expected in (((here, elsewhere), [True, False]), ((elsewhere, here), [False, True])):
        values = np.concatenate([task.values for task in tasks])
        task = Task(INSERT.task_names, values, np.arange(2))
        world.reset(task)
        send_above = np.tile([0.01, -0.005, 0.005], (5, 1))
        send_down = np.tile([0.01, -0.005, -LOWEST], (6, 1))
        *_, last = send(INSERT, world, np.concatenate([send_above, send_down]))
        assert INSERT.success(INSERT.observe(last), task.values).tolist() == expected
    world.close()


@every_engine
def test_what_a_task_does_not_say_of_a_fixture_is_as_the_scene_has_it(engine: str) -> None:
    """The supposed hole is open again after a task that had closed it."""
    loaded: Engine = ENGINES[engine]()
    loaded.load(INSERT.scene, 1)
    nothing = Task((), np.zeros((1, 0)), np.arange(1))
    closed = Task(("fixture.left.x",), INSERT.touch[None, :1], np.arange(1))
    depths = []
    for task in (nothing, closed, nothing):
        loaded.write(task)
        loaded.reset(INSERT.start(np.random.default_rng(0), task))
        loaded.run(_downward(0.02, 400), 1)
        depths.append(INSERT.touch[2] - loaded.read().tool_pos[0, 2])
    loaded.close()
    assert depths[1] < 0.001
    np.testing.assert_allclose(depths[::2], 0.02 - 0.015, atol=1e-3)


def _downward(distance: float, ticks: int) -> Setpoint:
    """The setpoint of an arm whose tool is to be lower than at the start, m."""
    kinematics = Kinematics(INSERT.body)
    q = INSERT.ready[None].copy()
    goal = kinematics.forward(q)[0] - [[0.0, 0.0, distance]]
    for _ in range(50):
        pos, rotation, jacobian = kinematics.forward_jacobian(q)
        tilt = np.cross(rotation @ INSERT.body.peg_axis, [0.0, 0.0, -1.0])
        error = np.concatenate([goal - pos, tilt], 1)[0]
        q = q + np.linalg.lstsq(jacobian[0], error, rcond=None)[0]
    all_ticks = np.tile(q, (ticks, 1, 1))
    return Setpoint(all_ticks, np.zeros_like(all_ticks), np.zeros_like(all_ticks))


@every_engine
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fixture.left.w", 0.1),
        ("fixture.lid.x", 0.1),
        ("fixture.left", 0.1),
        ("fixture.friction", -0.1),
    ],
)
def test_what_a_fixture_does_not_have_is_refused(engine: str, name: str, value: float) -> None:
    loaded = ENGINES[engine]()
    loaded.load(INSERT.scene, 1)
    with pytest.raises(BadArgumentError, match="fixture"):
        loaded.write(Task((name,), np.array([[value]]), np.arange(1)))
    loaded.close()


def test_a_body_without_a_tool_has_no_wrench() -> None:
    with pytest.raises(BadArgumentError, match="without a tool"):
        compile_scene(replace(CheetahVel().scene, measures_wrench=True))


def test_a_driver_without_a_force_sensor_is_refused() -> None:
    check_scene(INSERT.scene, Twin.capabilities)
    with pytest.raises(BadArgumentError, match="force at the tool"):
        check_scene(INSERT.scene, replace(Twin.capabilities, wrench=False))


@every_arm
def test_the_peg_stays_upright_on_its_way(arm: str) -> None:
    family = insert_with(arm)
    kinematics = make_kinematics(family.body)
    assert kinematics is not None
    assert isinstance(family.action, UprightToolPosition)
    rng = np.random.default_rng(0)
    world = VecWorld(family, n=16, seed=0)
    world.reset(family.sample(rng, 16))
    for _ in range(family.horizon):
        step = world.step(rng.choice([-1.0, 1.0], (16, 3)))
        assert not (step.verdict & int(Verdict.DROPPED)).any()
        _, rotation, _ = kinematics.forward_jacobian(world.gate.setpoint.q)
        pointing = rotation @ family.body.peg_axis
        tilt = np.hypot(pointing[:, 0], pointing[:, 1])
        assert tilt.max() < 2e-3  # rad: 0.02 mm at the depth of an inserted peg
    world.close()


def test_a_tilted_tool_is_turned_upright() -> None:
    kinematics = Kinematics(INSERT.body)
    q = INSERT.ready[None].copy()
    q[0, 5] += 0.2
    for _ in range(300):
        dq = INSERT.action(np.zeros((1, 3)), Setpoint(q, np.zeros_like(q), np.zeros_like(q)))
        q = q + 0.01 * dq
    _, rotation, _ = kinematics.forward_jacobian(q)
    np.testing.assert_allclose(rotation[0] @ INSERT.body.peg_axis, [0.0, 0.0, -1.0], atol=1e-3)


def test_training_sees_the_hole_and_the_reward_only_the_depth() -> None:
    rng = np.random.default_rng(0)
    task = INSERT.sample(rng, 50).values
    x, y = INSERT.hole(task)
    obs = np.zeros((50, len(INSERT.obs)))
    obs[:, 2] = -0.5 * INSERT.full_depth
    np.testing.assert_allclose(INSERT.reward(obs, None, obs, task), 0.5)
    dense = INSERT.training_reward
    expected = 0.5 - GUIDE * np.sqrt(x**2 + y**2 + 0.005**2)
    np.testing.assert_allclose(dense(obs, None, obs, task), expected)
    assert np.abs(np.stack([x, y])).max() <= LARGEST_OFFSET
    assert np.isnan(INSERT.marker(INSERT.sample(rng, 2))).all()


def test_held_out_holes_combine_halves_of_the_ranges_as_no_training_hole_does() -> None:
    combinations = {}
    for split in SPLITS:
        task = INSERT.sample(np.random.default_rng(0), 3000, split).values
        x, y = INSERT.hole(task)
        clearance = (task[:, 1] - task[:, 0]) / 2 - WALL - PEG_RADIUS
        numbers = np.stack([x, y, clearance, task[:, 4]], -1)
        middles = [np.mean(parameter.train.numbers) for parameter in INSERT.own_parameters[1:]]
        halves = numbers > middles
        combinations[split] = set(map(tuple, halves.tolist()))
    assert len(combinations["train"]) == len(combinations["heldout"]) == 8
    assert combinations["train"].isdisjoint(combinations["heldout"])
