"""Ground that differs between tasks: ramps of boxes, and blocks that float on springs."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.mujoco_model import compile_model
from robots.scene import FLAT_OBJECT, Fixture, Scene, SceneObject
from robots.signals import Array, Setpoint, Torque
from robots.world import Start, Task
from sim.engines.bullet import BulletEngine
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.families.cheetah import CHEETAH, NUM_COORDINATES
from sim.families.cheetah_slope import NAMES, SLOPES
from sim.pier import BLOCKS, STIFFNESS, damping_name
from sim.rendering.arm import LOWER, fixture_shapes
from sim.scene_model import build_scene, compile_scene
from sim.slopes import slope_name

SLOPE_SCENE = FAMILIES["cheetah_slope"]().scene
PIER_SCENE = FAMILIES["cheetah_pier"]().scene
SUBSTEPS = 5
TICKS = 40


def ground_model(slopes: Array) -> mujoco.MjModel:
    """A model compiled with the boxes where they belong to slopes (18,), corner by corner."""
    spec = build_scene(SLOPE_SCENE)
    heights = np.concatenate([[0.0], np.cumsum(slopes)])  # each ramp is 1 m long
    for number, name in enumerate(NAMES):
        geom = spec.geom(name)
        along = np.array([1.0, 0.0, slopes[number]])
        length = np.linalg.norm(along)
        normal = np.array([-slopes[number], 0.0, 1.0]) / length
        middle = np.array([number + 0.5, 0.0, heights[number : number + 2].mean()])
        geom.pos = middle - 0.25 * normal
        axes = np.stack([along / length, (0.0, 1.0, 0.0), normal], 1)
        mujoco.mju_mat2Quat(geom.quat, axes.ravel())
        geom.size = [length / 2, 2.0, 0.25]
    spec.geom("flat_behind").pos[2] = heights[-1] - 0.25
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
        engine.write(Task(("fixture.ramp_18.slope",), np.zeros((1, 1)), np.arange(1)))
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


def test_ramps_are_drawn_where_they_are_simulated() -> None:
    slopes = steep_and_random()[1]
    model = ground_model(slopes)
    task = dict(zip(SLOPES, slopes.tolist(), strict=True))
    shapes = fixture_shapes(task, SLOPE_SCENE.fixtures)
    for number, shape in enumerate(shapes):
        geom = model.geom(SLOPE_SCENE.fixtures[number].name)
        lowered = geom.pos - (0, 0, number * LOWER)
        np.testing.assert_allclose(shape.pose[:3, 3], lowered, atol=1e-9)
        np.testing.assert_allclose(shape.size, 2 * geom.size, atol=1e-9)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, geom.quat)
        np.testing.assert_allclose(shape.pose[:3, :3].ravel(), turn, atol=1e-9)


@pytest.mark.parametrize(
    "fixtures",
    [
        (Fixture("a", "box", (1, 1, 1), after="b"), Fixture("b", "box", (1, 1, 1))),
        (Fixture("a", "cylinder", (1, 1)), Fixture("b", "box", (1, 1, 1), after="a")),
    ],
    ids=["later", "cylinder"],
)
def test_a_box_follows_an_earlier_box_only(fixtures: tuple[Fixture, ...]) -> None:
    with pytest.raises(BadArgumentError, match="before it"):
        Scene(SLOPE_SCENE.body, fixtures=fixtures)


def test_what_is_no_level_box_follows_no_slope() -> None:
    with pytest.raises(BadArgumentError, match="not turned"):
        Fixture("a", "box", (1, 1, 1), quat=(0.0, 0.0, 0.0, 1.0), after="b")
    with pytest.raises(BadArgumentError, match="not turned"):
        Fixture("a", "plane", after="b")


def test_pybullet_refuses_to_tilt_a_fixture() -> None:
    table = Fixture("table", "box", (1.0, 1.0, 0.1), (0.0, 0.0, -0.1), touches_body=False)
    arm = FAMILIES["reach"]().body
    engine = BulletEngine()
    engine.load(Scene(arm, (FLAT_OBJECT,), (table,)), 1)
    with pytest.raises(BadArgumentError, match=r"fixture\.table\.slope"):
        engine.write(Task((slope_name("table"),), np.zeros((1, 1)), np.arange(1)))
    engine.close()


def test_an_object_slides_down_a_tilted_table_as_its_friction_lets_it() -> None:
    slope = 0.5
    frictions = np.array([0.2, 0.4, 0.6])  # of the object; at the last it stays
    table = Fixture("table", "box", (1.0, 1.0, 0.1), (0.0, 0.0, -0.1), touches_body=False)
    item = SceneObject("crate", "box", (0.05, 0.05, 0.02), friction=0.2)
    scene = Scene(FAMILIES["reach"]().body, (item,), (table,))
    n = len(frictions)
    engine = MujocoEngine()
    engine.load(scene, n)
    values = np.stack([np.full(n, slope), frictions], 1)
    engine.write(Task((slope_name("table"), "crate.friction"), values, np.arange(n)))
    angle = np.arctan(slope)
    normal = np.array([-np.sin(angle), 0.0, np.cos(angle)])
    above = np.array([0.5, 0.0, slope * 1.5]) + 0.02 * normal  # the near edge is at x = -1, z = 0
    quat = np.array([np.cos(angle / 2), 0.0, -np.sin(angle / 2), 0.0])
    start = Start(
        np.repeat(scene.body.home[None], n, 0),
        object_pos=np.repeat(above[None], n, 0),
        object_quat=np.repeat(quat[None], n, 0),
    )
    engine.reset(start)
    seconds = 0.4
    hold = Setpoint(*(np.zeros((1, n, len(scene.body.joints))) for _ in range(3)))
    hold = replace(hold, q=hold.q + scene.body.home)
    engine.run(hold, round(seconds / scene.timestep))
    way = np.linalg.norm(engine.read().object_pos - above, axis=1)
    engine.close()
    pull = 9.81 * (np.sin(angle) - frictions * np.cos(angle))
    expected = np.maximum(pull, 0.0) * seconds**2 / 2
    np.testing.assert_allclose(way, expected, atol=0.012)


def test_a_geom_that_is_left_out_must_exist() -> None:
    body = replace(SLOPE_SCENE.body, left_out=("ceiling",))
    with pytest.raises(BadArgumentError, match="no geom 'ceiling'"):
        compile_scene(Scene(body))
