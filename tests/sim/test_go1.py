"""A Go1 of primitives: its numbers, its servos, and its family."""

import mujoco
import numpy as np
import pytest

from robots.legged import JointPosition, ServoGate
from robots.signals import Array, Setpoint, Verdict
from robots.world import Start, Task
from sim.engines.bullet import BulletEngine
from sim.engines.mujoco import MujocoEngine
from sim.families.go1_vel import HEIGHT, OBS, PAYLOAD, QUAT, ROOT, ROUGHNESS, Go1Vel
from sim.go1 import GO1, LEGS
from sim.scene_model import compile_scene
from sim.vec_world import VecWorld

FAMILY = Go1Vel()
MODEL = compile_scene(FAMILY.scene)
DT = 0.02
SUBSTEPS = 5
GRAVITY = 9.81
TRUNK_MASS = 5.205  # kg, with the IMU
LEG_MASS = 0.591 + 0.92 + 0.131 + 0.06
STIFFNESS = 35.0  # N·m/rad
PHYSICS = (ROUGHNESS, PAYLOAD, "actuator.strength")


def test_it_weighs_what_unitree_says_and_its_feet_are_where_its_links_end() -> None:
    assert MODEL.body_mass.sum() == pytest.approx(TRUNK_MASS + 4 * LEG_MASS)
    data = mujoco.MjData(MODEL)
    data.qpos[:ROOT] = (0, 0, 1, 1, 0, 0, 0)
    data.qpos[ROOT:] = 0.0  # stretched legs
    mujoco.mj_kinematics(MODEL, data)
    for leg, front, side in (("FR", 1, -1), ("FL", 1, 1), ("RR", -1, -1), ("RL", -1, 1)):
        expected = (front * 0.1881, side * (0.04675 + 0.08), 1 - 2 * 0.213)
        np.testing.assert_allclose(data.body(f"{leg}_foot").xpos, expected, atol=1e-9)


def test_left_and_right_legs_are_mirrored() -> None:
    data = mujoco.MjData(MODEL)
    data.qpos[3] = 1.0
    mujoco.mj_forward(MODEL, data)
    mass_matrix = np.zeros((MODEL.nv, MODEL.nv))
    mujoco.mj_fullM(MODEL, data, mass_matrix)
    right = mass_matrix[6:9, 6:9]
    left = mass_matrix[9:12, 9:12]
    mirror = np.array([-1.0, 1.0, 1.0])  # the hip turns the other way
    # the calf's center of mass is 1.3 mm to the left on both sides, as in Unitree's file
    np.testing.assert_allclose(right, left * np.outer(mirror, mirror), atol=2e-4)
    assert right[0, 0] > 0.02


def stand(
    values: Array, ticks: int = 150, names: tuple[str, ...] = PHYSICS
) -> tuple[MujocoEngine, Array]:
    """Robots with the named physics (n, p), and their positions after some ticks at home."""
    n = len(values)
    engine = MujocoEngine()
    engine.load(FAMILY.scene, n)
    engine.write(Task(names, values, np.arange(n)))
    q = np.zeros((n, ROOT + len(GO1.joints)))
    q[:, 2] = HEIGHT
    q[:, 3] = 1.0
    q[:, ROOT:] = GO1.home
    engine.reset(Start(q))
    home = np.repeat(GO1.home[None, None], n, 1).repeat(ticks, 0)
    engine.run(Setpoint(home, 0 * home, 0 * home), SUBSTEPS)
    return engine, engine.read().q


def test_a_payload_presses_it_down_and_servos_are_springs_of_their_strength() -> None:
    strength = np.array([1.0, 1.0, 0.6])
    values = np.stack([np.zeros(3), [1.0, 2.0, 1.0], strength], 1)
    engine, q = stand(values)
    tau = engine.read().tau
    sag = GO1.home - q[:, ROOT:]
    engine.close()
    np.testing.assert_allclose(tau, strength[:, None] * STIFFNESS * sag, atol=0.02)
    light, heavy, weak = q[:, 2]
    assert 0.15 < heavy < light - 0.01
    assert 0.15 < weak < light - 0.01
    upright = 1 - 2 * (q[:, 4] ** 2 + q[:, 5] ** 2)
    assert (upright > 0.95).all()


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_the_servos_of_a_leg_are_springs_of_its_own_strength(split: str) -> None:
    task = FAMILY.sample(np.random.default_rng(0), 3, split)
    engine, q = stand(task.values, names=task.names)
    tau = engine.read().tau
    engine.close()
    sag = GO1.home - q[:, ROOT:]
    for leg in LEGS:
        joints = [GO1.joints.index(f"{leg}_{part}") for part in ("hip", "thigh", "calf")]
        strength = task[f"actuator.{leg}_calf"][:, None]
        expected = strength * STIFFNESS * sag[:, joints]
        np.testing.assert_allclose(tau[:, joints], expected, atol=0.05)
    strengths = task.columns(*(f"actuator.{leg}_hip" for leg in LEGS))
    assert ((strengths < 1).sum(1) == 1).all()  # one leg is weak


def test_a_weak_leg_gives_way() -> None:
    joints = ("FR_hip", "FR_thigh", "FR_calf")
    names = tuple(f"actuator.{joint}" for joint in joints)
    engine, q = stand(np.array([[1.0, 1.0, 1.0], [0.4, 0.4, 0.4]]), names=names)
    engine.close()
    bent = abs(q[:, ROOT:] - GO1.home)
    knee = GO1.joints.index("FR_calf")
    assert bent[1, knee] > 1.3 * bent[0, knee]
    roll = np.arctan2(2 * q[:, 3] * q[:, 4], 1 - 2 * q[:, 4] ** 2)
    assert roll[1] > roll[0] + 0.02  # the right side is lower


def test_the_ground_carries_its_weight() -> None:
    engine, q = stand(np.array([[0.0, 1.0, 1.0]]), ticks=300)
    engine.close()
    data = mujoco.MjData(MODEL)
    data.qpos[:] = q[0]
    data.ctrl[:] = GO1.home
    mujoco.mj_forward(MODEL, data)
    force = 0.0
    for number in range(data.ncon):
        wrench = np.zeros(6)
        mujoco.mj_contactForce(MODEL, data, number, wrench)
        force += wrench[0]
    assert force == pytest.approx(GRAVITY * (TRUNK_MASS + 4 * LEG_MASS), rel=0.02)


def test_a_servo_gives_no_more_than_its_torque() -> None:
    engine, q = stand(np.array([[0.0, 1.0, 0.5]]), ticks=1)
    start = q.copy()
    start[:, 2] = 5.0  # in the air, and far from its targets
    start[:, ROOT:] = GO1.limits.q_low
    engine.reset(Start(start))
    high = GO1.limits.q_high[None, None]
    engine.run(Setpoint(high, 0 * high, 0 * high), 1)
    tau = engine.read().tau
    engine.close()
    np.testing.assert_allclose(tau, 0.5 * 23.7, rtol=1e-9)


def test_targets_keep_ranges_and_speeds() -> None:
    gate = ServoGate(GO1.limits, DT, 3)
    q = np.concatenate([np.zeros((3, ROOT)), np.tile(GO1.home, (3, 1))], 1)
    gate.reset(q)
    request = np.zeros((3, 12))
    request[0, 0] = 10.0
    request[1, 0] = 100.0
    request[2, 0] = np.nan
    setpoint, verdict = gate(request)
    np.testing.assert_allclose(setpoint.q[:, 0], [10 * DT, 30.1 * DT, 0.0], atol=1e-12)
    assert verdict.tolist() == [0, Verdict.LIMITED, Verdict.DROPPED | Verdict.HELD]
    for _ in range(10):
        setpoint, _ = gate(np.full((3, 12), 30.0))
    np.testing.assert_allclose(setpoint.q, np.tile(GO1.limits.q_high, (3, 1)))
    gate.reset(q, np.array([True, False, False]))
    np.testing.assert_allclose(gate.setpoint.q[0], GO1.home)
    np.testing.assert_allclose(gate.setpoint.q[1], GO1.limits.q_high)


def test_an_action_is_the_offset_of_a_target_from_home() -> None:
    action_map = JointPosition(GO1, 0.5, DT)
    gate = ServoGate(GO1.limits, DT, 2)
    gate.reset(np.tile(GO1.home, (2, 1)))
    action = np.random.default_rng(0).uniform(-1, 1, (2, 12))
    setpoint, verdict = gate(action_map(action, gate.setpoint))
    np.testing.assert_allclose(setpoint.q, GO1.home + 0.5 * action, atol=1e-12)
    assert not verdict.any()
    np.testing.assert_allclose(action_map.standstill(gate.setpoint), action, atol=1e-12)


def test_velocities_are_observed_in_the_frame_of_the_trunk() -> None:
    rng = np.random.default_rng(0)
    quat = rng.standard_normal((5, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    vector = rng.standard_normal((5, 3))
    world = VecWorld(FAMILY, "mujoco", 5)
    world.reset(FAMILY.sample(rng, 5))
    signals = world.signals
    first = OBS.index("forward.velocity")
    signals.q[:, QUAT] = quat
    signals.dq[:, :3] = vector
    velocity = FAMILY.observe(signals)[:, first : first + 3]
    for i, seen in enumerate(velocity):
        backward = np.zeros(4)
        mujoco.mju_negQuat(backward, quat[i])
        expected = np.zeros(3)
        mujoco.mju_rotVecQuat(expected, vector[i], backward)
        np.testing.assert_allclose(seen, expected, atol=1e-12)


def test_only_mujoco_simulates_it() -> None:
    assert MujocoEngine.supports(FAMILY.scene)
    assert not BulletEngine.supports(FAMILY.scene)
    assert len(OBS) == 5 + 12 + 6 + 12 + 2
