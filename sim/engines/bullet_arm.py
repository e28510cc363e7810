"""An arm in PyBullet: its base fixed, its joints velocity constraints, and perhaps an object on a plane.

The constraints also close the position error, within torque limits. Other servos than MuJoCo's springs and dampers, by
intention: a second physics is worth most where it differs.
"""

from typing import Any

import numpy as np
import pybullet

from robots.arm import ArmSpec
from robots.scene import Scene
from robots.signals import Array, Setpoint, Torque
from robots.world import Start
from sim import objects
from sim.engines.base import told
from sim.engines.bullet_body import BulletBody

STIFFNESS = 0.2  # share of the position error that a servo closes in one substep


class BulletArm(BulletBody):
    """One world: the arm, and its object where the scene has one."""

    def __init__(self, scene: Scene, client: Any) -> None:
        """``client`` is a fresh BulletClient."""
        super().__init__(scene, client)
        assert isinstance(scene.body, ArmSpec)
        self._arm, self._dt = scene.body, scene.timestep
        client.setGravity(0, 0, -9.81)
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE
        self.body = client.loadURDF(str(scene.body.urdf), useFixedBase=True, flags=flags)
        index = {
            client.getJointInfo(self.body, i)[1].decode(): i
            for i in range(client.getNumJoints(self.body))
        }
        links = {
            client.getJointInfo(self.body, i)[12].decode(): i
            for i in range(client.getNumJoints(self.body))
        }
        self.joints = [index[name] for name in scene.body.joints]
        self._striker = links.get("striker", links[scene.body.tool])
        for i in range(-1, client.getNumJoints(self.body)):
            client.changeDynamics(self.body, i, linearDamping=0, angularDamping=0, jointDamping=0)
        self._table = None
        if scene.loose_object:
            plane = client.createCollisionShape(pybullet.GEOM_PLANE)
            self._table = client.createMultiBody(0, plane)
            client.changeDynamics(self._table, -1, lateralFriction=1.0, restitution=0.0)
            client.setCollisionFilterGroupMask(self._table, -1, 1, 1)
        self._object: int | None = None
        self.measure()

    def make_object(
        self, p: dict[str, float], made_of: objects.Parts, weight: objects.Inertia, i: int
    ) -> None:
        """Make the i-th object of a batch, in the place of the last one."""
        client = self.client
        if self._object is not None:
            client.removeBody(self._object)
        used = np.flatnonzero(made_of.used[i])
        kinds: dict[str, list[Any]] = {
            "shapeTypes": [],
            "halfExtents": [],
            "radii": [],
            "lengths": [],
        }
        for k in used:
            size = made_of.size[i, k]
            kinds["shapeTypes"].append(pybullet.GEOM_BOX if k < 2 else pybullet.GEOM_CYLINDER)
            kinds["halfExtents"].append(size.tolist() if k < 2 else [0.0] * 3)
            kinds["radii"].append(0.0 if k < 2 else size[0])
            kinds["lengths"].append(0.0 if k < 2 else 2 * size[1])
        shape = client.createCollisionShapeArray(
            **kinds, collisionFramePositions=[made_of.pos[i, k].tolist() for k in used]
        )
        self._com = weight.com[i]
        self._object = client.createMultiBody(
            baseMass=p["object.mass"],
            baseCollisionShapeIndex=shape,
            baseInertialFramePosition=self._com.tolist(),
        )
        client.changeDynamics(
            self._object,
            -1,
            lateralFriction=p["object.friction"],
            restitution=p["object.restitution"],
            spinningFriction=0.0,
            rollingFriction=0.0,
            linearDamping=0.0,
            angularDamping=0.0,
            localInertiaDiagonal=weight.moments[i].tolist(),
            activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING,
            contactProcessingThreshold=0.0,
        )
        client.changeDynamics(self.body, self._striker, lateralFriction=1.0, restitution=1.0)

    def place(self, start: Start, i: int) -> None:
        """Everything as the i-th start says, the object at rest."""
        super().place(start, i)
        if self._object is not None:
            pos, (w, x, y, z) = start.object_pos[i], start.object_quat[i]
            center, turn = self.client.multiplyTransforms(
                pos.tolist(), [x, y, z, w], self._com.tolist(), [0, 0, 0, 1]
            )
            self.client.resetBasePositionAndOrientation(self._object, center, turn)
            self.client.resetBaseVelocity(self._object, [0, 0, 0], [0, 0, 0])

    def step(self, command: Setpoint | Torque, i: int, substeps: int) -> bool:
        """Some substeps to the i-th targets; False when something is no longer finite."""
        setpoint = told(self._arm, command, Setpoint)
        q, dq = setpoint.q[i], setpoint.dq[i]
        # damping takes torque from a servo that speeds up and lends it to one that brakes; Bullet's own blows up
        push = np.sign(dq + STIFFNESS * (q - self.q) / self._dt - self.dq)
        most = np.maximum(
            self.strength * self._arm.limits.tau - self.damping * push * self.dq, 0.0
        ).tolist()
        gains, ones = [STIFFNESS] * len(q), [1.0] * len(q)
        for left in range(substeps - 1, -1, -1):
            target = (
                q - left * self._dt * dq
            ).tolist()  # the setpoint is where to be when the tick ends
            self.client.setJointMotorControlArray(
                self.body,
                self.joints,
                pybullet.POSITION_CONTROL,
                target,
                dq.tolist(),
                most,
                gains,
                ones,
            )
            self.client.stepSimulation()
        self.measure()
        return bool(np.isfinite(self.q).all())

    def measure(self) -> list[Any]:
        """Torques too, those of the constraints."""
        states = super().measure()
        self.tau = np.array([state[3] for state in states])
        return states

    def object_state(self) -> Array:
        """Position, quaternion w x y z, linear and angular velocity of the object's frame, (13,)."""
        if self._object is None:
            return np.full(13, np.nan)
        center, turn = self.client.getBasePositionAndOrientation(self._object)
        back = (-self._com).tolist()
        pos, (x, y, z, w) = self.client.multiplyTransforms(center, turn, back, [0, 0, 0, 1])
        (vx, vy, vz), (a, b, c) = self.client.getBaseVelocity(self._object)
        rx, ry, rz = (there - at for there, at in zip(pos, center, strict=True))
        velocity = vx + b * rz - c * ry, vy + c * rx - a * rz, vz + a * ry - b * rx
        return np.array([*pos, w, x, y, z, *velocity, a, b, c])
