"""One URDF, three readers: MuJoCo, PyBullet and our own kinematics agree on every arm."""

import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pybullet
import pytest
from toys.rail import RAIL

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.engine_urdf import engine_urdf
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix, rotate, rotate_back
from robots.signals import Array

ALL_ARMS = {**ARMS, RAIL.name: RAIL}


@pytest.fixture(params=list(ALL_ARMS))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ALL_ARMS[request.param]


def configurations(arm: ArmSpec, n: int = 100) -> Array:
    """Joint positions (n, j) within the limits; a gripper is closed, as its masses assume."""
    rng = np.random.default_rng(0)
    q = rng.uniform(arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints)))
    if arm.gripper is not None:
        q[:, -1] = arm.gripper.closed
    return q


def angle(a: Array, b: Array) -> Array:
    """The angle between orientations (..., 4), rad."""
    a = normalized(a)
    b = normalized(b)
    difference = np.linalg.norm(a - b, axis=-1)
    to_the_opposite = np.linalg.norm(a + b, axis=-1)  # -b is the same orientation as b
    distance = np.minimum(difference, to_the_opposite)
    return 4 * np.arcsin(distance / 2)


def normalized(v: Array) -> Array:
    """Vectors (..., k) of length 1."""
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def test_mujoco_agrees_on_pose_and_gravity(arm: ArmSpec) -> None:
    q = configurations(arm)
    urdf = engine_urdf(arm)
    spec = mujoco.MjSpec.from_string(urdf.text, assets=urdf.meshes)
    spec.compiler.fusestatic = False
    model = spec.compile()
    data = mujoco.MjData(model)
    pos = []
    quat = []
    torque = []
    for row in q:
        data.qpos[: len(row)] = row
        mujoco.mj_forward(model, data)
        pos.append(data.body(arm.tool).xpos.copy())
        quat.append(data.body(arm.tool).xquat.copy())
        torque.append(data.qfrc_bias.copy())
    assert_agreement(arm, q, np.array(pos), np.array(quat), np.array(torque), 1e-9)


def test_pybullet_agrees_on_pose_and_gravity(arm: ArmSpec) -> None:
    q = configurations(arm)
    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setGravity(0, 0, -9.81)
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        urdf = engine_urdf(arm)
        with urdf.written() as path:
            body = pybullet.loadURDF(str(path), useFixedBase=True, flags=flags)
        joints = {}
        links = {}
        for i in range(pybullet.getNumJoints(body)):
            info = pybullet.getJointInfo(body, i)
            joints[info[1].decode()] = i
            links[info[12].decode()] = i
        pos = []
        quat = []
        torque = []
        for row in q:
            for name, value in zip(arm.joints, row, strict=True):
                pybullet.resetJointState(body, joints[name], value)
            state = pybullet.getLinkState(body, links[arm.tool], computeForwardKinematics=True)
            pos.append(state[4])
            quat.append(np.roll(state[5], 1))
            others = [0.0] * len(urdf.followers)  # fingers that follow, closed
            place = row.tolist() + others
            zero = [0.0] * len(place)
            torque.append(pybullet.calculateInverseDynamics(body, place, zero, zero))
    finally:
        pybullet.disconnect(client)
    assert_agreement(arm, q, np.array(pos), np.array(quat), np.array(torque), 1e-5)


def assert_agreement(
    arm: ArmSpec, q: Array, pos: Array, quat: Array, torque: Array, tolerance: float
) -> None:
    """Position to ``tolerance`` m, orientation to 0.1 mrad and torque to 1 %."""
    kinematics = Kinematics(arm)
    our_pos, our_quat = kinematics.forward(q)
    assert np.linalg.norm(our_pos - pos, axis=-1).max() < tolerance
    assert angle(our_quat, quat).max() < 1e-4
    moving = len(arm.tool_joints)
    torque = torque[:, :moving]
    error = kinematics.gravity(q)[:, :moving] - torque
    assert np.abs(error).max() < 0.01 * np.abs(torque).max()
    assert (np.linalg.norm(error, axis=-1) < 0.01 * np.linalg.norm(torque, axis=-1)).all()


def test_the_jacobian_is_the_derivative_of_the_pose(arm: ArmSpec) -> None:
    q = configurations(arm, 20)
    h = 1e-6
    kinematics = Kinematics(arm)
    _, rotation, jacobian = kinematics.forward_jacobian(q)
    for j in range(len(arm.joints)):
        step = h * np.eye(len(arm.joints))[j]
        ahead, turned, _ = kinematics.forward_jacobian(q + step)
        behind, _, _ = kinematics.forward_jacobian(q - step)
        linear = (ahead - behind) / (2 * h)
        spin = (turned - rotation) / h @ rotation.swapaxes(1, 2)  # skew matrix of the rotation
        angular = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], -1)
        assert np.allclose(linear, jacobian[:, :3, j], atol=1e-6)
        assert np.allclose(angular, jacobian[:, 3:, j], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in ALL_ARMS if ALL_ARMS[name].gripper is None])
def test_axes_may_point_anywhere(name: str, tmp_path: Path) -> None:
    arm = ALL_ARMS[name]
    rng = np.random.default_rng(2)

    def random_axis(_: re.Match[str]) -> str:
        v = rng.normal(size=3)
        x, y, z = v / np.linalg.norm(v)
        return f'<axis xyz="{x} {y} {z}"'

    text = re.sub(r'<axis xyz="[^"]*"', random_axis, arm.urdf.read_text())
    tilted = tmp_path / "tilted.urdf"
    tilted.write_text(text)
    without_shapes = re.sub(r"<(visual|collision).*?</\1>", "", text, flags=re.DOTALL)
    spec = mujoco.MjSpec.from_string(without_shapes)
    spec.compiler.fusestatic = False
    model = spec.compile()
    data = mujoco.MjData(model)
    driven = [
        model.joint(name).qposadr[0] for name in arm.joints
    ]  # of a gripper's others stay at 0
    kinematics = Kinematics(replace(arm, urdf=tilted))
    q = configurations(arm, 20)
    pos, quat = kinematics.forward(q)
    for i, row in enumerate(q):
        data.qpos[driven] = row
        mujoco.mj_forward(model, data)
        tool = data.body(arm.tool)
        assert np.allclose(pos[i], tool.xpos, atol=1e-6)
        assert angle(quat[i], tool.xquat) < 1e-5
    links = kinematics.frames(q)[-1, :-1]
    for link, joint in zip(links, arm.joints, strict=True):
        body = data.body(model.joint(joint).bodyid[0])
        expected = np.column_stack([body.xmat.reshape(3, 3), body.xpos])
        assert np.allclose(link[:3], expected, atol=1e-6)
    assert np.allclose(kinematics.position(q), pos, atol=1e-14)
    assert np.allclose(kinematics.gravity(q)[-1], data.qfrc_bias[driven], atol=1e-3)


def test_a_batch_equals_its_rows(arm: ArmSpec) -> None:
    q = configurations(arm, 7)
    kinematics = Kinematics(arm)
    batch = kinematics.forward_jacobian(q)
    single = kinematics.forward_jacobian(q[3:4])
    for whole, row in zip(batch, single, strict=True):
        assert np.allclose(whole[3], row[0], atol=1e-14)


def test_quaternions_turn_vectors_as_matrices_do() -> None:
    quat = normalized(np.random.default_rng(1).normal(size=(200, 4)))
    w, x, y, z = quat.T
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    assert angle(quaternion_from_matrix(matrix), quat).max() < 1e-6
    v = np.random.default_rng(2).normal(size=(200, 3))
    turned = np.einsum("nij,nj->ni", matrix, v)
    np.testing.assert_allclose(rotate(v, quat), turned, atol=1e-12)
    np.testing.assert_allclose(rotate_back(turned, quat), v, atol=1e-12)
