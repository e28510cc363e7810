"""What the policy's process may ask of the control process."""

from enum import IntEnum

import numpy as np

from hw_interface.control.layout import POSE, Record
from robots.signals import Array
from robots.world import Start


class Request(IntEnum):
    """The kinds of request."""

    BEGIN_EPISODE = 1  # move to the start, have the object placed, arm
    HOLD = 2  # operator: brake and follow no action until RELEASE
    STOP = 3  # operator: controlled stop, latched
    CLEAR = 4  # operator: leave a latched fault
    END_EPISODE = 5  # brake, and follow no action
    QUIT = 6  # come to rest, then end the process
    RELEASE = 7  # operator: end a hold


def object_pose(start: Start) -> Array:
    """Position and quaternion (7,) of a start's object, to request it; NaN without an object."""
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
