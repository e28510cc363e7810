"""The distances of an arm's links as MuJoCo computes them, from the shapes of its URDF."""

import mujoco
import numpy as np

from robots.appearance import Shape, link_poses, shapes
from robots.arm import ArmSpec
from robots.signals import Array

KINDS = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}
NEIGHBORS = 3  # links fewer joints apart touch by design, or never
FAR = 0.3  # m, larger distances are not told apart


class ExactLinks:
    """The shapes of one arm, each a body of its own that is put where it belongs."""

    def __init__(self, arm: ArmSpec) -> None:
        self._arm = arm
        self._shapes = shapes(arm)
        spec = mujoco.MjSpec()
        for shape in self._shapes:
            body = spec.worldbody.add_body(mocap=True)
            body.add_geom(type=KINDS[shape.kind], size=half_sizes(shape))
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        links = [shape.link for shape in self._shapes]
        count = range(len(links))
        self._pairs = [(a, b) for a in count for b in count if links[b] - links[a] >= NEIGHBORS]

    def smallest(self, q: Array) -> tuple[float, float]:
        """The lowest point of a moving link, and the smallest distance of two links, m, at (j,)."""
        poses = link_poses(self._arm, q[None])[0]
        lowest = np.inf
        for i, shape in enumerate(self._shapes):
            pose = poses[shape.link + 1] @ shape.pose
            self._data.mocap_pos[i] = pose[:3, 3]
            mujoco.mju_mat2Quat(self._data.mocap_quat[i], pose[:3, :3].ravel())
            if shape.link >= 0:
                lowest = min(lowest, pose[2, 3] - half_height(shape, pose))
        mujoco.mj_kinematics(self._model, self._data)
        distances = [
            mujoco.mj_geomDistance(self._model, self._data, a, b, FAR, None) for a, b in self._pairs
        ]
        return lowest, min(distances)


def half_sizes(shape: Shape) -> list[float]:
    """As MuJoCo has them."""
    if shape.kind == "cylinder":
        radius, length = shape.size
        return [radius, length / 2, 0.0]
    if shape.kind == "sphere":
        return [shape.size[0], 0.0, 0.0]
    return [side / 2 for side in shape.size]


def half_height(shape: Shape, pose: Array) -> float:
    """How far below its center a shape reaches, m."""
    vertical = np.abs(pose[2, :3])  # share of each of its axes
    sizes = half_sizes(shape)
    if shape.kind == "sphere":
        return sizes[0]
    if shape.kind == "cylinder":
        across = np.sqrt(max(1 - vertical[2] ** 2, 0.0))
        return float(sizes[0] * across + sizes[1] * vertical[2])
    return float(vertical @ sizes)
