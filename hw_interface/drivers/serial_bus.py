"""A serial bus of servos, through the client of their vendor.

The clients of Dynamixel and Feetech descend from one another: they name their methods alike. What
both lack is here: a port for one program alone, time limits that fit a control loop, and care for
late answers. A status packet does not say which request it answers. After a loss, the next request
therefore waits until the line is silent, and asks for another number of bytes.
"""

import contextlib
import fcntl
import select
import termios
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hw_interface.lease import Lease

REPLY_MARGIN = 8.0  # ms that an answer may take beyond its wire time; the vendors' clients: 34 ms
CONNECT_MARGIN = 100.0  # ms, the same at connect: a slow link is measured, not reported as dead
# ms without a byte after a loss, after which no late answer is expected: a USB adapter holds back
# answers for up to 16 ms, of which REPLY_MARGIN have passed
SILENCE = 10.0
MAX_DRAIN = 50.0  # ms, the longest wait for that silence while bytes keep arriving
LENGTHS = 4  # number of different answer lengths that successive requests cycle through
TRIES = 3
ROUND_TRIPS = 10  # measurements at connect
SUCCESS = 0  # result of the vendors' clients


class Register(NamedTuple):
    """An entry of the servos' memory, or several adjacent ones."""

    address: int
    size: int  # bytes


class Reply(NamedTuple):
    """One servo's part of the answer to a sync read."""

    error: int
    data: bytes


class PatientPort:
    """Mixin of a vendor's port: it sleeps until bytes arrive, and gives up early."""

    ser: Any  # pyserial's port
    packet_timeout: float  # ms
    tx_time_per_byte: float  # ms
    is_open: bool
    is_using: bool
    isPacketTimeout: Callable[[], bool]  # noqa: N815  # whether the wait is over
    setPacketTimeoutMillis: Callable[[float], None]  # noqa: N815  # begin to wait for ms
    getTimeSinceStart: Callable[[], float]  # noqa: N815  # ms since then
    setBaudRate: Callable[[int], bool]  # noqa: N815  # opens the port
    closePort: Callable[[], None]  # noqa: N815
    patient = False  # whether an answer may take CONNECT_MARGIN instead of REPLY_MARGIN

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Allow for the time on the wire and a margin."""
        margin = max(REPLY_MARGIN, CONNECT_MARGIN) if self.patient else REPLY_MARGIN
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + margin)

    def getCurrentTime(self) -> float:  # noqa: N802
        """Monotonic time, ms."""
        return 1e3 * time.monotonic()

    def readPort(self, length: int) -> bytes:  # noqa: N802
        """Up to ``length`` bytes; fewer if the timeout passes."""
        remaining = self.packet_timeout - self.getTimeSinceStart()  # ms
        if length and remaining > 0:
            select.select([self.ser], [], [], remaining / 1e3)
        received: bytes = self.ser.read(length)
        return received


class SerialBus(ABC):
    """All servos on one port."""

    def __init__(
        self,
        port: str,
        baud: int,
        make_port: Callable[[str], PatientPort],
        packets: Any,  # noqa: ANN401  # the vendor's packet handler, which has no types
        harmless: int,
    ) -> None:
        """Nothing is opened yet; see ``open``.

        Args:
            port: its name.
            baud: bits per second.
            make_port: makes the vendor's port.
            packets: the vendor's packet handler.
            harmless: the bits of an answer's error with which its data are valid all the same.
        """
        self.port = port
        self.baud = baud
        self.last_reply = float("-inf")  # s, monotonic, when the servos last answered a sync read
        self.losses = 0  # answers that were lost, late, repeated or damaged
        self._drained = True  # whether no answer to an earlier request can still arrive
        self._make_port = make_port
        self._packets = packets
        self._harmless = harmless
        self._serial: PatientPort | None = None
        self._lease = Lease(port)

    def open(self) -> None:
        """Open the port for this program alone; answers may be slow until ``expect_speed``.

        Raises:
            ArmError: another program has it.
            OSError: there is no such port, or it does not have the baud rate.
        """
        self.close()
        self._lease.take()
        try:
            self._serial = self._open_port()
        except BaseException:
            self._lease.release()
            raise

    def _open_port(self) -> PatientPort:
        """Open the port exclusively, also against programs that take no lease."""
        serial = self._make_port(self.port)
        serial.patient = True
        if not serial.setBaudRate(self.baud):
            raise OSError(f"{self.port} does not support {self.baud} baud")
        try:
            serial.ser.exclusive = True  # pyserial's lock, which cooperating programs respect
            fcntl.ioctl(serial.ser.fileno(), termios.TIOCEXCL)  # further opens fail from now on
        except OSError as error:
            serial.closePort()
            problem = f"{self.port} is in use by another program"
            raise OSError(f"{problem}: an arm obeys one program at a time") from error
        # fails without permission, and on ports that are no USB adapters; ``check_link`` measures
        with contextlib.suppress(Exception):
            serial.ser.set_low_latency_mode(True)
        return serial

    def expect_speed(self) -> None:
        """From now on an answer is lost if it takes longer than ``REPLY_MARGIN``."""
        if self._serial is not None:
            self._serial.patient = False

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._serial is not None and self._serial.is_open

    def close(self) -> None:
        """Close the port and let other programs have it; may be called twice."""
        try:
            if self._serial is not None and self._serial.is_open:
                with contextlib.suppress(OSError):
                    fcntl.ioctl(self._serial.ser.fileno(), termios.TIOCNXCL)
                self._serial.closePort()
        finally:
            self._lease.release()

    def note_loss(self) -> None:
        """Note an answer that was lost or is old: the next request drains the line first."""
        self.losses += 1
        self._drained = False

    def _drain(self) -> None:
        """Discard what has arrived; after a loss, also what arrives until the line is silent.

        Answers that come twice would otherwise pile up, and each reading be older than the last.
        """
        if self._serial is None:
            return
        port = self._serial.ser
        if self._drained:
            port.reset_input_buffer()
            return
        deadline = time.monotonic() + MAX_DRAIN / 1e3
        while time.monotonic() < deadline:
            arrived, _, _ = select.select([port], [], [], SILENCE / 1e3)
            if not arrived:
                break
            port.reset_input_buffer()
        self._drained = True

    def read(self, servo_id: int, register: Register) -> bytes | None:
        """A register of one servo; None if it does not answer, or its answer has another length.

        A status packet holds the servo's id and a length, but no address: different registers that
        are read this way must differ in length.
        """
        for _ in range(TRIES):
            self._drain()
            data, result, error = self._packets.readTxRx(self._serial, servo_id, *register)
            accepted = result == SUCCESS and not error & ~self._harmless
            if accepted and len(data) == register.size:
                return bytes(data)
            self.note_loss()
        return None

    def round_trip(self, ids: Sequence[int], register: Register) -> float:
        """The shortest time, s, in which the servos answered; infinite if they never did.

        The shortest of several measures the link; longer ones may be due to a busy computer.
        """
        shortest = float("inf")
        for _ in range(ROUND_TRIPS):
            start = time.monotonic()
            if self.sync_read(ids, register) is not None:
                shortest = min(shortest, time.monotonic() - start)
        return shortest

    def sync_read(self, ids: Sequence[int], register: Register) -> list[Reply] | None:
        """Read a register of several servos with one packet; None if any part was lost.

        The number of bytes asked for changes after a loss, so that a late answer is recognized by
        its length.

        Raises:
            OSError: nothing can be sent.
        """
        self._drain()
        size = register.size + self.losses % LENGTHS
        replies = self._ask(ids, register.address, size)
        if replies is None:
            self.note_loss()
            return None
        self.last_reply = time.monotonic()
        return [Reply(reply.error, reply.data[: register.size]) for reply in replies]

    @abstractmethod
    def _ask(self, ids: Sequence[int], address: int, size: int) -> list[Reply] | None:
        """Send a sync read and receive its answer; None if any part was lost.

        Raises:
            OSError: nothing can be sent.
        """

    def sync_write(self, ids: Sequence[int], register: Register, values: Sequence[int]) -> None:
        """Write one value to a register of each servo; the servos do not confirm.

        Raises:
            OSError: nothing can be sent.
        """
        address, size = register
        body: list[int] = []
        for servo_id, value in zip(ids, values, strict=True):
            body.append(servo_id)
            body.extend(value.to_bytes(size, "little"))
        sent = self._packets.syncWriteTxOnly(self._serial, address, size, body, len(body))
        if sent != SUCCESS:
            raise OSError(f"cannot send on {self.port}")
