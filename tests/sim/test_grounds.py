"""Ground that differs between tasks: ramps of boxes, and blocks that float on springs."""

import mujoco
import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model
from robots.signals import Array, Torque
from robots.world import Start, Task
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.families.cheetah import CHEETAH, NUM_COORDINATES
from sim.pier import BLOCKS, STIFFNESS, damping_name
from sim.ramps import BOXES, SLOPES, boxes
from sim.scene_model import build_scene, compile_scene

SLOPE_SCENE = FAMILIES["cheetah_slope"]().scene
PIER_SCENE = FAMILIES["cheetah_pier"]().scene
SUBSTEPS = 5
TICKS = 60


def ground_model(slopes: Array) -> mujoco.MjModel:
    """A model compiled with the boxes where they belong to slopes (18,)."""
    spec = build_scene(SLOPE_SCENE)
    ground = boxes(slopes[None])
    for number, name in enumerate(BOXES):
        geom = spec.geom(name)
        geom.pos = ground.pos[0, number]
        geom.quat = ground.quat[0, number]
        geom.size = ground.size[0, number]
    return compile_model(spec)


def steep_and_random() -> Array:
    """Slopes of two tasks, (2, 18)."""
    rng = np.random.default_rng(0)
    return np.stack([np.full(len(SLOPES), 4 / 18), rng.uniform(-0.4, 0.4, len(SLOPES))])


@pytest.mark.parametrize("slopes", steep_and_random(), ids=["steep", "random"])
def test_the_upper_faces_of_the_boxes_are_the_ground(slopes: Array) -> None:
    model = ground_model(slopes)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    down = np.array([0.0, 0.0, -1.0])
    corners = np.concatenate([[0.0], np.cumsum(slopes)])
    for x in np.linspace(-4.013, 24.013, 200):
        above = np.array([x, 1.0, 10.0])  # beside the cheetah
        distance = mujoco.mj_ray(model, data, above, down, None, 1, -1, np.zeros(1, np.int32))
        assert 10 - distance == pytest.approx(np.interp(x, np.arange(19), corners), abs=1e-9)


def run(scene_task: Task, engine: MujocoEngine, start: Start, torque: Array) -> Array:
    """The positions after every tick, (k, n, 9)."""
    engine.write(scene_task)
    engine.reset(start)
    seen = []
    for tick in torque:
        engine.run(Torque(tick[None]), SUBSTEPS)
        seen.append(engine.read().q)
    return np.stack(seen)


def test_a_cheetah_runs_over_the_ramps_as_in_a_model_that_is_compiled_with_them() -> None:
    slopes = steep_and_random()
    rng = np.random.default_rng(1)
    torque = rng.uniform(-1, 1, (TICKS, 2, 6)) * CHEETAH.limits.tau
    q = np.zeros((2, NUM_COORDINATES))
    q[:, 0] = (3.0, 8.0)  # m, in the middle of the ramps
    q[:, 1] = 2.0
    engine = MujocoEngine()
    engine.load(SLOPE_SCENE, 2)
    seen = run(Task(SLOPES, slopes, np.arange(2)), engine, Start(q), torque)
    engine.close()
    for i in range(2):
        model = ground_model(slopes[i])
        data = mujoco.MjData(model)
        data.qpos[:] = q[i]
        for k in range(TICKS):
            data.ctrl[:] = torque[k, i] / CHEETAH.limits.tau
            mujoco.mj_step(model, data, SUBSTEPS)
            np.testing.assert_allclose(seen[k, i], data.qpos, rtol=0, atol=1e-9)
    assert seen[-1, 0, 1] > -0.5  # it lies on the ground and has not fallen through


def test_a_slope_that_is_not_a_number_or_no_ramp_is_refused() -> None:
    engine = MujocoEngine()
    engine.load(SLOPE_SCENE, 1)
    with pytest.raises(BadArgumentError, match="must be finite"):
        engine.write(Task(SLOPES[:1], np.array([[np.nan]]), np.arange(1)))
    with pytest.raises(BadArgumentError, match="ramp_18"):
        engine.write(Task(("geom.ramp_18.slope",), np.zeros((1, 1)), np.arange(1)))
    flat = MujocoEngine()
    flat.load(FAMILIES["cheetah_vel"]().scene, 1)
    with pytest.raises(BadArgumentError, match="ramp_0"):
        flat.write(Task(SLOPES[:1], np.zeros((1, 1)), np.arange(1)))


def test_a_block_moves_as_its_spring_and_its_damping_say() -> None:
    model = compile_scene(PIER_SCENE)
    assert model.body_mass.sum() == pytest.approx(14.0)
    last = len(BLOCKS) - 1  # far from the cheetah
    joint = model.joint(f"block_{last}")
    mass = model.body(f"block_{last}").mass[0] + model.dof_armature[joint.dofadr[0]]
    weight = 9.81 * model.body(f"block_{last}").mass[0]
    dampings = np.array([5.0, 7.0, 9.0])  # none goes as far as its stop
    n = len(dampings)
    engine = MujocoEngine()
    engine.load(PIER_SCENE, n)
    engine.write(Task((damping_name(last),), dampings[:, None], np.arange(n)))
    q = np.zeros((n, NUM_COORDINATES))
    engine.reset(Start(q))
    height = engine.batch.bind("qpos")
    x = np.zeros(n)
    v = np.zeros(n)
    dt = PIER_SCENE.timestep
    for _ in range(40):
        engine.run(Torque(np.zeros((1, n, 6))), 1)
        # MuJoCo's Euler steps are implicit in damping
        v = (v + dt * (-STIFFNESS * x - weight) / mass) / (1 + dt * dampings / mass)
        x = x + dt * v
        np.testing.assert_allclose(height[:, joint.qposadr[0]], x, rtol=0, atol=1e-9)
    assert np.ptp(x) > 0.01
    engine.close()


def test_a_damping_that_is_negative_is_refused() -> None:
    engine = MujocoEngine()
    engine.load(PIER_SCENE, 1)
    with pytest.raises(BadArgumentError, match="not negative"):
        engine.write(Task((damping_name(0),), np.array([[-1.0]]), np.arange(1)))
