"""The object beside an emulated arm: its poses as datagrams for the tracker ``mocap``."""

import contextlib
import socket
import time
from typing import Protocol

import msgspec
import numpy as np

from hw_interface.emulators import Physics
from hw_interface.trackers.mocap_message import LONGEST, Datagram, decode_place_request
from robots.errors import BadArgumentError
from robots.signals import Array, ObjectMotion

HOST = "127.0.0.1"
LARGEST_PORT = 65535
PERIOD = 1 / 120  # s between two poses: the rate of common motion capture systems
# s from the placing of an object to the answer: it then lies still, and a tracker has believed that
# it was moved and measures its velocity from new poses only
SETTLING = 0.5


class ObjectPhysics(Physics, Protocol):
    """Simulated joints with an object beside them."""

    @property
    def object_name(self) -> str:
        """The object's name in the scene."""
        ...

    @property
    def motion(self) -> ObjectMotion:
        """Where the object is: one row."""
        ...

    def place(self, number: int, place: Array, quat: Array) -> None:
        """Put the object ``number`` at a place (2,) m, with a quaternion (4,) w x y z."""
        ...


class ObjectFeed:
    """A Physics that sends the object's pose while it is advanced, and places it where asked."""

    def __init__(self, physics: ObjectPhysics, port: int) -> None:
        """Open a port for requests.

        Args:
            physics: the arm and the object.
            port: of this computer, to which poses are sent; requests come to the next one.

        Raises:
            BadArgumentError: there is no such port, or no next one.
            OSError: the next one is in use.
        """
        if not 0 < port < LARGEST_PORT:
            raise BadArgumentError(f"the object's port must be 1 to {LARGEST_PORT - 1}, got {port}")
        self._physics = physics
        self._destination = (HOST, port)
        self.place_port = port + 1
        self._since = 0.0  # s since the last pose was sent
        self._remaining = 0.0  # s until a request is answered
        self._answer: tuple[bytes, tuple[str, int]] | None = None  # of that request, and to whom
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        try:
            self._socket.bind((HOST, self.place_port))
        except OSError as error:
            self._socket.close()
            raise OSError(f"cannot listen at port {self.place_port}: {error}") from error

    @property
    def description(self) -> str:
        """Where poses go, and where requests come, for the person at the terminal."""
        _, port = self._destination
        poses = f"poses of {self._physics.object_name!r} to port {port}"
        return f"{poses}; it is placed by port {self.place_port}"

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        return self._physics.read()

    def write(self, q: Array) -> None:
        """Set the position targets (j,) rad of the joints' motors."""
        self._physics.write(q)

    def advance(self, dt: float) -> None:
        """Simulate ``dt`` s, take one request, and send the pose or an answer that is due."""
        self._physics.advance(dt)
        with contextlib.suppress(BlockingIOError):
            message, sender = self._socket.recvfrom(LONGEST)
            if self._place(message):
                self._answer = message, sender
                self._remaining = SETTLING
        self._remaining -= dt
        if self._answer is not None and self._remaining <= 0:
            self._send(*self._answer)
            self._answer = None

        self._since += dt
        if self._since >= PERIOD:
            self._since %= PERIOD
            self._send(msgspec.json.encode(self._pose()), self._destination)

    def close(self) -> None:
        """Close the port."""
        self._socket.close()

    def _place(self, message: bytes) -> bool:
        """Place the object as a request asks; False if it is none."""
        request = decode_place_request(message)
        if request is None:
            return False
        self._physics.place(request.number, np.array(request.place), np.array(request.quaternion))
        return True

    def _pose(self) -> Datagram:
        """The object's pose now, in the base frame of the arm."""
        motion = self._physics.motion
        return Datagram(
            name=self._physics.object_name,
            time=time.monotonic(),
            position=tuple(motion.pos[0].tolist()),
            quaternion=tuple(motion.quat[0].tolist()),
        )

    def _send(self, message: bytes, destination: tuple[str, int]) -> None:
        """Send a datagram; one that the system does not take is lost."""
        with contextlib.suppress(OSError):
            self._socket.sendto(message, destination)
