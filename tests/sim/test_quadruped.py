"""dm_control's quadruped at a commanded velocity, on slopes and with payloads."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Torque
from robots.world import Start, Task
from sim.engines.suite import SuiteEngine
from sim.families.quadruped_vel import (
    BUMPS,
    GROUND,
    HEIGHT,
    LEGS,
    MOTORS,
    OBS,
    ROUGHNESS,
    QuadrupedVel,
)
from sim.suite.body import suite_body
from sim.suite.control_task import ControlTask
from sim.suite.factors import SLOPE_X, SLOPE_Y, density_name
from sim.suite.grounds import model_with_fixtures

FAMILY = QuadrupedVel()
GRAVITY = 9.81


def test_gravity_pulls_down_the_slope() -> None:
    slopes = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, -0.1]])
    n = len(slopes)
    engine = SuiteEngine()
    engine.load(FAMILY.scene, n)
    engine.write(Task((SLOPE_X, SLOPE_Y), slopes, np.arange(n)))
    q = np.zeros((n, 23))
    q[:, 2] = 50.0  # it falls, and touches nothing
    q[:, 3] = 1.0
    engine.reset(Start(q))
    engine.run(Torque(np.zeros((1, n, 12))), 40)
    fallen = engine.read().q[:, :3] - q[:, :3]
    engine.close()
    down = fallen / np.linalg.norm(fallen, axis=1, keepdims=True)
    for axis in range(2):
        angle = np.arctan(slopes[:, axis])
        np.testing.assert_allclose(down[:, axis], -np.sin(angle), atol=2e-3)
    length = np.linalg.norm(fallen, axis=1)  # of the torso, whose legs hardly move
    np.testing.assert_allclose(length, GRAVITY * 0.2**2 / 2, rtol=0.05)


def test_a_slope_that_is_not_a_number_is_refused() -> None:
    engine = SuiteEngine()
    engine.load(FAMILY.scene, 1)
    with pytest.raises(BadArgumentError, match="slope"):
        engine.write(Task((SLOPE_X,), np.array([[np.nan]]), np.arange(1)))


def test_a_payload_presses_the_torso_down() -> None:
    engine = SuiteEngine()
    engine.load(FAMILY.scene, 2)
    engine.write(Task((density_name("torso"),), np.array([[1.0], [1.5]]), np.arange(2)))
    q = np.zeros((2, 23))
    q[:, 2] = HEIGHT
    q[:, 3] = 1.0
    engine.reset(Start(q))
    engine.run(Torque(np.zeros((1, 2, 12))), 600)
    light, heavy = engine.read().q[:, 2]
    engine.close()
    assert 0.4 < heavy < light - 0.002


def test_the_motors_of_a_leg_have_its_strength() -> None:
    task = FAMILY.sample(np.random.default_rng(0), 3, "heldout")
    n = 2 * len(task)
    engine = SuiteEngine()
    engine.load(FAMILY.scene, n)
    healthy = task.values.copy()
    motors = [task.names.index(f"actuator.{motor}") for motor in MOTORS]
    healthy[:, motors] = 1.0
    engine.write(Task(task.names, np.concatenate([task.values, healthy]), np.arange(n)))
    q = np.zeros((n, 23))
    q[:, 2] = 50.0  # in the air
    q[:, 3] = 1.0
    engine.reset(Start(q))
    engine.run(Torque(np.ones((1, n, 12))), 2)  # so short that the legs have hardly moved
    weak, full = np.split(engine.read().tau, 2)
    engine.close()
    for leg in LEGS:
        strength = task[f"actuator.yaw_{leg}"][:, None]
        motors = [MOTORS.index(f"{part}_{leg}") for part in ("yaw", "lift", "extend")]
        assert (full[:, motors] != 0).all()
        np.testing.assert_allclose(weak[:, motors], strength * full[:, motors], rtol=0.01)


def test_a_reward_is_the_command_that_is_kept_less_the_effort() -> None:
    obs = np.zeros(len(OBS))
    obs[OBS.index("quat.w")] = 1.0
    velocity = OBS.indices(["forward.velocity", "left.velocity"])
    command = OBS.indices(["command.forward", "command.left"])
    obs[velocity] = (0.5, 0.1)
    obs[command] = (0.8, -0.3)
    action = np.full(12, 0.5)
    task = np.zeros(len(FAMILY.task_names))
    expected = np.exp(-(0.3**2 + 0.4**2) / 0.25) - 0.005 * 12 * 0.25
    assert FAMILY.reward(obs, action, obs, task) == pytest.approx(expected)
    assert not FAMILY.success(obs, task)
    obs[velocity] = (0.8, -0.3)
    assert FAMILY.success(obs, task)
    obs[OBS.index("quat.w")] = 0.0
    obs[OBS.index("quat.x")] = 1.0  # on its back
    assert FAMILY.reward(obs, 0 * action, obs, task) == pytest.approx(0.0)
    assert not FAMILY.success(obs, task)


def lifted(roughness: float) -> mujoco.MjModel:
    """dm_control's model with the field compiled where a roughness has it."""
    x, y, _ = GROUND.position
    field = replace(GROUND, position=(x, y, roughness))
    return model_with_fixtures("quadruped-walk", (field,))


def ground_below(model: mujoco.MjModel, x: float, y: float) -> float:
    """The height of the ground at a place, m, by a ray from above."""
    data = mujoco.MjData(model)
    data.qpos[0] = 100.0  # the quadruped is elsewhere
    mujoco.mj_forward(model, data)
    above = np.array([x, y, 5.0])
    down = np.array([0.0, 0.0, -1.0])
    hit = np.zeros(1, np.int32)
    return 5.0 - mujoco.mj_ray(model, data, above, down, None, 1, -1, hit)


@pytest.mark.parametrize("roughness", [0.0, 0.05, BUMPS])
def test_the_ground_is_the_plane_and_what_rises_from_it(roughness: float) -> None:
    model = lifted(roughness)
    heights = GROUND.heights
    assert heights is not None
    rows, columns = heights.shape
    x = np.linspace(-6.0, 14.0, columns)
    y = np.linspace(-6.0, 6.0, rows)
    rng = np.random.default_rng(0)
    for row, column in rng.integers(1, (rows - 1, 150), (60, 2)):  # rays end with the drawn floor
        expected = max(0.0, heights[row, column] + roughness)
        height = ground_below(model, x[column] + 1e-7, y[row] + 1e-7)
        assert height == pytest.approx(expected, abs=1e-5)
    assert ground_below(model, 0.5, -0.5) == pytest.approx(0.0, abs=1e-9)  # where episodes begin


def walk(engine: SuiteEngine, task: Task, control: Array) -> Array:
    """Positions (k, n, 23) after every decision of k control signals (k, n, 12)."""
    q = np.zeros((len(task), 23))
    q[:, 0] = 4.0  # m, amid the bumps
    q[:, 2] = HEIGHT + BUMPS
    q[:, 3] = 1.0
    engine.write(task)
    engine.reset(Start(q))
    seen = []
    for signal in control:
        engine.run(Torque(signal[None]), 4)
        seen.append(engine.read().q)
    return np.stack(seen)


def test_a_quadruped_walks_over_bumps_as_in_a_model_that_is_compiled_with_them() -> None:
    roughness = np.array([0.0, 0.05, BUMPS])
    n = len(roughness)
    control = np.random.default_rng(0).uniform(-1, 1, (25, n, 12))
    engine = SuiteEngine()
    engine.load(FAMILY.scene, n)
    seen = walk(engine, Task((ROUGHNESS,), roughness[:, None], np.arange(n)), control)
    engine.close()
    models = [ControlTask("quadruped", "walk").model, *map(lifted, roughness[1:])]
    for i, model in enumerate(models):  # the first is dm_control's own
        data = mujoco.MjData(model)
        data.qpos[:] = 0.0
        data.qpos[:4] = (4.0, 0.0, HEIGHT + BUMPS, 1.0)
        for k, signal in enumerate(control[:, i]):
            data.ctrl[:] = signal
            mujoco.mj_step(model, data, 4)
            np.testing.assert_allclose(seen[k, i], data.qpos, rtol=0, atol=1e-7)
    assert abs(seen[-1, 1] - seen[-1, 2]).max() > 0.01


def test_only_bodies_whose_mjcf_is_at_hand_take_fixtures() -> None:
    cheetah: Body = suite_body("cheetah", "run", ("bthigh",))
    assert SuiteEngine.supports(Scene(cheetah))
    assert not SuiteEngine.supports(Scene(cheetah, fixtures=(GROUND,)))
