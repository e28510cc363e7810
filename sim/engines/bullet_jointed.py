"""An object on a hinge or a slide in PyBullet: a door, or a drawer."""

import mujoco
import numpy as np

from robots.rotations import quaternion_from_matrix, rotation_about
from robots.scene import Joint
from robots.signals import Array
from sim.engines.bullet_object import BulletObject
from sim.engines.bullet_shapes import Client
from sim.engines.bullet_trees import Tree
from sim.object_joints import latch_names

UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])  # quaternion w, x, y, z


class JointedObject(BulletObject):
    """One object on a joint as its task has it.

    Dry friction is a motor that holds the joint with at most this torque, as Bullet means it.
    Damping and the latch are torques, computed in each substep from the state before.
    """

    def __init__(self, client: Client, model: mujoco.MjModel, root: int, tree: Tree) -> None:
        """Take over what was built, with the joint that the model has."""
        super().__init__(client, model, root, tree)
        name = model.body(root).name
        number = model.joint(name).id
        degree = model.jnt_dofadr[number]
        is_slide = model.jnt_type[number] == mujoco.mjtJoint.mjJNT_SLIDE
        kind = "slide" if is_slide else "hinge"
        self._axis = model.jnt_axis[number].copy()
        self._joint = Joint(kind, tuple(self._axis.tolist()))
        latch = latch_names(name)
        springs = [i for i in range(model.ntendon) if model.tendon(i).name in latch]
        self._edges = model.tendon_lengthspring[springs, 1].copy()
        self._stiffness = model.tendon_stiffness[springs].copy()
        self._origin = model.body_pos[root].copy()
        self._place = model.jnt_pos[number].copy()
        self._link = tree.joints[number]
        self._friction = float(model.dof_frictionloss[degree])
        self._damping = float(model.dof_damping[degree])

    def begin(self, pos: Array, quat: Array) -> None:
        """Put the object at rest where its joint lets it be, by its frame; see ``BulletObject``."""
        self._gap = np.nan
        (position,) = self._joint.position((pos - self._origin)[None], quat[None])
        self._client.resetJointState(self.body, self._link, float(position), 0.0)

    def resist(self) -> None:
        """Apply friction and damping of the joint in the next substep."""
        client = self._client
        client.setJointMotorControl2(
            self.body, self._link, client.VELOCITY_CONTROL, targetVelocity=0.0, force=self._friction
        )
        if self._damping or self._stiffness.any():
            position, velocity = client.getJointState(self.body, self._link)[:2]
            torque = -self._damping * velocity - self._latch(position)
            client.setJointMotorControl2(self.body, self._link, client.TORQUE_CONTROL, force=torque)

    def _latch(self, position: float) -> float:
        """With what the latch's springs pull back to the closed position, N·m or N."""
        beyond = np.maximum(abs(position) - self._edges, 0.0)
        return float(np.sign(position) * (self._stiffness @ beyond))

    def state(self) -> Array:
        """Position, quaternion w x y z and twist of the frame, (13,), by the joint's."""
        position, velocity = self._client.getJointState(self.body, self._link)[:2]
        axis = self._axis
        if self._joint.kind == "slide":
            pos = self._origin + position * axis
            return np.concatenate([pos, UPRIGHT, velocity * axis, np.zeros(3)])
        rotation = rotation_about(axis, position)
        arm = -rotation @ self._place  # from the axis to the frame
        pos = self._origin + self._place + arm
        quat = quaternion_from_matrix(rotation[None])[0]
        spin = velocity * axis
        return np.concatenate([pos, quat, np.cross(spin, arm), spin])
