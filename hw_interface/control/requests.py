"""What the policy may ask of the control process; the operator has words of their own."""

from enum import IntEnum

import numpy as np

from hw_interface.control.layout import POSE, Record
from robots.signals import Array
from robots.world import Start


class Request(IntEnum):
    """The kinds of request."""

    BEGIN_EPISODE = 1  # move to the start, have the object placed, arm
    END_EPISODE = 2  # brake, and follow no action


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
