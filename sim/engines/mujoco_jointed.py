"""An object on a joint in MuJoCo's simulations: a door, or a drawer. Axes: n worlds."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from robots.rotations import rotate
from robots.scene import SceneObject
from robots.signals import Array, Indices, Pose
from sim.object_joints import JOINT_PLACE


class ObjectOnJoint:
    """Between the pose of an object and the position of its joint, which is a column of qpos."""

    def __init__(self, item: SceneObject, position: Array) -> None:
        """``position`` (n,) rad or m is a view into MuJoCo's qpos."""
        self._joints = item.joints
        self._axes = np.array([joint.axis for joint in item.joints])
        self._turns = np.array([joint.kind == "hinge" for joint in item.joints])
        self._origin = np.array(item.position)  # m, where the object is with its joint at 0
        self._position = position
        n = len(position)
        self._code: NDArray[np.int64] = np.zeros(n, dtype=np.int64)  # which joint its task has
        self._place = np.zeros((n, 3))  # m, of the joint's axis in the object's frame

    def choose(self, parameters: Mapping[str, Array], rows: Indices) -> None:
        """Take the joints of some worlds, by the parameters of their objects."""
        self._code[rows] = parameters["joint"].astype(np.int64)
        place = [parameters[name] for name in JOINT_PLACE]
        self._place[rows] = np.stack(place, -1)

    def put(self, pose: Pose, rows: Indices) -> None:
        """Move the joints of some worlds to where their objects have this pose (n, ...)."""
        quat = None if pose.quat is None else pose.quat[rows]
        shift = pose.pos[rows] - self._origin
        by_joint = [joint.position(shift, quat) for joint in self._joints]
        self._position[rows] = np.choose(self._code[rows], by_joint)

    def pose(self) -> tuple[Array, Array]:
        """Position (n, 3) m and quaternion (n, 4) w, x, y, z of the object.

        A hinge turns it about a line through ``place``, a slide shifts it along its axis. MuJoCo's
        own xpos is a physics step behind qpos until it computes the kinematics of all bodies.
        """
        axis = self._axes[self._code]
        turns = self._turns[self._code]
        position = self._position
        angle = np.where(turns, position, 0.0)[:, None]
        distance = np.where(turns, 0.0, position)[:, None]
        w = np.cos(angle / 2)
        u = np.sin(angle / 2) * axis
        quat = np.concatenate([w, u], 1)
        turned = rotate(self._place, quat)
        shift = self._place - turned
        shift += distance * axis
        return self._origin + shift, quat
