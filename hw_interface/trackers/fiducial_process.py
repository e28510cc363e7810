"""The process of the tag tracker: pictures in, poses out, through a socket that never blocks.

Where the arm carries the camera, the control process sends the flange's poses by the same socket.
``fiducial.Fiducial`` starts it, with the configuration, the socket and its own process id.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from hw_interface.control.own_session import Signaled, enter_own_session
from hw_interface.trackers.camera_mount import CameraPose, mounted_camera
from hw_interface.trackers.fiducial_config import FiducialConfig, read_fiducial_config
from hw_interface.trackers.fiducial_message import MAX_MESSAGE, READY, decode_flange, encode
from hw_interface.trackers.fiducial_pose import ObjectPose, PoseSolver, TagDetector
from hw_interface.trackers.fiducial_source import Frames, open_frames
from hw_interface.trackers.fiducial_track import Track
from hw_interface.trackers.flange_history import FlangeHistory
from robots.errors import PliantError
from robots.signals import ObjectState


@dataclass(frozen=True)
class Sighting:
    """What one frame gave."""

    stamp: float  # s
    pose: ObjectPose | None  # None: the object was not seen well enough, or the camera is unknown
    published: ObjectState | None  # None: nothing is published for this frame


def track(config: FiducialConfig, frames: Frames, camera: CameraPose) -> Iterator[Sighting]:
    """Find the object in every frame; the same steps in the process, tests and benchmarks."""
    detect = TagDetector(config.dictionary)
    solve = PoseSolver(config)
    poses = Track(config.limits)
    for stamp, picture in frames:
        detected = detect(picture)
        camera_pose = camera(stamp) if detected else None
        pose = None
        if camera_pose is not None:
            pose = solve(detected, camera_pose, poses.recent(stamp))
        yield Sighting(stamp, pose, poses.take(stamp, pose))


def receive_flange(link: socket.socket, flange: FlangeHistory) -> None:
    """Add the flange's poses that the control process sends, until it closes the socket."""
    with contextlib.suppress(OSError):
        while message := link.recv(MAX_MESSAGE):
            flange.add(decode_flange(message))


def serve(file: str, link: socket.socket, parent: int) -> None:
    """Send poses until the source ends, the control process is gone, or a signal asks to end.

    The first message says that the source is open, or why it is not; a last one why it ended.

    Args:
        file: of the configuration.
        link: socket to the control process.
        parent: its process id.
    """
    signaled = Signaled()
    enter_own_session(signaled)
    cv2.setNumThreads(1)  # the control loop needs the other cores
    flange = FlangeHistory()
    threading.Thread(target=receive_flange, args=(link, flange), daemon=True).start()
    try:
        config = read_fiducial_config(file)
        camera = mounted_camera(config.camera, flange)
        is_first = True
        for sighting in track(config, open_frames(config.camera), camera):
            if is_first:
                link.send(READY, socket.MSG_DONTWAIT)
                is_first = False
            if signaled.end.is_set() or os.getppid() != parent:
                return
            if sighting.pose is not None and sighting.published is not None:
                # a reader that is behind loses this pose, and takes the next one
                with contextlib.suppress(BlockingIOError):
                    message = encode(sighting.published, sighting.pose)
                    link.send(message, socket.MSG_DONTWAIT)
        reason = f"{config.camera.source} has ended"
    except (OSError, PliantError, cv2.error) as error:
        reason = str(error)
    with contextlib.suppress(OSError):  # the control process is gone, or behind
        link.send(reason.encode(), socket.MSG_DONTWAIT)


def main() -> None:
    """Run the process with the words of its command line."""
    file, descriptor, parent = sys.argv[1:]
    np.seterr(all="ignore")  # a pose that is not finite is refused
    with socket.socket(fileno=int(descriptor)) as link:
        serve(file, link, int(parent))


if __name__ == "__main__":
    main()
