"""An object on a table and its target, for several families."""

import numpy as np

from robots.mesh_object import MeshObject
from robots.rotations import yaw_about_z
from robots.signals import Array, ArrayLike, Signals
from robots.world import Task
from sim.families.base import BaseFamily
from sim.outlines import SHAPES

# Columns of the observation.
OBJECT_X = 0
OBJECT_Y = 1
SIN_YAW = 2
COS_YAW = 3
TARGET_X = 4
TARGET_Y = 5


class ObjectOnTable(BaseFamily):
    """Defaults of a family whose tasks choose the shape of an object on a table."""

    own_objects: tuple[MeshObject, ...] = ()  # of a user, see ``sim.own_objects``; (): ``SHAPES``

    def nearest_shapes(self, task: Task) -> Array:
        """Shape codes (n,) that exist: an estimated one may lie between or beyond the shapes."""
        last = len(self.own_objects or SHAPES) - 1
        return task["object.shape"].round().clip(0, last)

    def rest_heights(self, task: Task) -> Array:
        """Heights of objects that lie on the table, (n, 1) m."""
        if not self.own_objects:
            return task.columns("object.size_z")
        heights = np.array([item.rest_height for item in self.own_objects])
        rows = self.nearest_shapes(task).astype(np.int64)
        return heights[rows][:, None]


def observe_object(signals: Signals) -> Array:
    """Object and target in the plane, (n, 6)."""
    yaw = yaw_about_z(signals.object_quat)
    columns = (
        signals.object_pos[:, :2],
        np.stack([np.sin(yaw), np.cos(yaw)], 1),
        signals.marker[:, :2],
    )
    return np.concatenate(columns, 1)


def target_on_table(task: Task) -> Array:
    """The target, on the table, (n, 3) m."""
    height = np.zeros((len(task), 1))
    return np.concatenate([task.columns("marker.x", "marker.y"), height], 1)


def distance_to_target(obs: ArrayLike) -> ArrayLike:
    """From the object to the target, m (...,)."""
    x = obs[..., OBJECT_X] - obs[..., TARGET_X]
    y = obs[..., OBJECT_Y] - obs[..., TARGET_Y]
    return (x**2 + y**2) ** 0.5
