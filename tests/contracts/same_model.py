"""Shared by the tests of one model in every engine: a tree of bodies in MuJoCo and in PyBullet."""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import pytest

from robots.signals import Array, Mask
from sim.engines.bullet_shapes import Client, xyzw
from sim.engines.bullet_trees import BASE, Tree, is_free
from sim.outlines import HIDDEN

SAME = 1e-6  # m, kg, kg·m², N·m
BOX = mujoco.mjtGeom.mjGEOM_BOX
SPHERE = mujoco.mjtGeom.mjGEOM_SPHERE
CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
CAPSULE = mujoco.mjtGeom.mjGEOM_CAPSULE
MESH = mujoco.mjtGeom.mjGEOM_MESH
SIZES = {BOX: 3, SPHERE: 1, CYLINDER: 2, CAPSULE: 2, MESH: 0}  # of MuJoCo's three numbers


@dataclass(frozen=True)
class Both:
    """One tree in both engines."""

    client: Client
    model: mujoco.MjModel
    data: mujoco.MjData
    root: int
    tree: Tree
    solids: Mask  # (ngeom,) the geoms that Bullet has
    rotors: bool = False

    def place(self) -> None:
        """Put Bullet's tree where MuJoCo's is."""
        mujoco.mj_forward(self.model, self.data)
        body = self.tree.body
        for joint, link in self.tree.joints.items():
            self.client.resetJointState(body, link, self.position(joint))
        if is_free(self.model, self.root):
            center = self.data.xipos[self.root].tolist()
            turn = quaternion(self.data.ximat[self.root])
            self.client.resetBasePositionAndOrientation(body, center, turn)

    def position(self, joint: int) -> float:
        """Bullet's position of a joint."""
        address = self.model.jnt_qposadr[joint]
        return float(self.data.qpos[address] - self.model.qpos0[address])

    def check(self) -> None:
        """Everything, in the present state."""
        for body in self.tree.links:
            self._check_body(body)
            self._check_geometry(body)
        self._check_gravity()

    def _center(self, body: int) -> tuple[Array, Array]:
        """Bullet's center of mass of a body, and the axes of its principal moments."""
        link = self.tree.links[body]
        if link == BASE:
            pos, quat = self.client.getBasePositionAndOrientation(self.tree.body)
        else:
            pos, quat = self.client.getLinkState(self.tree.body, link, False, True)[:2]
        return np.array(pos), self._axes(quat)

    def _axes(self, quat: Array) -> Array:
        return np.array(self.client.getMatrixFromQuaternion(quat)).reshape(3, 3)

    def _check_body(self, body: int) -> None:
        """Mass, center of mass and inertia."""
        model = self.model
        mass = model.body_mass[body]
        link = self.tree.links[body]
        info = self.client.getDynamicsInfo(self.tree.body, link)
        assert info[0] == pytest.approx(mass, abs=SAME)
        if not mass:
            return
        pos, axes = self._center(body)
        np.testing.assert_allclose(pos, self.data.xipos[body], atol=SAME)
        found = tensor(axes, np.array(info[2]))
        expected_axes = self.data.ximat[body].reshape(3, 3)
        expected = tensor(expected_axes, model.body_inertia[body])
        expected += self._rotor(body)
        np.testing.assert_allclose(found, expected, atol=SAME)

    def _rotor(self, body: int) -> Array:
        """What the rotor of the body's last joint adds, in the world's frame."""
        joint = self.model.body_jntadr[body] + self.model.body_jntnum[body] - 1
        if not self.rotors or joint < 0:
            return np.zeros((3, 3))
        axis = self.data.xaxis[joint]
        armature = self.model.dof_armature[self.model.jnt_dofadr[joint]]
        return np.asarray(armature * np.outer(axis, axis))

    def _check_geometry(self, body: int) -> None:
        """Sizes, places and axes of the solids."""
        link = self.tree.links[body]
        rows = self.client.getCollisionShapeData(self.tree.body, link)
        is_own = self.model.geom_bodyid == body
        is_shown = self.model.geom_size[:, 0] > HIDDEN
        geoms = np.flatnonzero(self.solids & is_own & is_shown)
        assert len(rows) == len(geoms)
        for row, geom in zip(rows, geoms.tolist(), strict=True):
            found = self._solid(body, row)
            expected = self._geom(geom)
            np.testing.assert_allclose(found, expected, atol=SAME)

    def _solid(self, body: int, row: Any) -> Array:
        """Size, center and z axis of one of Bullet's solids in the world."""
        _, _, kind, extents, _, pos, quat = row[:7]
        center, axes = self._center(body)
        place = center + axes @ np.array(pos)
        direction = axes @ self._axes(quat)
        length, diameter, _ = extents
        client = self.client
        sizes = {
            client.GEOM_BOX: np.array(extents) / 2,
            client.GEOM_SPHERE: np.array([length, 0, 0]),
            client.GEOM_CYLINDER: np.array([diameter, length / 2, 0]),
            client.GEOM_CAPSULE: np.array([diameter, length / 2, 0]),
            client.GEOM_MESH: np.zeros(3),
        }
        return np.concatenate([sizes[kind], place, direction[:, 2]])

    def _geom(self, geom: int) -> Array:
        """The same of one of MuJoCo's geoms."""
        kind = mujoco.mjtGeom(self.model.geom_type[geom])
        size = self.model.geom_size[geom].copy()
        size[SIZES[kind] :] = 0
        axes = self.data.geom_xmat[geom].reshape(3, 3)
        return np.concatenate([size, self.data.geom_xpos[geom], axes[:, 2]])

    def _check_gravity(self) -> None:
        """What gravity asks of each joint, and the mass matrix.

        Bullet computes neither for inertias that only rotors can have.
        """
        joints = sorted(self.tree.joints)
        if is_free(self.model, self.root) or self.rotors or not joints:
            return
        dofs = self.model.jnt_dofadr[joints]
        q = [self.position(joint) for joint in joints]
        zero = [0.0] * len(joints)
        torque = self.client.calculateInverseDynamics(self.tree.body, q, zero, zero)
        np.testing.assert_allclose(torque, self.data.qfrc_bias[dofs], atol=SAME)
        full = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, self.data, full)
        mass = full[np.ix_(dofs, dofs)] - np.diag(self.model.dof_armature[dofs])
        found = np.array(self.client.calculateMassMatrix(self.tree.body, q))
        np.testing.assert_allclose(found, mass, atol=SAME)


def tensor(axes: Array, moments: Array) -> Array:
    """An inertia (3, 3) from its principal axes, as columns, and moments."""
    return np.asarray(axes @ np.diag(moments) @ axes.T)


def quaternion(matrix: Array) -> list[float]:
    """Bullet's quaternion of a rotation (9,)."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, matrix)
    return xyzw(quat)


def unit(rng: np.random.Generator, size: int) -> Array:
    """A random direction, (size,)."""
    vector = rng.normal(size=size)
    return np.asarray(vector / np.linalg.norm(vector))


def random_model(seed: int) -> mujoco.MjModel:
    """Turned bodies on a fixed foot, with up to two joints each, and perhaps one that is free."""
    rng = np.random.default_rng(seed)
    spec = mujoco.MjSpec()
    foot = spec.worldbody.add_body(name="foot", pos=rng.normal(size=3), quat=unit(rng, 4))
    foot.add_geom(type=BOX, size=[0.1, 0.1, 0.1])
    bodies = [foot]
    for number in range(5):
        parent = bodies[rng.integers(len(bodies))]
        body = parent.add_body(
            name=f"body{number}", pos=0.3 * rng.normal(size=3), quat=unit(rng, 4)
        )
        _add_geoms(body, rng)
        for _ in range(rng.integers(0, 3)):
            _add_joint(body, rng)
        bodies.append(body)
    if seed % 2:
        free = spec.worldbody.add_body(name="free")
        _add_geoms(free, rng)
        free.add_freejoint()
        hand = free.add_body(name="hand", pos=rng.normal(size=3))
        _add_geoms(hand, rng)
        _add_joint(hand, rng)
    return spec.compile()


def _add_geoms(body: mujoco.MjsBody, rng: np.random.Generator) -> None:
    for _ in range(rng.integers(1, 3)):
        body.add_geom(
            type=(BOX, SPHERE, CYLINDER, CAPSULE)[rng.integers(4)],
            size=rng.uniform(0.02, 0.1, 3),
            pos=0.1 * rng.normal(size=3),
            quat=unit(rng, 4),
            density=rng.uniform(300, 3000),
        )


def _add_joint(body: mujoco.MjsBody, rng: np.random.Generator) -> None:
    kinds = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)
    body.add_joint(
        type=kinds[rng.integers(2)],
        axis=unit(rng, 3),
        pos=0.1 * rng.normal(size=3),
        ref=rng.uniform(-0.5, 0.5),
        armature=rng.uniform(0, 0.1),
    )
