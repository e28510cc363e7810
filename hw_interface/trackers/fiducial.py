"""A tracker of objects with printed AprilTags or ArUco tags, seen by one camera.

The camera stands still, or the arm's flange carries it. The control process reads a socket that
never blocks; a process of its own finds the tags. See ``docs/eyes.md``.
"""

import contextlib
import os
import socket
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass

import numpy as np

from hw_interface.trackers.fiducial_config import read_fiducial_config
from hw_interface.trackers.fiducial_message import (
    MAX_MESSAGE,
    POSE_BYTES,
    READY,
    Quality,
    decode,
    encode_flange,
)
from hw_interface.trackers.flange_history import FlangePose
from hw_interface.trackers.flange_kinematics import FlangeKinematics
from robots.arm import ArmSpec
from robots.rotations import quaternion_from_matrix
from robots.signals import Array, ObjectState

PROCESS = "hw_interface.trackers.fiducial_process"
OPEN_TIMEOUT = 15.0  # s, for the process to start and to take the first picture
BUFFER = 4096  # bytes of poses that wait to be read: a few, so that none of them is old
END_TIMEOUT = 1.0  # s, for the process to end after it was asked to
# s between two poses of the flange that are sent: at 5 rad/s² a joint is then at most 0.04 mrad
# away from the line between the two
INTERVAL = 0.008


@dataclass(frozen=True)
class FiducialOptions:
    """Where the tracker's numbers are."""

    config: str = ""  # the TOML file with camera and tags


class Fiducial:
    """A Tracker by printed tags."""

    Options = FiducialOptions

    def __init__(self, arm: ArmSpec, options: FiducialOptions) -> None:
        """Start the process and wait for its first picture.

        Args:
            arm: whose base frame the poses are in, and whose flange may carry the camera.
            options: the file.

        Raises:
            BadArgumentError: the file is missing or wrong.
            OSError: the camera or the video gives no picture.
        """
        config = read_fiducial_config(options.config)
        is_on_arm = config.camera.mount == "flange"
        self._flange = FlangeKinematics(arm) if is_on_arm else None
        self._told = -np.inf  # s, when a pose of the flange was last sent
        self._newest: ObjectState | None = None
        self.quality: Quality | None = None  # of the newest pose
        self._reason = "the tag tracker's process has ended"
        self._unseen = "no tag of the object was seen yet"
        if is_on_arm:
            self._unseen += ", or the arm was not measured at that time"
        self._link, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        remote.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        with remote:
            self._process = _start(options.config, remote.fileno())
        self._end = weakref.finalize(self, _end, self._process, self._link)
        self._link.settimeout(OPEN_TIMEOUT)
        self._wait_until_ready()
        self._link.setblocking(False)

    @property
    def pid(self) -> int:
        """The process id of the tracker's process."""
        return self._process.pid

    def read(self) -> ObjectState:
        """The newest pose; its stamp, on the clock ``time.monotonic``, is that of its picture.

        While the object is not seen, the last pose comes again with its old stamp.

        Raises:
            OSError: the object was not seen yet, or the process has ended; the message says why.
        """
        self._receive()
        if self._newest is None:
            raise OSError(self._unseen)
        return self._newest

    def take_joints(self, q: Array) -> None:
        """Send the flange's pose to the tracker's process, if the flange carries the camera.

        Nothing is sent within ``INTERVAL`` of the last pose, nor to a process that is far behind.

        Args:
            q: (j,) rad, measured just now.
        """
        now = time.monotonic()
        if self._flange is None or now - self._told < INTERVAL:
            return
        self._told = now
        pose = self._flange(q)
        quat = quaternion_from_matrix(pose[None, :3, :3])[0]
        message = encode_flange(FlangePose(now, pose[:3, 3], quat))
        with contextlib.suppress(OSError):  # behind, or ended, which ``read`` reports
            self._link.send(message)

    def close(self) -> None:
        """End the process; it also ends by itself with the process that started it."""
        self._end()

    def _wait_until_ready(self) -> None:
        try:
            message = self._link.recv(MAX_MESSAGE)
        except TimeoutError as error:
            self.close()
            raise OSError(f"the tag tracker took no picture in {OPEN_TIMEOUT} s") from error
        if message != READY:
            self.close()
            raise OSError(message.decode(errors="replace") or self._reason)

    def _receive(self) -> None:
        """Take all messages that have arrived; the newest pose counts."""
        while True:
            try:
                message = self._link.recv(MAX_MESSAGE)
            except BlockingIOError:
                return
            if not message:
                raise OSError(self._reason)
            if len(message) == POSE_BYTES:
                self._newest, self.quality = decode(message)
            else:
                self._reason = message.decode(errors="replace")


def _start(file: str, descriptor: int) -> subprocess.Popen[bytes]:
    """Start the tracker's process; multiprocessing would refuse to, in the control process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-m", PROCESS, file, str(descriptor), str(os.getpid())]
    return subprocess.Popen(
        words,
        pass_fds=(descriptor,),
        env=environment,
        stdin=subprocess.DEVNULL,
    )


def _end(process: subprocess.Popen[bytes], link: socket.socket) -> None:
    """Terminate the process, and kill it if it does not end."""
    link.close()
    process.terminate()
    try:
        process.wait(END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
