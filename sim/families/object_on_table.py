"""Observations of an object on a table and of its target, for several families."""

import numpy as np

from robots.signals import Array, ArrayLike, Signals
from robots.world import Task

# Columns of the observation.
OBJECT_X = 0
OBJECT_Y = 1
SIN_YAW = 2
COS_YAW = 3
TARGET_X = 4
TARGET_Y = 5


def observe_object(signals: Signals) -> Array:
    """Object and target in the plane, (n, 6)."""
    w = signals.object_quat[:, 0]
    z = signals.object_quat[:, 3]
    yaw = 2 * np.arctan2(z, w)
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
