"""The policy's requests to the control process; those of the operator are ``Word``."""

from dataclasses import replace
from enum import IntEnum

import numpy as np

from hw_interface.control.layout import POSE, Record
from robots.paths import WAYPOINTS
from robots.signals import Array
from robots.world import Family, Start, Task


class Request(IntEnum):
    """The kinds of request."""

    BEGIN_EPISODE = 1  # move to the start, have the object placed, arm
    END_EPISODE = 2  # brake, and follow no action
    MOVE = 3  # move along waypoints, to rest
    TORQUE_OFF = 4  # switch the motors off, in the rest pose


def unname_object(start: Start) -> Start:
    """The start with its only object in ``object_pos``, even if ``objects`` named it."""
    poses = list((start.objects or {}).values())
    if not poses:
        return start
    return replace(start, object_pos=poses[0].pos, object_quat=poses[0].quat, objects=None)


def object_pose(start: Start) -> Array:
    """Position and quaternion (7,) of a start's object for a request; NaN without an object."""
    if start.object_pos is None:
        return np.full(POSE, np.nan)
    quat = np.array([1.0, 0, 0, 0]) if start.object_quat is None else start.object_quat[0]
    return np.concatenate([start.object_pos[0], quat])


def read_start(posted: Record) -> Start:
    """The start of an episode as it was requested; without an object its pose is NaN."""
    q = posted["q"][None].copy()
    pose = posted["object_pose"].copy()
    if np.isnan(pose).all():
        return Start(q)
    pos, quat = np.split(pose[None], [3], axis=1)
    return Start(q, object_pos=pos, object_quat=quat)


def read_path(posted: Record) -> Array:
    """The waypoints of a move as it was requested, the goal last, (k, j)."""
    count = int(np.clip(posted["waypoint_count"], 0, WAYPOINTS))
    waypoints = posted["waypoints"][:count]
    return np.concatenate([waypoints, posted["q"][None]])


def read_task(posted: Record, family: Family) -> Task:
    """The task of an episode as it was requested."""
    values = posted["task"][None].copy()
    return Task(family.task_names, values, np.zeros(1, dtype=np.int64))
