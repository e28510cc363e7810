"""One description, three readers: MuJoCo, PyBullet and our own kinematics agree on every arm."""

import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pybullet
import pytest

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix
from robots.signals import Array


@pytest.fixture(params=list(ARMS))
def arm(request: pytest.FixtureRequest) -> ArmSpec:
    return ARMS[request.param]


def some(arm: ArmSpec, n: int = 100) -> Array:
    return np.random.default_rng(0).uniform(
        arm.limits.q_low, arm.limits.q_high, (n, len(arm.joints))
    )


def angle(a: Array, b: Array) -> Array:
    """Between orientations (n, 4), rad."""
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    apart = np.minimum(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))
    return 4 * np.arcsin(apart / 2)


def test_mujoco_agrees_on_pose_and_gravity(arm: ArmSpec) -> None:
    q = some(arm)
    spec = mujoco.MjSpec.from_file(str(arm.urdf))
    spec.compiler.fusestatic = False
    model = spec.compile()
    data = mujoco.MjData(model)
    pos, quat, torque = [], [], []
    for row in q:
        data.qpos[:] = row
        mujoco.mj_forward(model, data)
        pos.append(data.body(arm.tool).xpos.copy())
        quat.append(data.body(arm.tool).xquat.copy())
        torque.append(data.qfrc_bias.copy())
    agree(arm, q, np.array(pos), np.array(quat), np.array(torque))


def test_pybullet_agrees_on_pose_and_gravity(arm: ArmSpec) -> None:
    q = some(arm)
    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setGravity(0, 0, -9.81)
        body = pybullet.loadURDF(
            str(arm.urdf), useFixedBase=True, flags=pybullet.URDF_USE_INERTIA_FROM_FILE
        )
        info = [pybullet.getJointInfo(body, i) for i in range(pybullet.getNumJoints(body))]
        joints = [
            next(i for i, x in enumerate(info) if x[1].decode() == name) for name in arm.joints
        ]
        tool = next(i for i, x in enumerate(info) if x[12].decode() == arm.tool)
        pos, quat, torque = [], [], []
        for row in q:
            for joint, value in zip(joints, row, strict=True):
                pybullet.resetJointState(body, joint, value)
            state = pybullet.getLinkState(body, tool, computeForwardKinematics=True)
            pos.append(state[4])
            quat.append(np.roll(state[5], 1))
            still = [0.0] * len(row)
            torque.append(pybullet.calculateInverseDynamics(body, row.tolist(), still, still))
    finally:
        pybullet.disconnect(client)
    agree(arm, q, np.array(pos), np.array(quat), np.array(torque))


def agree(arm: ArmSpec, q: Array, pos: Array, quat: Array, torque: Array) -> None:
    kinematics = Kinematics(arm)
    our_pos, our_quat = kinematics.forward(q)
    assert np.linalg.norm(our_pos - pos, axis=-1).max() < 1e-5
    assert angle(our_quat, quat).max() < 1e-4
    ours = kinematics.gravity(q)
    assert np.abs(ours - torque).max() < 0.01 * np.abs(torque).max()
    assert (np.linalg.norm(ours - torque, axis=-1) < 0.01 * np.linalg.norm(torque, axis=-1)).all()


def test_the_jacobian_is_the_derivative_of_the_pose(arm: ArmSpec) -> None:
    q, h = some(arm, 20), 1e-6
    kinematics = Kinematics(arm)
    _, rotation, jacobian = kinematics.forward_jacobian(q)
    for j in range(len(arm.joints)):
        step = h * np.eye(len(arm.joints))[j]
        (ahead, turned, _), (behind, _, _) = (
            kinematics.forward_jacobian(q + step),
            kinematics.forward_jacobian(q - step),
        )
        assert np.allclose((ahead - behind) / (2 * h), jacobian[:, :3, j], atol=1e-6)
        spin = (turned - rotation) / h @ rotation.swapaxes(1, 2)
        found = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], -1)
        assert np.allclose(found, jacobian[:, 3:, j], atol=1e-4)


def test_axes_may_point_anywhere(arm: ArmSpec, tmp_path: Path) -> None:
    rng, text = np.random.default_rng(2), arm.urdf.read_text()
    tilted = tmp_path / "tilted.urdf"
    tilted.write_text(
        re.sub(r'<axis xyz="[^"]*"', lambda _: '<axis xyz="{} {} {}"'.format(*unit(rng)), text)
    )
    spec = mujoco.MjSpec.from_string(
        re.sub(r"<(visual|collision).*?</\1>", "", tilted.read_text(), flags=re.DOTALL)
    )
    spec.compiler.fusestatic = False
    model, q = spec.compile(), some(arm, 20)
    data, kinematics = mujoco.MjData(model), Kinematics(replace(arm, urdf=tilted))
    pos, quat = kinematics.forward(q)
    for i, row in enumerate(q):
        data.qpos[:] = row
        mujoco.mj_forward(model, data)
        tool = data.body(arm.tool)
        assert np.allclose(pos[i], tool.xpos, atol=1e-6)
        assert angle(quat[i], tool.xquat) < 1e-5
    links = kinematics.frames(q)[-1, :-1]
    for link, joint in zip(links, arm.joints, strict=True):
        body = data.body(model.joint(joint).bodyid[0])
        assert np.allclose(
            link[:3], np.column_stack([body.xmat.reshape(3, 3), body.xpos]), atol=1e-6
        )
    assert np.allclose(kinematics.position(q), pos, atol=1e-14)
    assert np.allclose(kinematics.gravity(q)[-1], data.qfrc_bias, atol=1e-3)


def unit(rng: np.random.Generator) -> Array:
    v = rng.normal(size=3)
    return np.asarray(v / np.linalg.norm(v))


def test_inverse_brings_the_tool_where_it_was_asked(arm: ArmSpec) -> None:
    kinematics = Kinematics(arm)
    pos, quat = kinematics.forward(arm.home[None])
    there = pos[0] + (0.05, -0.04, 0.03)
    turnable = len(arm.joints) >= 6  # fewer joints have no say in the orientation
    q = kinematics.inverse(there, quat[0] if turnable else None)
    assert ((q >= arm.limits.q_low) & (q <= arm.limits.q_high)).all()
    found, turned = kinematics.forward(q[None])
    assert np.linalg.norm(found - there) < 1e-4
    assert not turnable or angle(turned, quat).max() < 2e-3
    with pytest.raises(ValueError, match="cannot bring its tool"):
        kinematics.inverse(np.array([3.0, 0, 0]))


def test_a_batch_is_its_rows(arm: ArmSpec) -> None:
    q, kinematics = some(arm, 7), Kinematics(arm)
    for whole, row in zip(
        kinematics.forward_jacobian(q), kinematics.forward_jacobian(q[3:4]), strict=True
    ):
        assert np.allclose(whole[3], row[0], atol=1e-14)


def test_quaternions_turn_vectors_as_matrices_do() -> None:
    v = np.random.default_rng(1).normal(size=(200, 4))
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    w, x, y, z = v.T
    matrix = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    assert angle(quaternion_from_matrix(matrix), v).max() < 1e-6
