"""Joints that do not move as commanded: dead, weak and inverted ones."""

from dataclasses import replace

import numpy as np
import pytest

from robots.arm import ArmSpec
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Start, Task
from sim.engines import ENGINES
from sim.families import FAMILIES
from sim.families.cripple_arm import MARKER, CrippleArm
from sim.joint_faults import gain_name
from sim.vec_world import VecWorld

J = len(PANDA.joints)
ENGINES_OF_ARMS = [name for name in sorted(ENGINES) if ENGINES[name].supports(CrippleArm().scene)]
every_engine = pytest.mark.parametrize("engine", ENGINES_OF_ARMS)


def task_of(gains: Array) -> Task:
    """Tasks with these gains (n, j), all with the same goal."""
    names = [gain_name(joint) for joint in PANDA.joints]
    goal = np.tile(CrippleArm().zone.center, (len(gains), 1))
    return Task((*names, *MARKER), np.c_[gains, goal], np.arange(len(gains)))


def move(engine: str, gains: Array, action: Array, steps: int = 5) -> tuple[Array, Array]:
    """Hold an action (n, j) from the middle posture; positions before and after, (n, j) rad."""
    family = CrippleArm()
    world = VecWorld(family, engine, len(gains))
    start = Start(np.tile(family.ready, (len(gains), 1)))
    world.reset(task_of(gains), start=start)
    before = world.signals.q
    for _ in range(steps):
        world.step(action)
    after = world.signals.q
    world.close()
    return before, after


@every_engine
def test_a_joint_moves_by_its_gain_and_the_others_as_commanded(engine: str) -> None:
    gains = np.ones((4, J))
    gains[1, 3] = 0.0
    gains[2, 3] = 0.4
    gains[3, 3] = -1.0
    before, after = move(engine, gains, np.full((4, J), 0.5))
    moved = after - before
    tolerance = 1e-2  # rad; servos lag, and the other joints pull a bit
    np.testing.assert_allclose(moved, gains * moved[0], atol=tolerance)
    assert (np.abs(moved[0]) > 0.1).all()


@every_engine
def test_what_is_commanded_to_a_dead_joint_has_no_effect(engine: str) -> None:
    gains = np.ones((2, J))
    gains[:, 1] = 0.0
    action = np.full((2, J), 0.3)
    action[1, 1] = -0.3
    before, after = move(engine, gains, action)
    np.testing.assert_array_equal(after[0], after[1])
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=2e-3)


@every_engine
def test_an_inverted_arm_under_inverted_actions_is_the_healthy_one(engine: str) -> None:
    gains = np.ones((2, J))
    gains[1] = -1.0
    rng = np.random.default_rng(0)
    action = rng.uniform(-0.5, 0.5, (1, J))
    _, after = move(engine, gains, np.concatenate([action, -action]))
    np.testing.assert_allclose(after[1], after[0], atol=1e-9)


@every_engine
def test_an_arm_without_faults_moves_bit_by_bit_as_without_the_parameters(engine: str) -> None:
    """Also where the world beside it has a fault."""
    gains = np.ones((2, J))
    gains[1, 0] = -0.7
    action = np.full((2, J), 0.5)
    _, after = move(engine, gains, action)
    family = FAMILIES["reach"]()
    family.action = CrippleArm().action
    family.limits = CrippleArm().limits
    world = VecWorld(family, engine, 2)
    start = Start(np.tile(family.ready, (2, 1)))
    world.reset(family.sample(np.random.default_rng(0), 2), start=start)
    for _ in range(5):
        world.step(action)
    np.testing.assert_array_equal(after[0], world.signals.q[0])
    world.close()


def test_an_inverted_joint_stops_at_its_limit() -> None:
    narrow = replace(PANDA.limits, q_low=CrippleArm().ready - 0.15)
    arm = replace(PANDA, limits=narrow)
    family = CrippleArm(arm)
    world = VecWorld(family, "ideal", 1)
    gains = np.ones((1, J))
    gains[0, 0] = -1.0
    start = Start(family.ready[None])
    world.reset(task_of(gains), start=start)
    for _ in range(10):
        world.step(np.full((1, J), 0.5))
    assert world.signals.q[0, 0] == narrow.q_low[0]
    assert world.signals.dq[0, 0] == 0.0
    world.close()


def test_a_world_that_begins_anew_leaves_the_faults_of_the_others_alone() -> None:
    family = CrippleArm()
    world = VecWorld(family, "ideal", 2)
    start = Start(np.tile(family.ready, (2, 1)))
    gains = np.ones((2, J))
    gains[:, 0] = [-1.0, 0.0]
    world.reset(task_of(gains), start=start)
    action = np.full((2, J), 0.5)
    world.step(action)
    world.reset(task_of(np.ones((2, J))), mask=np.array([False, True]), start=start)
    before = world.signals.q
    world.step(action)
    inverted, healthy = (world.signals.q - before)[:, 0]
    assert inverted < -0.02
    assert healthy > 0.01
    world.close()


def test_the_gate_limits_what_is_commanded_whatever_the_joints_do() -> None:
    family = CrippleArm()
    worlds = [VecWorld(family, "ideal", 1) for _ in range(2)]
    rng = np.random.default_rng(0)
    faults = (np.ones((1, J)), rng.uniform(-1, 0.5, (1, J)))
    for world, gains in zip(worlds, faults, strict=True):
        world.reset(task_of(gains), start=Start(family.ready[None]))
    for _ in range(family.horizon):
        action = rng.uniform(-1, 1, (1, J))
        healthy, faulty = [world.step(action) for world in worlds]
        np.testing.assert_array_equal(healthy.applied, faulty.applied)
        np.testing.assert_array_equal(healthy.verdict, faulty.verdict)
    np.testing.assert_array_equal(worlds[0].gate.setpoint.q, worlds[1].gate.setpoint.q)


@pytest.mark.parametrize("gain", [np.nan, np.inf])
def test_a_gain_that_is_not_finite_is_refused_by_name(gain: float) -> None:
    gains = np.ones((2, J))
    gains[1, 2] = gain
    world = VecWorld(CrippleArm(), "ideal", 2)
    with pytest.raises(BadArgumentError, match=r"disturbance\.gain\.joint3 must be finite"):
        world.reset(task_of(gains))


def test_a_walker_has_no_commanded_motion() -> None:
    family = FAMILIES["cheetah_vel"]()
    assert not isinstance(family.body, ArmSpec)
    task = family.sample(np.random.default_rng(0), 1)
    name = gain_name(family.body.joints[0])
    named = Task((*task.names, name), np.c_[task.values, [0.5]], task.ids)
    world = VecWorld(family, "mujoco", 1)
    world.reset(named)
    with pytest.raises(BadArgumentError, match="half_cheetah is driven by torques"):
        world.step(np.zeros((1, len(family.body.joints))))
    world.close()
