"""What every engine promises, for each registered one: a new engine is tested by being registered."""

from dataclasses import fields, replace

import numpy as np
import pytest

from robots.arm import ArmSpec, Body, Walker
from robots.kinematics import Kinematics
from robots.signals import Array, Setpoint, Signals, Torque
from robots.world import Family, Start, Task
from sim.engines import ENGINES
from sim.engines.base import Engine
from sim.families import FAMILIES

SUBSTEPS = 5
CARRIED = [
    (name, kind)
    for name in sorted(ENGINES)
    for kind in (ArmSpec, Walker)
    if any(
        name in family.engines and isinstance(family().body, kind) for family in FAMILIES.values()
    )
]
every_engine = pytest.mark.parametrize("name", sorted(ENGINES))
every_body = pytest.mark.parametrize(
    ("name", "kind"), CARRIED, ids=[f"{name}-{kind.__name__}" for name, kind in CARRIED]
)
PHYSICS = sorted(name for name in ENGINES if name != "ideal")
every_physics = pytest.mark.parametrize("name", PHYSICS)


def family_of(name: str, kind: type[Body]) -> Family:
    """Some family that the engine carries, of a kind of body, with a loose object where there is one."""
    carried = [family() for family in FAMILIES.values() if name in family.engines]
    return sorted(
        (f for f in carried if isinstance(f.body, kind)), key=lambda f: not f.scene.loose_object
    )[0]


def loaded(
    name: str, n: int, kind: type[Body] = ArmSpec, seed: int = 0
) -> tuple[Engine, Task, Start]:
    """An engine with n different tasks, at their start."""
    family = family_of(name, kind)
    engine: Engine = ENGINES[name]()
    engine.load(family.scene, n)
    rng = np.random.default_rng(seed)
    task = family.sample(rng, n)
    start = family.start(rng, task)
    engine.write(task)
    engine.reset(start)
    return engine, task, start


def swing(start: Start, tick: int, amplitude: float = 0.1, rate: float = 2.0) -> Setpoint:
    """Where joints that swing about their start shall be at the end of a tick; smooth, at rest at first."""
    t, j = (tick + 1) * SUBSTEPS * 0.002, np.arange(start.q.shape[1]) + 1
    sign = (-1.0) ** j
    q = start.q + amplitude * sign * (1 - np.cos(rate * t))
    dq = np.broadcast_to(amplitude * sign * rate * np.sin(rate * t), q.shape)
    return Setpoint(q, dq, np.zeros_like(q))


def told(engine: Engine, start: Start, tick: int) -> Setpoint | Torque:
    """A command that moves whatever the body is."""
    body = engine.scene.body
    if not isinstance(body, Walker):
        return swing(start, tick)
    push = body.limits.tau * np.sin(0.5 * tick + np.arange(len(body.joints)))
    return Torque(np.tile(push, (len(start.q), 1)))


def run(engine: Engine, start: Start, ticks: int = 20) -> list[Signals]:
    out = []
    for k in range(ticks):
        engine.step(told(engine, start, k), SUBSTEPS)
        out.append(engine.read())
    return out


def numbers(signals: Signals) -> Array:
    s = signals
    parts = (
        s.q,
        s.dq,
        s.tau,
        s.tool_pos,
        s.tool_quat,
        s.tool_vel,
        s.object_pos,
        s.object_quat,
        s.object_vel,
    )
    return np.concatenate([*parts, s.stamp[:, None]], 1)


@every_body
def test_signals_have_their_shapes_and_a_clock(name: str, kind: type[Body]) -> None:
    engine, _, start = loaded(name, 3, kind)
    signals = run(engine, start, 2)[-1]
    j = start.q.shape[1]
    shapes = {
        "q": j,
        "dq": j,
        "tau": len(engine.scene.body.joints),
        "tool_pos": 3,
        "tool_quat": 4,
        "tool_vel": 3,
        "marker": 3,
    }
    shapes |= {"object_pos": 3, "object_quat": 4, "object_vel": 6}
    assert {k: getattr(signals, k).shape for k in shapes} == {
        k: (3, width) for k, width in shapes.items()
    }
    assert signals.stamp == pytest.approx(2 * SUBSTEPS * engine.scene.timestep)
    assert np.isnan(signals.marker).all()
    assert np.isfinite(signals.q).all()
    assert np.isfinite(signals.tool_pos).all() == (kind is not Walker)
    assert np.isfinite(signals.object_pos).all() == engine.scene.loose_object
    engine.close()


@every_body
def test_what_was_read_does_not_change_afterwards(name: str, kind: type[Body]) -> None:
    engine, _, start = loaded(name, 2, kind)
    before = engine.read()
    kept = numbers(before).copy()
    run(engine, start, 3)
    np.testing.assert_array_equal(numbers(before), kept)
    engine.close()


@every_body
def test_the_same_calls_give_the_same_numbers(name: str, kind: type[Body]) -> None:
    (a, _, start), (b, _, _) = loaded(name, 3, kind), loaded(name, 3, kind)
    for x, y in zip(run(a, start), run(b, start), strict=True):
        np.testing.assert_array_equal(numbers(x), numbers(y))
    a.close()
    b.close()


@every_body
def test_an_episode_leaves_no_trace_in_the_next(name: str, kind: type[Body]) -> None:
    engine, task, start = loaded(name, 2, kind)
    first = run(engine, start)
    engine.write(task)
    engine.reset(start)
    for x, y in zip(first, run(engine, start), strict=True):
        np.testing.assert_allclose(numbers(x), numbers(y), atol=1e-9)
    engine.close()


@every_body
def test_writing_a_task_twice_is_writing_it_once(name: str, kind: type[Body]) -> None:
    (a, task, start), (b, _, _) = loaded(name, 3, kind), loaded(name, 3, kind)
    b.write(task.take([2, 0, 1]))
    for _ in range(2):
        b.write(task)
    b.reset(start)
    for x, y in zip(run(a, start), run(b, start), strict=True):
        np.testing.assert_array_equal(numbers(x), numbers(y))
    a.close()
    b.close()


@every_body
def test_a_world_is_what_it_is_without_the_others(name: str, kind: type[Body]) -> None:
    several, task, start = loaded(name, 3, kind)
    alone: Engine = ENGINES[name]()
    alone.load(several.scene, 1)
    alone.write(task.take([1]))
    only = Start(
        **{f.name: x if (x := getattr(start, f.name)) is None else x[1:2] for f in fields(start)}
    )
    alone.reset(only)
    for x, y in zip(run(several, start), run(alone, only), strict=True):
        np.testing.assert_array_equal(numbers(x)[1], numbers(y)[0])
    several.close()
    alone.close()


@every_body
def test_reset_and_write_touch_only_the_worlds_they_are_told_to(
    name: str, kind: type[Body]
) -> None:
    engine, task, start = loaded(name, 3, kind)
    run(engine, start, 5)
    before, mask = numbers(engine.read()), np.array([False, True, False])
    engine.write(task, mask)
    engine.reset(start, mask)
    after = numbers(engine.read())
    np.testing.assert_array_equal(after[~mask], before[~mask])
    j = start.q.shape[1]
    np.testing.assert_allclose(after[mask, :j], start.q[mask], atol=1e-12)
    np.testing.assert_allclose(
        after[mask, j : 2 * j], 0 if start.dq is None else start.dq[mask], atol=1e-12
    )
    assert (after[mask, -1] == 0).all()
    engine.close()


@every_body
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_world_and_is_reported_until_reset(
    name: str, kind: type[Body], bad: float
) -> None:
    (hurt, task, start), (well, _, _) = loaded(name, 3, kind), loaded(name, 3, kind)
    for k in range(6):
        command = told(well, start, k)
        well.step(command, SUBSTEPS)
        if k == 2:
            first = fields(command)[0].name
            wrong = getattr(command, first).copy()
            wrong[1, 0] = bad
            command = replace(command, **{first: wrong})
        hurt.step(command, SUBSTEPS)
        assert hurt.diverged.tolist() == [False, k >= 2, False]
    others = np.array([True, False, True])
    np.testing.assert_array_equal(numbers(hurt.read())[others], numbers(well.read())[others])
    hurt.write(task, ~others)
    hurt.reset(start, ~others)
    assert not hurt.diverged.any()
    assert np.isfinite(hurt.read().q).all()
    hurt.step(told(hurt, start, 0), SUBSTEPS)
    assert not hurt.diverged.any()
    hurt.close()
    well.close()


@every_engine
def test_a_reading_is_fresh_after_reset_and_after_every_step(name: str) -> None:
    engine, _, start = loaded(name, 2)
    if not isinstance(engine.scene.body, ArmSpec):
        pytest.skip("a body without a tool of its own")
    kinematics = Kinematics(engine.scene.body)
    for signals in (engine.read(), *run(engine, start, 8)):
        pos, quat = kinematics.forward(signals.q)
        velocity = np.einsum("nij,nj->ni", kinematics.jacobian(signals.q)[:, :3], signals.dq)
        np.testing.assert_allclose(signals.tool_pos, pos, atol=1e-6)
        np.testing.assert_allclose(np.abs((signals.tool_quat * quat).sum(-1)), 1, atol=1e-9)
        np.testing.assert_allclose(signals.tool_vel, velocity, atol=1e-5)
    engine.close()


@every_engine
def test_joints_follow_their_setpoints(name: str) -> None:
    engine, _, start = loaded(name, 2)
    for k in range(60):
        setpoint = swing(start, k)
        engine.step(setpoint, SUBSTEPS)
        signals = engine.read()
        assert np.abs(signals.q - setpoint.q).max() < 5e-3  # rad
    assert np.abs(signals.dq - setpoint.dq).max() < 0.05  # rad/s
    engine.close()


@every_engine
def test_joints_hold_their_place_against_gravity(name: str) -> None:
    engine, _, start = loaded(name, 2)
    still = Setpoint(start.q, np.zeros_like(start.q), np.zeros_like(start.q))
    for _ in range(50):
        engine.step(still, SUBSTEPS)
    assert np.abs(engine.read().q - start.q).max() < 1e-4
    engine.close()


@every_physics
def test_torques_stay_inside_the_arms_limits(name: str) -> None:
    engine, _, start = loaded(name, 2)
    far = Setpoint(start.q + 1.0, np.zeros_like(start.q), np.zeros_like(start.q))
    engine.step(far, SUBSTEPS)
    tau = np.abs(engine.read().tau)
    assert (tau <= engine.scene.body.limits.tau + 1e-9).all()
    assert (tau > 0).any()
    engine.close()


@every_physics
@pytest.mark.parametrize(
    ("parameter", "value"), [("joint.damping", 60.0), ("actuator.strength", 0.2)]
)
def test_a_parameter_of_the_arm_makes_it_lag_in_its_world_alone(
    name: str, parameter: str, value: float
) -> None:
    engine, task, start = loaded(name, 2)
    plain, _, _ = loaded(name, 2)
    column = np.array([[0.0 if parameter == "joint.damping" else 1.0], [value]])
    engine.write(Task((*task.names, parameter), np.concatenate([task.values, column], 1), task.ids))
    engine.reset(start)
    errors = []
    for k in range(40):
        setpoint = swing(start, k, amplitude=0.3, rate=6.0)
        engine.step(setpoint, SUBSTEPS)
        plain.step(setpoint, SUBSTEPS)
        errors.append(np.abs(engine.read().q - setpoint.q).max(-1))
        np.testing.assert_array_equal(engine.read().q[0], plain.read().q[0])
    fair, worst = np.max(errors, 0)
    assert worst > 1.5 * fair
    assert worst < 0.5  # it lags, it does not blow up
    engine.close()
    plain.close()


@every_engine
def test_a_body_it_cannot_carry_is_refused_by_name(name: str) -> None:
    scenes = [family().scene for family in FAMILIES.values() if name not in family.engines]
    wrong = {scene.body.name: scene for scene in scenes if (name, type(scene.body)) not in CARRIED}
    assert wrong
    for body, scene in wrong.items():
        with pytest.raises(ValueError, match=body):
            ENGINES[name]().load(scene, 1)


@every_body
def test_a_command_that_does_not_drive_the_body_is_refused_by_name(
    name: str, kind: type[Body]
) -> None:
    engine, _, start = loaded(name, 2, kind)
    other: Setpoint | Torque = (
        Torque(start.q) if kind is ArmSpec else Setpoint(start.q, start.q, start.q)
    )
    with pytest.raises(TypeError, match=engine.scene.body.name):
        engine.step(other, SUBSTEPS)
    engine.close()


@every_body
def test_a_dead_actuator_gives_no_torque_in_its_world_alone(name: str, kind: type[Body]) -> None:
    if name == "ideal":
        pytest.skip("has no torques")
    (engine, task, start), (plain, _, _) = loaded(name, 3, kind), loaded(name, 3, kind)
    parameter = f"actuator.{engine.scene.body.joints[1]}"
    kept = [i for i, x in enumerate(task.names) if not x.startswith("actuator.")]
    names, values = tuple(task.names[i] for i in kept), task.values[:, kept]
    for each, shares in ((engine, [1.0, 0.0, 0.5]), (plain, [1.0, 1.0, 1.0])):
        each.write(Task((*names, parameter), np.c_[values, shares], task.ids))
        each.reset(start)
        each.step(told(each, start, 1), 1)
    tau, whole = engine.read().tau, plain.read().tau
    np.testing.assert_array_equal(tau[0], whole[0])
    assert tau[1, 1] == pytest.approx(0, abs=1e-12)
    assert (np.abs(tau[1, [0, *range(2, tau.shape[1])]]) > 0).all()
    if kind is Walker:  # an arm's servos push back less, and differently from then on
        np.testing.assert_allclose(
            tau[2] / whole[2], [1, 0.5, *[1] * (tau.shape[1] - 2)], rtol=1e-12
        )
    engine.close()
    plain.close()
