"""Scenes of several objects and fixtures, in every engine that carries objects."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from robots.catalog.panda import PANDA
from robots.scene import FLAT_OBJECT, TABLE, Fixture, Scene, SceneObject
from robots.signals import Array, Pose, Setpoint, Signals
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.engines.base import Engine
from sim.families.slide import Slide
from sim.vec_world import VecWorld

ANGLE = 0.3  # rad, of the slope; its tangent is 0.31
DOWN = (np.cos(ANGLE / 2), 0.0, np.sin(ANGLE / 2), 0.0)  # it falls along x
STEPPED = 0.004  # s
SCENE = Scene(
    PANDA,
    objects=(
        SceneObject("cube", "box", (0.03, 0.03, 0.03), position=(0.5, 0.5, 0.03)),
        SceneObject("ball", "sphere", (0.04,), position=(-0.5, 0.02, 0.3)),
        SceneObject("pill", "capsule", (0.02, 0.05), position=(-0.5, 0.0, 0.07)),
    ),
    fixtures=(
        TABLE,
        Fixture("slope", "box", (0.3, 0.3, 0.05), (0.6, 0.6, 0.2), DOWN),
    ),
    timestep=STEPPED,
)
CARRIERS = sorted(name for name in ENGINES if ENGINES[name].supports(SCENE))
every_engine = pytest.mark.parametrize("engine_name", CARRIERS)


@dataclass(frozen=True)
class World:
    """One engine with n worlds of the scene, and where they begin."""

    engine: Engine
    start: Start

    def run(self, seconds: float) -> Signals:
        """The arm stands still for some time."""
        ticks = round(seconds / STEPPED)
        q = np.repeat(self.start.q[None], ticks, 0)
        zero = np.zeros_like(q)
        self.engine.run(Setpoint(q, zero, zero), 1)
        return self.engine.read()


def begin(engine_name: str, *tasks: dict[str, float], scene: Scene = SCENE) -> World:
    """The scene with the cube on the slope, as each task has it."""
    n = len(tasks)
    names = tuple(tasks[0])
    values = np.array([list(task.values()) for task in tasks])
    engine: Engine = ENGINES[engine_name]()
    engine.load(scene, n)
    engine.write(Task(names, values, np.arange(n)))
    above = 0.05 + 0.03 + 0.0005  # m, from the middle of the slope; 0.5 mm of air
    forward = above * np.sin(ANGLE)
    up = above * np.cos(ANGLE)
    on_slope = np.array([0.6 + forward, 0.6, 0.2 + up])
    cube = Pose(repeated(on_slope, n), repeated(np.array(DOWN), n))
    start = Start(repeated(PANDA.home, n), objects={"cube": cube})
    engine.reset(start)
    return World(engine, start)


def repeated(row: Array, n: int) -> Array:
    """The same row in n worlds, (n, ...)."""
    return np.tile(row, (n, 1))


@every_engine
def test_objects_begin_where_the_start_or_else_the_scene_puts_them(engine_name: str) -> None:
    world = begin(engine_name, {})
    signals = world.engine.read()
    assert list(signals.objects) == ["cube", "ball", "pill"]
    assert world.start.objects is not None
    cube = world.start.objects["cube"]
    np.testing.assert_allclose(signals.objects["cube"].pos, cube.pos, atol=1e-9)
    np.testing.assert_allclose(signals.objects["cube"].quat, cube.quat, atol=1e-9)
    for item in SCENE.objects[1:]:
        np.testing.assert_allclose(signals.objects[item.name].pos, [item.position], atol=1e-9)
    np.testing.assert_array_equal(signals.object_pos, signals.objects["cube"].pos)
    np.testing.assert_array_equal(signals.object_quat, signals.objects["cube"].quat)
    np.testing.assert_array_equal(signals.object_vel, signals.objects["cube"].vel)
    taken = signals.take(np.array([0]))
    np.testing.assert_array_equal(taken.objects["pill"].pos, signals.objects["pill"].pos)
    world.engine.close()


@every_engine
def test_a_cube_stays_on_a_slope_or_slides_as_its_friction_says(engine_name: str) -> None:
    world = begin(engine_name, {"cube.friction": 0.4}, {"cube.friction": 0.1})
    world.run(0.1)
    before = world.engine.read().objects["cube"]
    after = world.run(0.2).objects["cube"]
    speed = np.linalg.norm(after.vel[:, :3], axis=1)
    assert speed[0] < 0.02
    # Coulomb: g · (sin - friction · cos)
    acceleration = 9.81 * (np.sin(ANGLE) - 0.1 * np.cos(ANGLE))
    gained = speed[1] - np.linalg.norm(before.vel[1, :3])
    assert gained == pytest.approx(acceleration * 0.2, rel=0.05)
    world.engine.close()


@every_engine
def test_a_fixtures_friction_is_a_factor(engine_name: str) -> None:
    ice = replace(SCENE.fixtures[1], friction=0.0)
    world = begin(engine_name, {"cube.friction": 0.4}, scene=replace(SCENE, fixtures=(TABLE, ice)))
    speed = np.linalg.norm(world.run(0.2).objects["cube"].vel[0, :3])
    assert speed == pytest.approx(9.81 * np.sin(ANGLE) * 0.2, rel=0.1)
    world.engine.close()


@every_engine
def test_objects_touch_each_other_and_come_to_rest_on_the_table(engine_name: str) -> None:
    """The ball falls on the pill, which stands, and both end on the table."""
    world = begin(engine_name, {"pill.friction": 0.5})
    signals = world.run(0.15)
    assert signals.objects["ball"].pos[0, 2] > 0.12, "the pill is under it"
    signals = world.run(2.5)
    assert signals.objects["ball"].pos[0, 2] == pytest.approx(0.04, abs=2e-3)
    assert signals.objects["pill"].pos[0, 2] == pytest.approx(0.02, abs=2e-3)
    world.engine.close()


@every_engine
@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("ball.mass", (0.1, 1.0)),
        ("ball.radius", (0.03, 0.05)),
        ("ball.com_x", (0.0, 0.01)),
        ("pill.half_length", (0.03, 0.05)),
        ("pill.radius", (0.02, 0.03)),
        ("cube.mass", (0.1, 1.0)),
        ("cube.friction", (0.05, 0.2)),
        ("cube.size_z", (0.025, 0.03)),
        ("cube.com_x", (0.0, 0.02)),
    ],
)
def test_each_parameter_changes_its_object(
    engine_name: str, parameter: str, values: tuple[float, float]
) -> None:
    world = begin(engine_name, *({parameter: value} for value in values))
    name, _, what = parameter.partition(".")
    if what == "mass":  # alone on a slope it changes nothing
        world.engine.reset(replace(world.start, objects=cube_over_ball()))
    motion = world.run(0.6).objects[name]
    one, other = motion.pos
    assert np.abs(one - other).max() > 1e-4
    world.engine.close()


def cube_over_ball() -> dict[str, Pose]:
    """The cube above the side of the ball, which lies on the table."""
    places = {"cube": [0.53, -0.5, 0.2], "ball": [0.5, -0.5, 0.04]}
    return {name: Pose(np.tile(np.array(place), (2, 1))) for name, place in places.items()}


@every_engine
def test_the_same_calls_give_the_same_numbers_in_every_world(engine_name: str) -> None:
    tasks = [{"ball.mass": mass} for mass in (0.2, 0.4)]
    together = states(begin(engine_name, *tasks))
    again = states(begin(engine_name, *tasks))
    alone = states(begin(engine_name, tasks[1]))
    np.testing.assert_array_equal(together, again)
    np.testing.assert_array_equal(together[1:], alone)


def states(world: World) -> Array:
    """Positions and quaternions of all objects after a second, (n, 21)."""
    motions = world.run(1.0).objects.values()
    world.engine.close()
    return np.concatenate([np.c_[motion.pos, motion.quat] for motion in motions], 1)


class Crowded(Slide):
    """Slide with a heavy, dull object far away, which is the scene's first."""

    def __init__(self) -> None:
        super().__init__()
        far = SceneObject("far", "box", (0.05, 0.05, 0.05), mass=5.0, restitution=0.0)
        far = replace(far, position=(-0.5, 0.5, 0.05))
        self.scene = replace(self.scene, objects=(far, FLAT_OBJECT))

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        alone = super().start(rng, task)
        assert alone.object_pos is not None
        placed = Pose(alone.object_pos, alone.object_quat)
        return Start(alone.q, objects={"object": placed})


@every_engine
def test_a_blow_does_not_depend_on_an_object_far_away(engine_name: str) -> None:
    """PyBullet has one spring for each striking link: that of the object next to it."""
    ends = []
    for family in (Slide(), Crowded()):
        task = family.sample(np.random.default_rng(0), 3)
        world = VecWorld(family, engine_name, 3, seed=0)
        world.reset(task)
        world.step(np.tile([0.4, 0.0], (3, 1)))
        ends.append(world.signals.objects["object"].pos[:, :2])
        world.close()
    alone, crowded = ends
    assert (alone[:, 0] > 0.6).all()
    np.testing.assert_allclose(crowded, alone, atol=0.005)  # m
