"""Geometry and gravity of a serial arm: batched NumPy, exact, and fast enough for every tick.

Axes: n configurations, j joints. All results are in the frame of the arm's base.

Every moving link's frame is rotated so that its joint turns it about z (``urdf.MovingLink``). The
pose of link i + 1 in the base frame is then pose_i · Rz(q_i) · fixed_i with a constant fixed_i, and
Rz needs no matrix product: with a row of pose_i written as (x, y, z, w),

    (x, y, z, w) · Rz(q) = (x', y', z, w)  where  x' + iy' = (x + iy) · exp(-iq),

one complex multiplication. NumPy does it in place on a complex view of the rows. A prismatic joint
slides its link along z instead: (x, y, z, w) · Tz(q) = (x, y, z, w + q·z). The joint of a gripper
moves neither the tool nor any link here: its fingers count as part of the hand.
"""

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec
from robots.pose_rows import cross, exp_i, propagate, sum_outward
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from robots.urdf import read_chain

GRAVITY = 9.81  # m/s²
XYZXY = [0, 1, 2, 0, 1]  # rows of a pose matrix; two are repeated for cross products
Z, W = 2, 3  # columns of a row (x, y, z, w)


class Kinematics:
    """Forward kinematics, Jacobian and gravity torque of one arm."""

    def __init__(self, arm: ArmSpec) -> None:
        """Read the arm's URDF; BadArgumentError where it does not fit the arm."""
        self.arm = arm
        self.chain = read_chain(arm)
        links = self.chain.links
        poses = [link.pose for link in links]
        first = poses[0]
        self._first_rows = first[XYZXY, None]  # (5, 1, 4)
        self._to_next = [*poses[1:], self.chain.tool]  # (4, 4) each; the last one leads to the tool
        self._tool_point = self.chain.tool[:, 3]  # (4,) homogeneous, in the last link's frame
        self._to_previous = [pose.T.copy() for pose in reversed(poses)]  # transposed, for rows
        frames = [link.to_urdf_frame for link in links]
        frames.append(np.eye(4))
        self._to_urdf_frames = np.stack(frames)  # (j + 1, 4, 4)
        self._gripping = [i for i, link in enumerate(links) if link.grips]
        slides = [i for i, link in enumerate(links) if link.slides]
        self._sliding = [i for i in slides if i not in self._gripping]
        self._com = np.stack([link.com for link in links])  # (j, 3) m
        masses = np.array([link.mass for link in links])
        self._mass = masses[:, None]  # (j, 1) kg
        self._carried_mass = sum_outward(self._mass, axis=0)  # (j, 1) kg, of link j and all later

    def frames(self, q: Array) -> Array:
        """Poses of the j moving links and then of the tool, (n, j + 1, 4, 4).

        They are the links' frames as the URDF defines them.
        """
        n, j = q.shape
        rows = self.tilted_poses(q)[:, :3]
        poses = np.zeros((n, j + 1, 4, 4))
        poses[..., :3, :] = rows.transpose(2, 0, 1, 3)
        poses[..., 3, 3] = 1
        return poses @ self._to_urdf_frames

    def tilted_poses(self, q: Array) -> Array:
        """Poses of the tilted links and then of the tool, (j + 1, 5, n, 4).

        The rows of each pose matrix are x, y, z, x, y, for cross products (see ``cross``).
        """
        n, j = q.shape
        poses = np.empty((j + 1, 5, n, 4))
        poses[0] = self._first_rows
        turns = self._turns(-q).repeat(5, 0)  # each joint's five times, for the five rows
        turns = turns.reshape(j, 5 * n)
        rows = poses.reshape(j + 1, 5 * n, 4)
        slides = {i: (W, Z, np.tile(q[:, i], 5)) for i in self._sliding}
        propagate(rows, turns, slides, self._to_next)
        return poses

    def position(self, q: Array) -> Array:
        """Tool position (n, 3) m at joint positions (n, j), rad or m.

        The tool's point is taken from the last link's frame to the base. At each joint p becomes
        fixed · Rz(q) · p; as a row that is (x', y', z, w) · fixedᵀ with
        x' + iy' = (x + iy) · exp(iq). A prismatic joint makes it (x, y, z + q·w, w) · fixedᵀ.
        """
        n, j = q.shape
        points = np.empty((j + 1, n, 4))
        points[0] = self._tool_point
        turns = self._turns(q)
        last_joint_first = turns[::-1]
        slides = {j - 1 - i: (Z, W, q[:, i]) for i in self._sliding}
        propagate(points, last_joint_first, slides, self._to_previous)
        return points[-1, :, :3]

    def forward(self, q: Array) -> tuple[Array, Array]:
        """Tool position (n, 3) m and orientation (n, 4), quaternion w, x, y, z."""
        poses = self.tilted_poses(q)
        tool = poses[-1, :3].swapaxes(0, 1)  # (n, 3, 4)
        position = tool[..., 3]
        rotation = tool[..., :3]
        return position, quaternion_from_matrix(rotation)

    def forward_jacobian(self, q: Array) -> tuple[Array, Array, Array]:
        """Pose and geometric Jacobian of the tool.

        Returns:
            Position (n, 3) m, rotation matrix (n, 3, 3) and Jacobian (n, 6, j), whose first three
            rows are the linear velocity per joint velocity, m/rad, and the others the angular one.
            For a prismatic joint they are the direction of its axis, and zero.
        """
        poses = self.tilted_poses(q)
        axes = poses[:-1, ..., 2]  # (j, 5, n), z of each link: its joint's axis
        origins = poses[..., 3]  # (j + 1, 5, n) m
        lever = origins[-1] - origins[:-1]  # (j, 5, n) m, from each joint to the tool
        n, j = q.shape
        jacobian = np.empty((j, 6, n))
        linear = jacobian[:, :3]
        angular = jacobian[:, 3:]
        cross(axes, lever, linear)
        angular[:] = axes[:, :3]
        for i in self._sliding:
            linear[i] = axes[i, :3]
            angular[i] = 0.0
        for i in self._gripping:
            linear[i] = 0.0
            angular[i] = 0.0
        tool = poses[-1, :3].swapaxes(0, 1)  # (n, 3, 4)
        position = tool[..., 3]
        rotation = tool[..., :3]
        return position, rotation, jacobian.T

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobian of the tool, (n, 6, j)."""
        return self.forward_jacobian(q)[2]

    def gravity(self, q: Array) -> Array:
        """Torques N·m, of prismatic joints forces N, that hold the arm against gravity, (n, j).

        Joint k carries the links i >= k: torque_k = g · [axis_k × Σ mass_i · (com_i - origin_k)]_z
        and force_k = g · [axis_k · Σ mass_i]_z.
        """
        poses = self.tilted_poses(q)[:-1, :3]
        links = poses.transpose(2, 0, 1, 3)  # (n, j, 3, 4)
        rotation = links[..., :3]
        origin = links[..., 3]
        com = np.einsum("nkab,kb->nka", rotation, self._com) + origin
        moment = sum_outward(self._mass * com, axis=1)
        moment = moment - self._carried_mass * origin
        axis = rotation[..., 2]
        axis_x = axis[..., 0]
        axis_y = axis[..., 1]
        vertical = axis_x * moment[..., 1] - axis_y * moment[..., 0]
        for i in self._sliding:
            vertical[:, i] = axis[:, i, 2] * self._carried_mass[i]
        vertical[:, self._gripping] = 0.0
        return GRAVITY * vertical

    def _turns(self, angle: Array) -> NDArray[np.complex128]:
        """exp(i·angle) of each hinge's angle (n, j), as (j, n); 1 for any other joint."""
        turns = exp_i(angle)
        for i in (*self._sliding, *self._gripping):
            turns[i] = 1.0
        return turns
