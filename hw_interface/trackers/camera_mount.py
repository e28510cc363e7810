"""Where the camera is when a picture is taken: it stands still, or the arm's flange carries it."""

from collections.abc import Callable

import numpy as np

from hw_interface.trackers.fiducial_config import CameraEntry, rotation_of
from hw_interface.trackers.flange_history import FlangeHistory
from robots.rotations import transform
from robots.signals import Array

# from the time of a picture, s, to the pose (4, 4) of the optical frame in the base frame; None
# where it is unknown
CameraPose = Callable[[float], Array | None]


def mounted_camera(camera: CameraEntry, flange: FlangeHistory) -> CameraPose:
    """How to find where the camera is.

    Args:
        camera: what the tracker's file says about it.
        flange: the measured poses of the flange; not used for a camera that stands still.
    """
    entered = transform(rotation_of(camera.quaternion), np.array(camera.position))

    def on_flange(stamp: float) -> Array | None:
        """The flange's pose at that time, and from there to the camera."""
        measured = flange.at(stamp)
        return None if measured is None else measured @ entered

    def standing(stamp: float) -> Array:
        """The same pose always."""
        return entered

    return on_flange if camera.mount == "flange" else standing
