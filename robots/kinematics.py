"""Geometry and gravity of a serial arm from its URDF: batched NumPy, exact, and fast enough for every tick.

Axes: n configurations, j joints. Frames: everything in the arm's base frame.
"""

import xml.etree.ElementTree as ElementTree
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.arm import ArmSpec
from robots.rotations import quaternion
from robots.signals import Array
from robots.urdf import (
    joint_chain,
    mass_and_center,
    numbers,
    origin,
    parent_joints,
    rotation_to_axis,
)

GRAVITY = 9.81  # m/s²


class Kinematics:
    """Forward kinematics, Jacobian, gravity torque and inverse kinematics of one arm."""

    def __init__(self, arm: ArmSpec) -> None:
        self.arm = arm
        root = ElementTree.parse(arm.urdf).getroot()
        links = {link.attrib["name"]: link for link in root.iter("link")}
        chain = joint_chain(parent_joints(root), arm)

        # Each moving link's frame is tilted so that its joint's axis is z: a joint then multiplies x + iy, of a point
        # or of the frame's own axes, by exp(iq), and all else is constant.
        fixed, self._fixed, self._upright = np.eye(4), [], [np.eye(4)]
        self._mass, self._com = [], []
        for joint in chain:
            fixed = fixed @ origin(joint)
            if joint.attrib["type"] != "fixed":
                axis = joint.find("axis")
                tilt = rotation_to_axis(
                    numbers(axis.attrib["xyz"] if axis is not None else "1 0 0")
                )
                self._fixed.append(fixed @ tilt)
                self._upright.insert(-1, tilt.T)
                fixed = tilt.T
                self._mass.append(0.0)
                self._com.append(np.zeros(3))
            mass, com = mass_and_center(links[joint.find("child").attrib["link"]])  # type: ignore[union-attr]
            if mass and self._mass:  # what a fixed joint carries belongs to the last moving link
                com = fixed[:3, :3] @ com + fixed[:3, 3]
                total = self._mass[-1] + mass
                self._com[-1] = (self._mass[-1] * self._com[-1] + mass * com) / total
                self._mass[-1] = total
        self._base = self._fixed[0][[0, 1, 2, 0, 1], None]
        self._outwards = [*self._fixed[1:], fixed]
        self._inwards = [pose.T.copy() for pose in self._fixed[::-1]]

    def frames(self, q: Array) -> Array:
        """Poses of the j moving links and then of the tool, (n, j + 1, 4, 4)."""
        poses = np.zeros((len(q), q.shape[1] + 1, 4, 4))
        poses[..., :3, :] = self._poses(q)[:, :3].transpose(2, 0, 1, 3)
        poses[..., 3, 3] = 1
        return poses @ np.stack(self._upright)

    def _poses(self, q: Array) -> Array:
        """Poses of the tilted links, and then of the tool, (j + 1, 5, n, 4).

        Their rows are x, y, z, x, y: a cross product is then the difference of two shifted products.
        """
        n, j = q.shape
        poses = np.empty((j + 1, 5, n, 4))
        poses[0] = self._base
        _through(
            poses.reshape(j + 1, -1, 4), _turns(-q).repeat(5, 0).reshape(j, -1), self._outwards
        )
        return poses

    def position(self, q: Array) -> Array:
        """Where the tool is, (n, 3) m."""
        points = np.empty(
            (q.shape[1] + 1, len(q), 4)
        )  # the tool in the last link's frame, and so on to the base
        points[0] = self._outwards[-1][:, 3]
        _through(points, _turns(q)[::-1], self._inwards)
        return points[-1, :, :3]

    def forward(self, q: Array) -> tuple[Array, Array]:
        """Tool position (n, 3) m and orientation (n, 4), quaternion w, x, y, z."""
        tool = self._poses(q)[-1, :3].swapaxes(0, 1)
        return tool[..., 3], quaternion(tool[..., :3])

    def forward_jacobian(self, q: Array) -> tuple[Array, Array, Array]:
        """Tool position (n, 3), rotation (n, 3, 3) and geometric Jacobian (n, 6, j): linear rows, then angular."""
        poses = self._poses(q)
        axes, places = poses[:-1, ..., 2], poses[..., 3]
        lever = places[-1] - places[:-1]
        jacobian = np.empty((len(axes), 6, len(q)))
        np.subtract(axes[:, 1:4] * lever[:, 2:], axes[:, 2:] * lever[:, 1:4], jacobian[:, :3])
        jacobian[:, 3:] = axes[:, :3]
        tool = poses[-1, :3].swapaxes(0, 1)
        return tool[..., 3], tool[..., :3], jacobian.T

    def jacobian(self, q: Array) -> Array:
        """Geometric Jacobian of the tool, (n, 6, j)."""
        return self.forward_jacobian(q)[2]

    def gravity(self, q: Array) -> Array:
        """Torques that hold the arm still against gravity, (n, j) N·m."""
        links = self._poses(q)[:-1, :3].transpose(2, 0, 1, 3)  # (n, j, 3, 4)
        com = np.einsum("nkab,kb->nka", links[..., :3], np.stack(self._com)) + links[..., 3]
        mass = np.asarray(self._mass)
        carried = np.cumsum((mass[:, None] * com)[:, ::-1], 1)[
            :, ::-1
        ]  # Σ of what lies beyond each joint
        lever = carried - np.cumsum(mass[::-1])[::-1, None] * links[..., 3]
        return GRAVITY * (links[..., 0, 2] * lever[..., 1] - links[..., 1, 2] * lever[..., 0])

    @cached_property
    def _model(self) -> Any:
        import mujoco

        spec = mujoco.MjSpec.from_file(str(self.arm.urdf))
        spec.compiler.fusestatic = False
        return spec.compile()

    def inverse(
        self, pos: Array, quat: Array | None = None, q0: Array | None = None, steps: int = 300
    ) -> Array:
        """Joint positions (j,) that bring the tool to a pose, within limits, near ``q0`` (home by default).

        Without ``quat`` only the position counts. Raises ValueError where the pose cannot be reached to 0.1 mm
        and 1 mrad. Differential inverse kinematics by mink.
        """
        import mink

        configuration = mink.Configuration(self._model)
        configuration.update(np.array(self.arm.home if q0 is None else q0, dtype=np.float64))
        rotation = mink.SO3(np.array([1.0, 0, 0, 0] if quat is None else quat, dtype=np.float64))
        goal = mink.SE3.from_rotation_and_translation(rotation, np.asarray(pos, dtype=np.float64))
        tool = mink.FrameTask(
            self.arm.tool, "body", 1.0, 0.0 if quat is None else 1.0, lm_damping=1e-6
        )
        tool.set_target(goal)
        posture = mink.PostureTask(self._model, cost=1e-4)
        posture.set_target_from_configuration(configuration)
        limits = [mink.ConfigurationLimit(self._model)]
        for _ in range(steps):
            velocity = mink.solve_ik(
                configuration, [tool, posture], 1.0, "daqp", damping=1e-9, limits=limits
            )
            configuration.integrate_inplace(velocity, 1.0)
            error = tool.compute_error(configuration)
            if np.linalg.norm(error[:3]) < 1e-4 and (
                quat is None or np.linalg.norm(error[3:]) < 1e-3
            ):
                return np.array(configuration.q)
        raise ValueError(f"{self.arm.name} cannot bring its tool to {pos} m, orientation {quat}")


def _turns(q: Array) -> NDArray[np.complex128]:
    """exp(iq), (j, n), as (1 + i·tan(q/2)) / (1 - i·tan(q/2)): NumPy's tangent is far faster than its sine."""
    half = np.empty(q.T.shape, np.complex128)
    half.real, half.imag = 1.0, np.tan(0.5 * q.T)
    return half / half.conj()


def _through(rows: Array, turns: NDArray[np.complex128], fixed: list[Array]) -> None:
    """Takes rows x, y, z, w through joints, from ``rows[0]`` to the last, (j + 1, k, 4).

    Each joint turns them about z by ``turns`` (j, k), in place; what is fixed after it makes of them the next.
    """
    flats = rows.view(np.complex128)[..., 0]  # x + iy
    for flat, turn, row, after, following in zip(flats, turns, rows, fixed, rows[1:], strict=False):
        np.multiply(flat, turn, flat)
        np.dot(row, after, following)
