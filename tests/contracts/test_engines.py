"""The contract of every registered engine about its state.

A new engine is tested by being registered. How it follows commands: ``test_engine_commands.py``.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from engine_parts import (
    SUBSTEPS,
    every_arm_engine,
    every_body,
    every_engine,
    families_on,
    load,
    move,
    moving_command,
    numbers,
    root_widths,
    take_start,
)

from robots.arm import ArmSpec, Body, FreeWalker
from robots.errors import BadArgumentError, UnknownNameError
from robots.kinematics import Kinematics
from robots.signals import Signals
from robots.world import Start
from sim.engines import ENGINES, engine_for
from sim.engines.base import Engine, stack_ticks, start_velocity
from sim.families import FAMILIES


def assert_same(first: list[Signals], second: list[Signals]) -> None:
    for x, y in zip(first, second, strict=True):
        np.testing.assert_array_equal(numbers(x), numbers(y))


@every_body
def test_signals_have_their_shapes_and_a_clock(name: str, kind: type[Body]) -> None:
    engine, _, start = load(name, 3, kind)
    signals = move(engine, start, 2)[-1]
    joints = len(engine.scene.body.joints)
    root_positions, root_velocities = root_widths(kind)
    widths = {
        "q": root_positions + joints,
        "dq": root_velocities + joints,
        "tau": joints,
        "tool_pos": 3,
        "tool_quat": 4,
        "tool_vel": 3,
        "marker": 3,
        "object_pos": 3,
        "object_quat": 4,
        "object_vel": 6,
    }
    for field, width in widths.items():
        assert getattr(signals, field).shape == (3, width), field
    assert signals.stamp == pytest.approx(2 * SUBSTEPS * engine.scene.timestep)
    assert np.isnan(signals.marker).all()
    assert np.isfinite(signals.q).all()
    assert np.isfinite(signals.tool_pos).all() == (kind is ArmSpec)
    for value, shape in (
        (signals.center_of_mass, (3, 3)),
        (signals.contact_forces, (3, 13, 6)),  # of the ant's bodies
    ):
        assert (value is not None) == (kind is FreeWalker)
        assert value is None or value.shape == shape
    assert np.isfinite(signals.object_pos).all() == bool(engine.scene.objects)
    engine.close()


@every_body
def test_a_reading_does_not_change_afterwards(name: str, kind: type[Body]) -> None:
    engine, _, start = load(name, 2, kind)
    reading = engine.read()
    before = numbers(reading).copy()
    move(engine, start, 3)
    np.testing.assert_array_equal(numbers(reading), before)
    engine.close()


@every_body
def test_the_same_calls_give_the_same_numbers(name: str, kind: type[Body]) -> None:
    a, _, start = load(name, 3, kind)
    b, _, _ = load(name, 3, kind)
    assert_same(move(a, start), move(b, start))
    a.close()
    b.close()


@every_body
def test_an_episode_leaves_no_trace_in_the_next(name: str, kind: type[Body]) -> None:
    engine, task, start = load(name, 2, kind)
    first = move(engine, start)
    engine.write(task)
    engine.reset(start)
    second = move(engine, start)
    for x, y in zip(first, second, strict=True):
        np.testing.assert_allclose(numbers(x), numbers(y), atol=1e-9)
    engine.close()


@every_body
def test_writing_a_task_twice_is_writing_it_once(name: str, kind: type[Body]) -> None:
    a, task, start = load(name, 3, kind)
    b, _, _ = load(name, 3, kind)
    b.write(task.take([2, 0, 1]))
    for _ in range(2):
        b.write(task)
    b.reset(start)
    assert_same(move(a, start), move(b, start))
    a.close()
    b.close()


@every_body
def test_a_world_does_not_depend_on_the_others(name: str, kind: type[Body]) -> None:
    several, task, start = load(name, 3, kind)
    alone: Engine = ENGINES[name]()
    alone.load(several.scene, 1)
    alone.write(task.take([1]))
    own_start = take_start(start, slice(1, 2))
    alone.reset(own_start)
    among_others = move(several, start)
    by_itself = move(alone, own_start)
    for x, y in zip(among_others, by_itself, strict=True):
        np.testing.assert_array_equal(numbers(x)[1], numbers(y)[0])
    several.close()
    alone.close()


@every_body
def test_several_ticks_in_one_run_are_as_many_runs_of_one_tick(name: str, kind: type[Body]) -> None:
    at_once, _, start = load(name, 3, kind)
    one_by_one, _, _ = load(name, 3, kind)
    commands = [moving_command(at_once, start, tick) for tick in range(4)]
    for command in commands:
        one_by_one.run(command, SUBSTEPS)
        one_by_one.read()
    stacked = stack_ticks(commands)  # (4, 1, n, j)
    merged = {name: column[:, 0] for name, column in vars(stacked).items()}
    at_once.run(type(stacked)(**merged), SUBSTEPS)
    assert_same([at_once.read()], [one_by_one.read()])
    at_once.close()
    one_by_one.close()


@every_body
def test_reset_and_write_change_only_the_worlds_in_the_mask(name: str, kind: type[Body]) -> None:
    engine, task, start = load(name, 3, kind)
    move(engine, start, 5)
    mask = np.array([False, True, False])
    before = numbers(engine.read())
    engine.write(task, mask)
    engine.reset(start, mask)
    after = numbers(engine.read())
    np.testing.assert_array_equal(after[~mask], before[~mask])
    positions = start.q.shape[1]
    velocity = start_velocity(start)
    q = after[mask, :positions]
    dq = after[mask, positions : positions + velocity.shape[1]]
    np.testing.assert_allclose(q, start.q[mask], atol=1e-12)
    np.testing.assert_allclose(dq, velocity[mask], atol=1e-12)
    assert (after[mask, -1] == 0).all()
    engine.close()


@every_body
def test_a_start_needs_to_give_joint_positions_alone(name: str, kind: type[Body]) -> None:
    engine, _, start = load(name, 2, kind)
    engine.reset(Start(start.q))
    signals = engine.read()
    np.testing.assert_allclose(signals.q, start.q, atol=1e-12)
    assert (signals.dq == 0).all()
    for item in engine.scene.objects:
        np.testing.assert_allclose(signals.object_pos, [item.position] * 2, atol=1e-9)
        np.testing.assert_allclose(signals.object_quat, [[1, 0, 0, 0]] * 2, atol=1e-9)
    engine.close()


@every_body
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_world_and_is_reported_until_reset(
    name: str, kind: type[Body], bad: float
) -> None:
    broken, task, start = load(name, 3, kind)
    healthy, _, _ = load(name, 3, kind)
    for tick in range(6):
        command = moving_command(healthy, start, tick)
        healthy.run(command, SUBSTEPS)
        if tick == 2:
            first = fields(command)[0].name
            wrong = getattr(command, first).copy()
            wrong[:, 1, 0] = bad
            command = replace(command, **{first: wrong})
        broken.run(command, SUBSTEPS)
        assert broken.diverged.tolist() == [False, tick >= 2, False]
    others = np.array([True, False, True])
    broken_numbers = numbers(broken.read())
    healthy_numbers = numbers(healthy.read())
    np.testing.assert_array_equal(broken_numbers[others], healthy_numbers[others])
    broken.write(task, ~others)
    broken.reset(start, ~others)
    assert not broken.diverged.any()
    assert np.isfinite(broken.read().q).all()
    broken.run(moving_command(broken, start, 0), SUBSTEPS)
    assert not broken.diverged.any()
    broken.close()
    healthy.close()


@every_arm_engine
def test_a_reading_is_fresh_after_reset_and_after_every_run(name: str) -> None:
    engine, _, start = load(name, 2, ArmSpec)
    body = engine.scene.body
    assert isinstance(body, ArmSpec)
    kinematics = Kinematics(body)
    readings = [engine.read(), *move(engine, start, 8)]
    for signals in readings:
        pos, quat = kinematics.forward(signals.q)
        linear = kinematics.jacobian(signals.q)[:, :3]
        velocity = np.einsum("nij,nj->ni", linear, signals.dq)
        alignment = np.abs((signals.tool_quat * quat).sum(-1))
        np.testing.assert_allclose(signals.tool_pos, pos, atol=1e-6)
        np.testing.assert_allclose(alignment, 1, atol=1e-9)
        np.testing.assert_allclose(signals.tool_vel, velocity, atol=1e-5)
    engine.close()


@every_engine
def test_a_scene_that_it_does_not_support_is_refused_by_name(name: str) -> None:
    supported = {family.name for family in families_on(name)}
    others = [kind() for kind in FAMILIES.values() if kind.name not in supported]
    assert others
    for family in others:
        with pytest.raises(BadArgumentError, match=family.body.name):
            ENGINES[name]().load(family.scene, 1)


def test_the_first_registered_engine_that_supports_a_scene_is_chosen() -> None:
    chosen = {name: engine_for(FAMILIES[name]().scene) for name in FAMILIES}
    assert chosen == {
        "ant_cripple": "mujoco",
        "ant_fwd_back": "mujoco",
        "ant_goal": "mujoco",
        "carry": "mujoco",
        "cheetah_cripple": "mujoco",
        "cheetah_fwd_back": "mujoco",
        "cheetah_inverted": "mujoco",
        "cheetah_params": "mujoco",
        "cheetah_pier": "mujoco",
        "cheetah_slope": "mujoco",
        "cheetah_vel": "mujoco",
        "cripple_arm": "mujoco",
        "door": "mujoco",
        "go1_vel": "mujoco",
        "hopper_params": "mujoco",
        "humanoid_dir": "mujoco",
        "insert": "mujoco",
        "latch": "mujoco",
        "lift": "mujoco",
        "point": "ideal",
        "point_sparse": "ideal",
        "push": "mujoco",
        "quadruped_vel": "dm_control",
        "reach": "mujoco",
        "slide": "mujoco",
        "slide_plane": "mujoco",
        "walker_params": "mujoco",
    }


def test_a_requested_engine_is_chosen_or_refused_with_those_that_support_the_scene() -> None:
    scene = FAMILIES["slide"]().scene
    assert engine_for(scene, "bullet") == "bullet"
    reason = "panda with object runs on mujoco, bullet, not on ideal"
    with pytest.raises(BadArgumentError, match=reason):
        engine_for(scene, "ideal")
    with pytest.raises(
        UnknownNameError, match="there are: bullet, dm_control, ideal, metaworld, mujoco"
    ):
        engine_for(scene, "unknown")
