"""How every engine follows commands, for each registered one."""

import numpy as np
import pytest
from engine_parts import (
    SUBSTEPS,
    SUPPORTED,
    every_arm_engine,
    every_body,
    hold,
    load,
    moving_command,
    swing,
)

from robots.arm import ArmSpec, Body
from robots.errors import BadArgumentError
from robots.signals import Setpoint, Torque
from robots.world import Task

PHYSICS = [name for name, kind in SUPPORTED if kind is ArmSpec and name != "ideal"]
every_physics = pytest.mark.parametrize("name", PHYSICS)


@every_arm_engine
def test_joints_follow_their_setpoints(name: str) -> None:
    engine, _, start = load(name, 2, ArmSpec)
    for tick in range(60):
        setpoint = swing(start, tick)
        engine.run(setpoint, SUBSTEPS)
        signals = engine.read()
        assert np.abs(signals.q - setpoint.q).max() < 5e-3  # rad
    assert np.abs(signals.dq - setpoint.dq).max() < 0.05  # rad/s
    engine.close()


@every_arm_engine
def test_joints_hold_their_place_against_gravity(name: str) -> None:
    engine, _, start = load(name, 2, ArmSpec)
    for _ in range(50):
        engine.run(hold(start.q), SUBSTEPS)
    assert np.abs(engine.read().q - start.q).max() < 1e-4
    engine.close()


@every_physics
def test_torques_stay_inside_the_limits_of_the_arm(name: str) -> None:
    engine, _, start = load(name, 2, ArmSpec)
    engine.run(hold(start.q + 1.0), SUBSTEPS)
    torque = np.abs(engine.read().tau)
    assert (torque <= engine.scene.body.limits.tau + 1e-9).all()
    assert (torque > 0).any()
    engine.close()


@every_physics
@pytest.mark.parametrize(
    ("parameter", "value"), [("joint.damping", 60.0), ("actuator.strength", 0.2)]
)
def test_a_parameter_of_the_arm_makes_it_lag_in_its_world_alone(
    name: str, parameter: str, value: float
) -> None:
    engine, task, start = load(name, 2, ArmSpec)
    plain, _, _ = load(name, 2, ArmSpec)
    default = 0.0 if parameter == "joint.damping" else 1.0
    values = np.c_[task.values, [default, value]]
    engine.write(Task((*task.names, parameter), values, task.ids))
    engine.reset(start)
    errors = []
    for tick in range(40):
        setpoint = swing(start, tick, amplitude=0.3, rate=6.0)
        engine.run(setpoint, SUBSTEPS)
        plain.run(setpoint, SUBSTEPS)
        error = np.abs(engine.read().q - setpoint.q[0])
        errors.append(error.max(-1))
        np.testing.assert_array_equal(engine.read().q[0], plain.read().q[0])
    fair, worst = np.max(errors, 0)
    assert worst > 1.5 * fair
    assert worst < 0.5  # it lags, it does not blow up
    engine.close()
    plain.close()


@every_body
def test_a_command_that_does_not_drive_the_body_is_refused_by_name(
    name: str, kind: type[Body]
) -> None:
    engine, _, start = load(name, 2, kind)
    q = start.q[None]  # of whatever width: the kind is checked first
    wrong: Setpoint | Torque = Torque(q) if kind is ArmSpec else Setpoint(q, q, q)
    with pytest.raises(TypeError, match=engine.scene.body.name):
        engine.run(wrong, SUBSTEPS)
    engine.close()


@every_body
def test_a_dead_actuator_gives_no_torque_in_its_world_alone(name: str, kind: type[Body]) -> None:
    if name == "ideal":
        pytest.skip("has no torques")
    engine, task, start = load(name, 3, kind)
    plain, _, _ = load(name, 3, kind)
    parameter = f"actuator.{engine.scene.body.joints[1]}"
    others = [i for i, given in enumerate(task.names) if not given.startswith("actuator.")]
    names = tuple(task.names[i] for i in others)
    values = task.values[:, others]
    for each, shares in ((engine, [1.0, 0.0, 0.5]), (plain, [1.0, 1.0, 1.0])):
        each.write(Task((*names, parameter), np.c_[values, shares], task.ids))
        each.reset(start)
        each.run(moving_command(each, start, 1), 1)
    tau = engine.read().tau
    whole = plain.read().tau
    np.testing.assert_array_equal(tau[0], whole[0])
    assert tau[1, 1] == pytest.approx(0, abs=1e-12)
    assert (np.abs(np.delete(tau[1], 1)) > 0).all()
    if kind is not ArmSpec:  # an arm's servos push back less, and differently from then on
        share = np.ones(tau.shape[1])
        share[1] = 0.5
        np.testing.assert_allclose(tau[2] / whole[2], share, rtol=1e-12)
    engine.close()
    plain.close()


def test_an_inverted_servo_pushes_away_from_its_target_within_its_limits() -> None:
    engine, task, start = load("mujoco", 2, ArmSpec)
    joint = engine.scene.body.joints[1]
    values = np.c_[task.values, [1.0, -1.0]]
    engine.write(Task((*task.names, f"actuator.{joint}"), values, task.ids))
    engine.reset(start)
    target = start.q + 0.3
    for _ in range(10):
        engine.run(hold(target), SUBSTEPS)
        torque = engine.read().tau
        assert (np.abs(torque) <= engine.scene.body.limits.tau + 1e-9).all()
    healthy, inverted = engine.read().q[:, 1] - start.q[:, 1]
    assert healthy > 0.05
    assert inverted < -0.05
    engine.close()


def test_bullet_refuses_to_invert_a_servo() -> None:
    engine, task, _ = load("bullet", 2, ArmSpec)
    joint = engine.scene.body.joints[1]
    values = np.c_[task.values, [1.0, -0.5]]
    with pytest.raises(BadArgumentError, match="Bullet cannot invert a servo"):
        engine.write(Task((*task.names, f"actuator.{joint}"), values, task.ids))
    engine.close()
