"""A walker in PyBullet: the links of MuJoCo's compiled model, put together again.

Masses, inertias, shapes, joints with their ranges, springs, dampers and friction are the model's. Two things Bullet
has not: rotors turn with their links, as part of them; and ground and ends of joints are hard, where the model's give.
"""

from typing import Any

import mujoco
import numpy as np

from robots.arm import Walker
from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque
from robots.world import Start
from sim.engines.base import told
from sim.engines.bullet_body import BulletBody
from sim.scene_model import compiled


class BulletWalker(BulletBody):
    """One world: the walker and its ground."""

    def __init__(self, scene: Scene, client: Any) -> None:
        """``client`` is a fresh BulletClient."""
        super().__init__(scene, client)
        assert isinstance(scene.body, Walker)
        self._walker, model = scene.body, compiled(scene)
        client.setGravity(*model.opt.gravity.tolist())
        self.body, self.joints = _assembled(client, model), list(range(model.njnt))
        client.setJointMotorControlArray(
            self.body, self.joints, client.VELOCITY_CONTROL, forces=[0.0] * model.njnt
        )
        self._spring, self._damper = model.jnt_stiffness.copy(), model.dof_damping.copy()
        self._rootless = np.zeros(len(scene.body.root))
        self.measure()

    def place(self, start: Start, i: int) -> None:
        """The walker as the i-th start says, under no torque yet."""
        super().place(start, i)
        self.tau = np.zeros_like(self.tau)

    def step(self, command: Setpoint | Torque, i: int, substeps: int) -> bool:
        """Some substeps under the i-th torques; False when something is no longer finite."""
        self.tau = self.strength * told(self._walker, command, Torque).tau[i]
        damper = self._damper + np.r_[self._rootless, np.full(len(self.tau), self.damping)]
        for _ in range(substeps):
            push = np.r_[self._rootless, self.tau] - self._spring * self.q - damper * self.dq
            self.client.setJointMotorControlArray(
                self.body, self.joints, self.client.TORQUE_CONTROL, forces=push.tolist()
            )
            self.client.stepSimulation()
            self.measure()
        return bool(np.isfinite(self.q).all())


def _assembled(client: Any, model: mujoco.MjModel) -> int:
    """The body in Bullet: a link for every joint, of which the last one of a body carries its mass and shapes."""
    links: list[dict[str, Any]] = []
    of_body = {0: 0}  # Bullet's number of a body's link, counted from 1
    for joint in range(model.njnt):
        body = int(model.jnt_bodyid[joint])
        first = joint == model.body_jntadr[body]
        last = joint == model.body_jntadr[body] + model.body_jntnum[body] - 1
        slides = model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE
        links.append(
            {
                "linkMasses": model.body_mass[body] if last else 0.0,
                "linkCollisionShapeIndices": _shape(client, model, body) if last else -1,
                "linkVisualShapeIndices": -1,
                "linkPositions": model.body_pos[body].tolist() if first else [0.0] * 3,
                "linkOrientations": _turned(model.body_quat[body])
                if first
                else [0.0, 0.0, 0.0, 1.0],
                "linkInertialFramePositions": model.body_ipos[body].tolist() if last else [0.0] * 3,
                "linkInertialFrameOrientations": _turned(model.body_iquat[body])
                if last
                else [0.0, 0.0, 0.0, 1.0],
                "linkParentIndices": of_body[int(model.body_parentid[body])]
                if first
                else len(links),
                "linkJointTypes": client.JOINT_PRISMATIC if slides else client.JOINT_REVOLUTE,
                "linkJointAxis": model.jnt_axis[joint].tolist(),
            }
        )
        if last:
            of_body[body] = len(links)
    walker = client.createMultiBody(
        baseMass=0, **{key: [link[key] for link in links] for key in links[0]}
    )
    for joint in range(model.njnt):
        body = int(model.jnt_bodyid[joint])
        client.changeDynamics(
            walker,
            joint,
            linearDamping=0,
            angularDamping=0,
            jointDamping=0,
            restitution=0,
            maxJointVelocity=1e3,
        )
        client.setCollisionFilterGroupMask(walker, joint, 2, 1)  # the ground and nothing else
        if model.jnt_limited[joint]:
            low, high = model.jnt_range[joint].tolist()
            client.changeDynamics(walker, joint, jointLowerLimit=low, jointUpperLimit=high)
        if links[joint]["linkMasses"]:
            axes = np.zeros(9)
            mujoco.mju_quat2Mat(axes, model.body_iquat[body])
            rotor = model.dof_armature[joint] * (axes.reshape(3, 3).T @ model.jnt_axis[joint]) ** 2
            client.changeDynamics(
                walker,
                joint,
                localInertiaDiagonal=(model.body_inertia[body] + rotor).tolist(),
                lateralFriction=float(model.geom_friction[model.body_geomadr[body], 0]),
            )
    ground = client.createMultiBody(0, client.createCollisionShape(client.GEOM_PLANE))
    client.changeDynamics(
        ground, -1, lateralFriction=1.0, restitution=0
    )  # Bullet multiplies the two
    client.setCollisionFilterGroupMask(ground, -1, 1, 2)
    return int(walker)


def _shape(client: Any, model: mujoco.MjModel, body: int) -> int:
    """A body's capsules, in its frame."""
    geoms = range(model.body_geomadr[body], model.body_geomadr[body] + model.body_geomnum[body])
    if any(model.geom_type[g] != mujoco.mjtGeom.mjGEOM_CAPSULE for g in geoms):
        raise ValueError(f"{model.body(body).name} is made of more than capsules")
    return int(
        client.createCollisionShapeArray(
            shapeTypes=[client.GEOM_CAPSULE for _ in geoms],
            radii=[model.geom_size[g, 0] for g in geoms],
            lengths=[2 * model.geom_size[g, 1] for g in geoms],
            collisionFramePositions=[model.geom_pos[g].tolist() for g in geoms],
            collisionFrameOrientations=[_turned(model.geom_quat[g]) for g in geoms],
        )
    )


def _turned(quat: Array) -> list[float]:
    """Bullet's order of a quaternion: x, y, z, w."""
    return list(np.roll(quat, -1).tolist())
