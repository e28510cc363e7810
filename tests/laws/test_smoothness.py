"""A policy that jumps moves the arm within its limits, and what is measured of it is right."""

import mujoco
import numpy as np
import pytest

from benchmarks.smooth_motion import (
    analyze,
    difference,
    drive,
    inverse_dynamics,
    random_actions,
    shares,
)
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.scene import Scene
from robots.signals import Array
from sim.families.reach import Reach
from sim.scene_model import compile_scene

FR3: ArmSpec = ARMS["fr3"]
ROUNDING = 1e-6  # of a limit; third differences of positions lose ten digits


def limits_of(arm: ArmSpec) -> dict[str, Array]:
    limits = arm.limits
    return {
        "velocity": limits.dq,
        "acceleration": limits.ddq,
        "jerk": limits.jerk,
        "torque": limits.tau,
    }


def test_the_jerk_of_a_cubic_is_its_third_derivative() -> None:
    dt = 0.01
    t = dt * np.arange(50)[:, None]
    q = 0.5 * t**3 + t**2
    jerk = difference(difference(difference(q, dt), dt), dt)
    np.testing.assert_allclose(jerk[3:], 3.0, rtol=1e-6)


def test_at_rest_the_torque_is_the_slope_of_the_potential_energy() -> None:
    model = compile_scene(Scene(FR3))
    data = mujoco.MjData(model)

    def energy(q: Array) -> float:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        height = data.xipos[:, 2]
        return float(9.81 * (model.body_mass * height).sum())

    step = 1e-5
    slope = []
    for direction in step * np.eye(7):
        change = energy(FR3.home + direction) - energy(FR3.home - direction)
        slope.append(change / (2 * step))
    still = np.zeros((1, 7))
    (torque,) = inverse_dynamics(FR3, FR3.home[None], still, still)
    assert np.abs(torque).max() > 5.0
    np.testing.assert_allclose(torque, slope, atol=1e-4)


def test_an_acceleration_costs_the_inertia_of_links_and_rotors() -> None:
    q = np.tile(FR3.home, (8, 1))
    ddq = np.concatenate([np.zeros((1, 7)), np.eye(7)])
    torque = inverse_dynamics(FR3, q, np.zeros((8, 7)), ddq)
    inertia = torque[1:] - torque[0]
    np.testing.assert_allclose(inertia, inertia.T, atol=1e-9)
    assert (np.linalg.eigvalsh(inertia - np.diag(FR3.armature)) > 0).all()


@pytest.mark.parametrize(("name", "rate"), [("fr3", 10), ("fr3", 30), ("ur5e", 10)])
def test_a_policy_that_jumps_moves_the_arm_within_its_limits(name: str, rate: int) -> None:
    arm = ARMS[name]
    q = drive(arm, rate, 0.4, seed=1)
    np.testing.assert_array_equal(q[0], Reach(arm).ready)
    dt = {"fr3": 0.004, "ur5e": 0.002}[name]
    motion = analyze(arm, q, dt)
    for quantity, share in shares(motion, limits_of(arm)).items():
        assert share.max() <= 1 + ROUNDING, quantity
        assert share.max() > 0.1, quantity
    np.testing.assert_allclose(motion.velocity[-1], 0.0, atol=1e-6)


def test_a_jump_of_the_setpoints_would_be_seen() -> None:
    q = np.tile(FR3.home, (20, 1))
    q[10:, 3] += 0.001
    share = shares(analyze(FR3, q, 0.004), limits_of(FR3))["jerk"]
    assert share[10, 3] == pytest.approx(0.001 / 0.004**3 / FR3.limits.jerk[3])
    assert share.max() > 3.0


@pytest.mark.parametrize("rate", [10, 30])
def test_random_actions_keep_the_tool_in_the_zone(rate: int) -> None:
    family = Reach(FR3)
    actions = random_actions(family, rate, 10.0)
    moved = np.cumsum(actions, 0) * family.zone.speed / rate
    assert (np.abs(moved) <= family.zone.half_range + 1e-9).all()
    assert (np.abs(actions) == 1).all()
    assert (actions.min(0) < actions.max(0)).all()
