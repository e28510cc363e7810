"""A walker in PyBullet: the links of MuJoCo's compiled model, assembled again.

Masses, inertias, shapes, joints with their ranges, springs, dampers and friction are the model's.
Two things differ: the inertia of a rotor is added to the link that carries it, and ground and joint
stops are rigid, where the model's are soft.
"""

from typing import Any

import mujoco
import numpy as np

from robots.arm import Walker
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque
from robots.world import Start
from sim.engines.base import require_command
from sim.engines.bullet_body import BulletBody
from sim.engines.bullet_object import BASE, IDENTITY, Client, xyzw
from sim.scene_model import compile_scene

GROUND, BODY = 1, 2  # Bullet's collision groups, as bits
NO_SHAPE = -1
ORIGIN = [0.0, 0.0, 0.0]


class BulletWalker(BulletBody):
    """One world: the walker and its ground."""

    def __init__(self, walker: Walker, scene: Scene, client: Client) -> None:
        """``client`` is a fresh BulletClient."""
        super().__init__(scene, client)
        self._walker = walker
        model = compile_scene(scene)
        client.setGravity(*model.opt.gravity.tolist())
        self.body = _assemble(client, model)
        self.joints = list(range(model.njnt))
        no_force = [0.0] * model.njnt  # switches Bullet's own motors off
        client.setJointMotorControlArray(
            self.body, self.joints, client.VELOCITY_CONTROL, forces=no_force
        )
        self._stiffness = model.jnt_stiffness.copy()
        self._model_damping = model.dof_damping.copy()
        self._root_zeros = np.zeros(len(walker.root))
        self.measure()

    def place(self, start: Start, i: int) -> None:
        """Put the walker at the i-th row of a start, under no torque yet."""
        super().place(start, i)
        self.tau = np.zeros_like(self.tau)

    def step(self, command: Setpoint | Torque, substeps: int) -> bool:
        """Simulate one tick under torques; springs and dampers are computed in each substep."""
        torque = require_command(self._walker, command, Torque)
        self.tau = self.strength * torque.tau
        driven = np.full(len(self.tau), self.damping)
        added = np.concatenate([self._root_zeros, driven])
        damping = self._model_damping + added
        motor = np.concatenate([self._root_zeros, self.tau])
        client = self.client
        for _ in range(substeps):
            spring = self._stiffness * self.q
            damper = damping * self.dq
            total = motor - spring - damper
            client.setJointMotorControlArray(
                self.body,
                self.joints,
                client.TORQUE_CONTROL,
                forces=total.tolist(),
            )
            client.stepSimulation()
            self.measure()
        return bool(np.isfinite(self.q).all())


def _assemble(client: Client, model: mujoco.MjModel) -> int:
    """Build the body and its ground in Bullet; returns Bullet's number of the body."""
    links = _links(client, model)
    columns = {key: [link[key] for link in links] for key in links[0]}
    walker: int = client.createMultiBody(baseMass=0, **columns)
    for joint in range(model.njnt):
        _set_dynamics(client, model, walker, joint)
    kind = client.GEOM_PLANE
    plane = client.createCollisionShape(kind)
    ground = client.createMultiBody(0, plane)
    # Bullet multiplies the friction of two bodies in contact: with 1 the walker's own counts
    client.changeDynamics(ground, BASE, lateralFriction=1.0, restitution=0)
    client.setCollisionFilterGroupMask(ground, BASE, GROUND, BODY)
    return walker


def _links(client: Client, model: mujoco.MjModel) -> list[dict[str, Any]]:
    """A link for every joint; the last one of a body carries its mass and shapes.

    The first link of a body is placed in the body's parent, the others where the one before is.
    """
    links: list[dict[str, Any]] = []
    link_of_body = {0: 0}  # Bullet's number of a body's last link, counted from 1; 0 is the base
    for joint in range(model.njnt):
        body = int(model.jnt_bodyid[joint])
        is_first = joint == model.body_jntadr[body]
        is_last = _is_last(model, joint)
        parent = link_of_body[int(model.body_parentid[body])] if is_first else len(links)
        is_slide = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        link = {
            "linkMasses": 0.0,
            "linkCollisionShapeIndices": NO_SHAPE,
            "linkVisualShapeIndices": NO_SHAPE,
            "linkPositions": ORIGIN,
            "linkOrientations": IDENTITY,
            "linkInertialFramePositions": ORIGIN,
            "linkInertialFrameOrientations": IDENTITY,
            "linkParentIndices": parent,
            "linkJointTypes": client.JOINT_PRISMATIC if is_slide else client.JOINT_REVOLUTE,
            "linkJointAxis": model.jnt_axis[joint].tolist(),
        }
        if is_first:
            link["linkPositions"] = model.body_pos[body].tolist()
            link["linkOrientations"] = xyzw(model.body_quat[body])
        if is_last:
            link["linkMasses"] = model.body_mass[body]
            link["linkCollisionShapeIndices"] = _make_shape(client, model, body)
            link["linkInertialFramePositions"] = model.body_ipos[body].tolist()
            link["linkInertialFrameOrientations"] = xyzw(model.body_iquat[body])
        links.append(link)
        if is_last:
            link_of_body[body] = len(links)
    return links


def _is_last(model: mujoco.MjModel, joint: int) -> bool:
    """Whether a joint is the last one of its body."""
    body = model.jnt_bodyid[joint]
    return bool(joint == model.body_jntadr[body] + model.body_jntnum[body] - 1)


def _set_dynamics(client: Client, model: mujoco.MjModel, walker: int, joint: int) -> None:
    """Damping, limits, inertia and friction of one joint's link."""
    client.changeDynamics(
        walker,
        joint,
        linearDamping=0,
        angularDamping=0,
        jointDamping=0,
        restitution=0,
        maxJointVelocity=1e3,
    )
    client.setCollisionFilterGroupMask(walker, joint, BODY, GROUND)  # no self-collisions
    if model.jnt_limited[joint]:
        low, high = model.jnt_range[joint].tolist()
        client.changeDynamics(walker, joint, jointLowerLimit=low, jointUpperLimit=high)
    body = int(model.jnt_bodyid[joint])
    if not (_is_last(model, joint) and model.body_mass[body]):
        return
    inertia = model.body_inertia[body] + _rotor_inertia(model, joint)
    first_geom = model.body_geomadr[body]
    sliding_friction = model.geom_friction[first_geom, 0]
    client.changeDynamics(
        walker,
        joint,
        localInertiaDiagonal=inertia.tolist(),
        lateralFriction=float(sliding_friction),
    )


def _rotor_inertia(model: mujoco.MjModel, joint: int) -> Array:
    """What a joint's rotor adds to its link's principal moments, (3,) kg·m²."""
    body = int(model.jnt_bodyid[joint])
    matrix = np.zeros(9)
    quat = model.body_iquat[body]
    mujoco.mju_quat2Mat(matrix, quat)
    principal_axes = matrix.reshape(3, 3)
    axis = principal_axes.T @ model.jnt_axis[joint]
    armature = model.dof_armature[joint]
    return np.asarray(armature * axis**2)


def _make_shape(client: Client, model: mujoco.MjModel, body: int) -> int:
    """A body's capsules, in its frame.

    Raises:
        BadArgumentError: it has other geoms.
    """
    first = model.body_geomadr[body]
    count = model.body_geomnum[body]
    geoms = slice(first, first + count)
    is_capsule = model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_CAPSULE
    if not is_capsule.all():
        raise BadArgumentError(f"{model.body(body).name} is made of more than capsules")
    radius = model.geom_size[geoms, 0]
    length = 2 * model.geom_size[geoms, 1]
    shape = client.createCollisionShapeArray(
        shapeTypes=[client.GEOM_CAPSULE] * count,
        radii=radius.tolist(),
        lengths=length.tolist(),
        collisionFramePositions=model.geom_pos[geoms].tolist(),
        collisionFrameOrientations=[xyzw(quat) for quat in model.geom_quat[geoms]],
    )
    return int(shape)
