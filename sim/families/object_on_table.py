"""An object on a table and its target, for several families."""

import numpy as np

from robots.mesh_object import MeshObject
from robots.rotations import quaternion_about_z, yaw_about_z
from robots.signals import Array, ArrayLike, Signals
from robots.world import Start, Task
from sim.families.base import BaseFamily
from sim.outlines import SHAPES

# Columns of the observation.
OBJECT_X = 0
OBJECT_Y = 1
SIN_YAW = 2
COS_YAW = 3
TARGET_X = 4
TARGET_Y = 5
PLACE = [OBJECT_X, OBJECT_Y]


class ObjectOnTable(BaseFamily):
    """Defaults of a family whose tasks choose the shape of an object on a table.

    An episode is one decision: it starts with the object at rest, and observations tell the state.
    """

    dt = 0.1
    horizon = 1
    episodes = 3
    observes_state = True
    goal_names = ("target.x", "target.y")
    own_objects: tuple[MeshObject, ...] = ()  # of a user, see ``sim.own_objects``; (): ``SHAPES``
    ready: Array  # (j,) rad or m, the joints at the start of an episode

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """The object at rest and the target, both where they were observed, and the tool ready.

        Of an estimated shape the nearest one is taken.
        """
        known = {
            "object.shape": self.nearest_shapes(task),
            "marker.x": obs[:, TARGET_X],
            "marker.y": obs[:, TARGET_Y],
        }
        task = task.with_columns(known)
        place = obs[:, PLACE]
        sine = obs[:, SIN_YAW]
        cosine = obs[:, COS_YAW]
        yaw = np.arctan2(sine, cosine)
        return task, self.start_at(task, place, yaw)

    def start_at(self, task: Task, place: Array, yaw: Array) -> Start:
        """Objects at places (n, 2) m with yaws (n,) rad, lying on the table, and the tool ready."""
        height = self.rest_heights(task)
        return Start(
            q=np.tile(self.ready, (len(task), 1)),
            object_pos=np.concatenate([place, height], 1),
            object_quat=quaternion_about_z(yaw),
        )

    def marker(self, task: Task) -> Array:
        """The target, on the table."""
        return target_on_table(task)

    def observe(self, signals: Signals) -> Array:
        """Object and target in the plane, (n, 6)."""
        return observe_object(signals)

    def nearest_shapes(self, task: Task) -> Array:
        """Shape codes (n,) that exist: an estimated one may lie between or beyond the shapes."""
        last = len(self.own_objects or SHAPES) - 1
        return task["object.shape"].round().clip(0, last)

    def rest_heights(self, task: Task) -> Array:
        """Heights of objects that lie on the table, (n, 1) m."""
        if not self.own_objects:
            return task.columns("object.size_z")
        known = [item.rest_height for item in self.own_objects]
        shapes = self.nearest_shapes(task)
        rows = shapes.astype(np.int64)
        heights = np.array(known)[rows]
        return heights[:, None]


def observe_object(signals: Signals) -> Array:
    """Object and target in the plane, (n, 6)."""
    yaw = yaw_about_z(signals.object_quat)
    place = signals.object_pos[:, :2]
    target = signals.marker[:, :2]
    return np.column_stack([place, np.sin(yaw), np.cos(yaw), target])


def target_on_table(task: Task) -> Array:
    """The target, on the table, (n, 3) m."""
    height = np.zeros(len(task))
    return np.column_stack([task.columns("marker.x", "marker.y"), height])


def distance_to_target(obs: ArrayLike) -> ArrayLike:
    """From the object to the target, m (...,)."""
    x = obs[..., OBJECT_X] - obs[..., TARGET_X]
    y = obs[..., OBJECT_Y] - obs[..., TARGET_Y]
    return (x**2 + y**2) ** 0.5
