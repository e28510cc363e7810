"""The messages between the tag tracker's process and the control process.

The tracker's process sends one pose of the object, or a text; the control process sends one pose of
the flange.
"""

from dataclasses import dataclass

import numpy as np

from hw_interface.trackers.fiducial_pose import ObjectPose
from hw_interface.trackers.flange_history import FlangePose
from robots.signals import Array, ObjectState

READY = b"ready"
STATE = 3 + 4 + 6 + 1  # numbers of position, quaternion, velocity and stamp
COVARIANCE = 36  # numbers of a covariance (6, 6)
NUMBERS = STATE + COVARIANCE + 2  # then residual and count of tags
POSE_BYTES = 8 * NUMBERS  # a message of any other length is a text
MAX_MESSAGE = 4096  # bytes


@dataclass(frozen=True)
class Quality:
    """How good the newest published pose is."""

    covariance: Array  # (6, 6) m and rad, see ``ObjectPose``
    residual: float  # pixels, RMS
    tags: int  # how many were seen


def encode(state: ObjectState, pose: ObjectPose) -> bytes:
    """A published pose as bytes."""
    numbers = np.concatenate(
        [
            state.pos,
            state.quat,
            state.vel,
            [state.stamp],
            pose.covariance.ravel(),
            [pose.residual, pose.tags],
        ]
    )
    return numbers.astype(np.float64).tobytes()


def decode(message: bytes) -> tuple[ObjectState, Quality]:
    """What ``encode`` was given."""
    numbers = np.frombuffer(message, dtype=np.float64)
    pos, quat, vel, stamp = np.split(numbers[:STATE], [3, 7, 13])
    residual, tags = numbers[-2:].tolist()
    covariance = numbers[STATE:-2].reshape(6, 6)
    return ObjectState(pos, quat, vel, float(stamp[0])), Quality(covariance, residual, int(tags))


def encode_flange(flange: FlangePose) -> bytes:
    """A pose of the flange as bytes."""
    numbers = np.concatenate([[flange.stamp], flange.pos, flange.quat])
    return numbers.astype(np.float64).tobytes()


def decode_flange(message: bytes) -> FlangePose:
    """What ``encode_flange`` was given."""
    numbers = np.frombuffer(message, dtype=np.float64)
    return FlangePose(float(numbers[0]), numbers[1:4], numbers[4:8])
