"""A tracker that receives poses as UDP datagrams, as of a motion capture system.

The format is our own, one JSON object for each rigid body and frame; see ``docs/eyes.md``.
"""

import math
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from hw_interface.trackers.config_entries import UNIT_TOLERANCE
from hw_interface.trackers.emulated_placer import EmulatedPlacer
from hw_interface.trackers.mocap_config import FrameEntry, read_mocap_config
from hw_interface.trackers.mocap_message import LONGEST, Datagram
from hw_interface.trackers.pose_track import Track
from hw_interface.trackers.sender_clock import Arrival, SenderClock
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.rotations import multiply, rotate
from robots.signals import Array, ObjectState

FARTHEST = 100.0  # m from the origin; millimeters that were sent as meters are beyond it
# bytes of datagrams that wait to be read, as the system counts them: about 40, so that none is old
BUFFER = 32_768
MOST_READ = 100  # datagrams in one call, so that a flood takes no more than a part of a tick
MOST_USED = 8  # of these, the newest of the body


@dataclass(frozen=True)
class Pose:
    """The pose of one frame in another; it is exact."""

    pos: Array  # (3,) m
    quat: Array  # (4,) w x y z
    covariance: Array = field(default_factory=lambda: np.zeros((6, 6)))

    def __matmul__(self, other: "Pose") -> "Pose":
        """The pose of ``other``, which is given in this frame, in the frame of this pose."""
        (turned,) = rotate(other.pos[None], self.quat[None])
        (quat,) = multiply(self.quat[None], other.quat[None])
        return Pose(self.pos + turned, -quat if quat[0] < 0 else quat)


@dataclass(frozen=True)
class MocapOptions:
    """Where the tracker's numbers are, and who places the object."""

    config: str = ""  # the TOML file with the body's name, the port and the frames
    # port of this computer at which an emulator places the object; 0: a person places it
    emulator: int = 0

    def __post_init__(self) -> None:
        """Refuse a port that does not exist; BadArgumentError."""
        if self.emulator not in range(65536):
            raise BadArgumentError(f"emulator must be a port, 1 to 65535, got {self.emulator}")


class Mocap:
    """A Tracker of a rigid body whose poses arrive by UDP."""

    Options = MocapOptions

    def __init__(
        self,
        arm: ArmSpec,
        options: MocapOptions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the port.

        Args:
            arm: whose base frame the poses are in.
            options: the file.
            clock: returns monotonic time, s.

        Raises:
            BadArgumentError: the file is missing or wrong.
            OSError: the port is in use, or the address is none of this computer's.
        """
        config = read_mocap_config(options.config)
        self._config = config
        self._frame = _pose_of(config.frame)
        self._object = _pose_of(config.object)
        self._clock = clock
        self._sender_clock = SenderClock()
        self._track = Track(config.limits)
        self._newest: ObjectState | None = None
        self._measured = 0.0  # s on our clock, when the newest pose was
        self._other_name = ""  # of the last body that is not the object
        self.refused: Counter[str] = Counter()  # datagrams that were not used, by reason
        self._socket = _open_port(config.listen, config.port)

    def read(self) -> ObjectState:
        """The newest pose, with its age; its stamp is on the sender's clock.

        While none arrives, the last pose comes again with its old stamp.

        Raises:
            OSError: no pose has arrived yet that can be used; the message says what has.
        """
        now = self._clock()
        for datagram in self._receive():
            self._take(datagram, now)
        if self._newest is None:
            raise OSError(self._describe_silence())
        return replace(self._newest, age=now - self._measured)

    @staticmethod
    def find_placer(options: MocapOptions) -> EmulatedPlacer | None:
        """What places the object: an emulator, if the options name one."""
        return EmulatedPlacer(options.emulator) if options.emulator else None

    def close(self) -> None:
        """Close the port."""
        self._socket.close()

    def _receive(self) -> deque[Datagram]:
        """The newest datagrams of the object, oldest first; never blocks."""
        received: deque[Datagram] = deque(maxlen=MOST_USED)
        for _ in range(MOST_READ):
            try:
                message, (host, _) = self._socket.recvfrom(LONGEST + 1)
            except BlockingIOError:
                break
            if self._config.sender and host != self._config.sender:
                self.refused["from another sender"] += 1
                continue
            datagram = self._decode(message)
            if datagram is not None:
                received.append(datagram)
        return received

    def _decode(self, message: bytes) -> Datagram | None:
        """A datagram of the object with a possible pose; None if it is none."""
        try:
            if len(message) > LONGEST:
                raise ValueError(f"longer than {LONGEST} bytes")
            datagram = msgspec.json.decode(message, type=Datagram)
        except ValueError:
            self.refused["not in the format"] += 1
            return None

        if datagram.name != self._config.body:
            self._other_name = datagram.name
            self.refused["of another body"] += 1
            return None
        is_unit = abs(math.hypot(*datagram.quaternion) - 1) <= UNIT_TOLERANCE
        is_near = max(map(abs, datagram.position)) <= FARTHEST
        if not (is_unit and is_near):
            self.refused["without a possible pose"] += 1
            return None
        return datagram

    def _take(self, datagram: Datagram, now: float) -> None:
        """Believe a datagram, or count why not."""
        arrival = Arrival(datagram.time, now)
        if self._sender_clock.was_set(arrival):
            self._sender_clock = SenderClock()
            self._track = Track(self._config.limits)
        delay = self._sender_clock.delay(arrival)
        if delay is None:
            self.refused["late, or of another clock"] += 1
            return

        jumps_before = self._track.refused
        quat = np.array(datagram.quaternion)
        body = Pose(np.array(datagram.position), quat / np.linalg.norm(quat))
        state = self._track.take(datagram.time, self._frame @ body @ self._object)
        self.refused["jumps"] += self._track.refused - jumps_before
        if state is not None:
            self._newest = state
            self._measured = now - delay - datagram.latency - self._config.delay

    def _describe_silence(self) -> str:
        """Why there is no pose."""
        config = self._config
        message = f"no pose of {config.body!r} has come to {config.listen}, port {config.port}"
        counts = [f"{count} {reason}" for reason, count in self.refused.items() if count]
        if counts:
            message += f"; datagrams: {', '.join(counts)}"
        if self._other_name:
            message += f", the last of {self._other_name!r}"
        return message


def _pose_of(entry: FrameEntry) -> Pose:
    """A pose of the file; rounded numbers make a unit quaternion."""
    quat = np.array(entry.quaternion)
    return Pose(np.array(entry.position), quat / np.linalg.norm(quat))


def _open_port(address: str, port: int) -> socket.socket:
    """A socket that receives datagrams and never blocks.

    Raises:
        OSError: the port is in use, or the address is none of this computer's.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    opened.setblocking(False)
    try:
        opened.bind((address, port))
    except OSError as error:
        opened.close()
        raise OSError(f"cannot listen at {address}, port {port}: {error}") from error
    return opened
