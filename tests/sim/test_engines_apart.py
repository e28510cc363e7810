"""Behavior of single engines that the contract of all of them does not ask for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mujoco.batch import SimulationError

from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.scene import FLAT_OBJECT, Scene
from robots.signals import Array, Mask, ObjectMotion, Setpoint, Signals
from robots.world import Start, Task
from sim import objects
from sim.engines.contact_steps import TIP, ContactSteps, impact_is_due
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.objects import part_kinds
from sim.outlines import SHAPES
from sim.scene_model import compile_scene
from sim.vec_world import VecWorld


def started(n: int, threads: int | None = None) -> tuple[MujocoEngine, Start]:
    family = FAMILIES["reach"]()
    rng = np.random.default_rng(0)
    engine = MujocoEngine(threads)
    engine.load(family.scene, n)
    task = family.sample(rng, n)
    start = family.start(rng, task)
    engine.write(task)
    engine.reset(start)
    return engine, start


def towards(start: Start, k: int) -> Setpoint:
    """Each world's joints move at a speed of their own; one tick, (1, n, j)."""
    speed = np.linspace(0.1, 0.3, len(start.q))[:, None] * np.ones(start.q.shape[1])
    q = start.q + 0.01 * (k + 1) * speed
    return Setpoint(q[None], speed[None], np.zeros_like(speed)[None])


def same(a: Signals, b: Signals, rows: slice = slice(None)) -> bool:
    return all(
        np.array_equal(getattr(a, k)[rows], getattr(b, k)[rows])
        for k in ("q", "dq", "tau", "tool_vel")
    )


def test_the_number_of_threads_changes_nothing_but_time() -> None:
    one, start = started(5, 1)
    three, _ = started(5, 3)
    for k in range(10):
        one.run(towards(start, k), 5)
        three.run(towards(start, k), 5)
        assert same(one.read(), three.read())


def test_reading_after_every_tick_or_after_many_gives_the_same() -> None:
    often, start = started(3)
    seldom, _ = started(3)
    for k in range(10):
        often.run(towards(start, k), 5)
        seldom.run(towards(start, k), 5)
        last = often.read()
    assert same(last, seldom.read())


def test_a_reset_of_one_world_leaves_what_the_others_have_simulated() -> None:
    a, start = started(3)
    b, _ = started(3)
    mask = np.array([True, False, False])
    for k in range(4):
        a.run(towards(start, k), 5)
        b.run(towards(start, k), 5)
    b.read()
    for engine in (a, b):
        engine.reset(start, mask)
    assert same(a.read(), b.read())


def test_an_error_in_one_simulation_is_reported_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hurt, start = started(3)
    well, _ = started(3)
    rollout = hurt.batch.rollout

    def failing(*args: object, **options: object) -> None:
        rollout(*args, **options)
        raise SimulationError(np.array([1]), "the inertia matrix is not positive definite")

    monkeypatch.setattr(hurt.batch, "rollout", failing)
    hurt.run(towards(start, 0), 5)
    well.run(towards(start, 0), 5)
    assert hurt.diverged.tolist() == [False, True, False]
    monkeypatch.undo()
    assert same(hurt.read(), well.read(), slice(0, 1))
    assert same(hurt.read(), well.read(), slice(2, 3))
    hurt.reset(start, np.array([False, True, False]))
    assert not hurt.diverged.any()


def test_pybullet_leaves_standard_output_and_error_to_the_caller() -> None:
    code = """
from sim.engines.bullet import BulletEngine
from sim.families import FAMILIES
engine = BulletEngine()
engine.load(FAMILIES["reach"]().scene, 2)
print("answer")
engine.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "answer\n"
    assert not done.stderr


def test_an_arm_may_strike_with_many_shapes(tmp_path: Path) -> None:
    scene = FAMILIES["slide"]().scene
    heel = '<collision name="heel"><geometry><sphere radius="0.05"/></geometry></collision>'
    heeled = tmp_path / "panda.urdf"
    heeled.write_text(
        PANDA.urdf.read_text().replace('<collision name="tip">', heel + '<collision name="tip">')
    )
    model = compile_scene(replace(scene, body=replace(PANDA, urdf=heeled)))
    pairs = set(zip(model.pair_geom1, model.pair_geom2, strict=True))
    assert len(pairs) == compile_scene(scene).npair + len(part_kinds(FLAT_OBJECT))


@pytest.mark.parametrize("shape", ["box", "cross", "cylinder"])
def test_a_tool_touches_an_object_at_its_outline(shape: str) -> None:
    """Of an object that is turned by a quarter: its half extents change places."""
    names = ("object.shape", "object.size_x", "object.size_y", "object.size_z")
    code = float(SHAPES.index(shape))
    task = Task(names, np.array([[code, 0.06, 0.06, 0.02]] * 2), np.arange(2))
    scene = FAMILIES["slide"]().scene
    arm = scene.body
    steps = ContactSteps(scene, 2)
    steps.describe([objects.describe(FLAT_OBJECT, task).parts], np.arange(2))
    quarter = np.tile([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)], (2, 1))
    tool = Kinematics(arm).position(np.tile(arm.home, (2, 1)))
    gaps = np.array([[0.06 + TIP + 0.002], [0.06 + TIP + 0.01]])
    away = gaps * [1.0, 0.0, 0.0]
    placed = ObjectMotion(tool + away, quarter, np.zeros((2, 6)))
    touching = steps.needed(np.tile(arm.home, (2, 1)), [placed], dt=0.01)
    assert touching.tolist() == [True, False]


@pytest.mark.parametrize(
    ("what", "last_gap", "gap", "is_due"),
    [
        ("about to hit, at 1 m/s", 0.025, 0.015, True),
        ("pressed in as far as an impact at 0.5 m/s does", -0.005, -0.005, True),
        ("parting, still touching", -0.002, 0.002, True),
        ("parted", 0.0, 0.01, False),
        ("waiting beside the object", 0.001, 0.001, False),
        ("pushing it along", -0.0002, -0.0002, False),
        ("so slow that the usual steps do", 0.0005, 0.0, False),
        ("approaching from afar", 0.21, 0.2, False),
        ("touching when an episode begins", np.nan, 0.001, True),
    ],
)
def test_only_a_blow_needs_fine_steps(what: str, last_gap: float, gap: float, is_due: bool) -> None:
    due = impact_is_due(np.array([gap]), np.array([last_gap]), dt=0.01)
    assert due.tolist() == [is_due], what


@pytest.mark.parametrize(
    ("engine", "module"), [("mujoco", "contact_steps"), ("bullet", "bullet_object")]
)
def test_a_tool_that_pushes_its_object_along_has_few_fine_steps(engine: str, module: str) -> None:
    family = FAMILIES["slide"]()
    task = family.sample(np.random.default_rng(0), 1)
    world = VecWorld(family, engine, 1)
    fine_steps = []

    def watched(gap: Array, last_gap: Array, dt: float) -> Mask:
        due = impact_is_due(gap, last_gap, dt)
        fine_steps.append(bool(due.all()))
        return due

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"sim.engines.{module}.impact_is_due", watched)
        world.reset(task)
        world.step(np.array([[-0.7, 0.0]]))
    world.close()
    assert 0 < sum(fine_steps) < 40, "of 240 ticks"


def test_a_finer_step_during_a_blow_must_divide_the_usual_one() -> None:
    body = FAMILIES["slide"]().body
    assert Scene(body, timestep=0.005, contact_timestep=0.0005).contact_substeps == 10
    assert Scene(body, timestep=0.005).contact_substeps == 1
    with pytest.raises(BadArgumentError, match=r"0\.005 s is not a whole number of 0\.003 s"):
        Scene(body, timestep=0.005, contact_timestep=0.003)


@pytest.mark.parametrize("engine", ["mujoco", "bullet"])
def test_a_world_has_fine_steps_whatever_its_neighbors_do(engine: str) -> None:
    """One strikes while the other stands aside: each ends as it does alone."""
    family = FAMILIES["slide"]()
    task = family.sample(np.random.default_rng(0), 2)
    start = family.start(np.random.default_rng(1), task)
    ends = []
    for rows in ([0, 1], [0], [1]):
        world = VecWorld(family, engine, len(rows))
        world.reset(task.take(rows))
        picked = Start(start.q[rows], object_pos=start.object_pos[rows])
        world.engine.reset(picked)
        strikes = np.array([[0.3, 0.2], [-1.0, 0.0]])
        ends.append(world.step(strikes[rows]).obs)
        world.close()
    both, first, second = ends
    np.testing.assert_array_equal(both, np.concatenate([first, second]))
