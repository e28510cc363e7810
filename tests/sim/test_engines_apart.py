"""Behavior of single engines that the contract of all of them does not ask for."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mujoco.batch import SimulationError

from robots.catalog.panda import PANDA
from robots.signals import Setpoint, Signals
from robots.world import Start
from sim.engines.mujoco import MujocoEngine
from sim.families import FAMILIES
from sim.scene_model import PARTS, compile_scene


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
    assert len(pairs) == compile_scene(scene).npair + len(PARTS)
