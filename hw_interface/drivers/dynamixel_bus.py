"""A serial bus of Dynamixel servos by the vendor's client, Protocol 2.0.

The vendor's group readers drop every servo's own error and check only the last checksum of a fast
sync read, so the packet is split and checked here. An answer does not say which question it
answers: the next question after a loss waits until the line is silent, and has another length.
"""

import contextlib
import fcntl
import select
import termios
import time
from collections.abc import Sequence
from typing import NamedTuple

import dynamixel_sdk as sdk

from hw_interface.drivers.dynamixel_models import ALERT
from hw_interface.drivers.dynamixel_registers import Register
from hw_interface.lease import Lease

REPLY_MARGIN = 8.0  # ms for an answer beyond its time on the wire; the vendor's client waits 34 ms
CONNECT_MARGIN = 100.0  # ms, the same at connect: a slow link is to be measured, not called dead
# ms without a byte after a loss, until when no earlier answer is expected any more: a USB adapter
# holds answers back for up to 16 ms, and REPLY_MARGIN of them have passed
SILENCE = 10.0
MAX_DRAIN = 50.0  # ms, the longest wait for that silence on a line that babbles
LENGTHS = 4  # how many different lengths the answers to the same question have, in turn
TRIES = 3
ROUND_TRIPS = 10  # measured at connect
FAST_HEADER = 8  # bytes before the first servo's part of a fast status packet
FAST_OVERHEAD = 4  # bytes of a servo's part besides its data: error, id, two of checksum


class Reply(NamedTuple):
    """One servo's part of a fast sync read."""

    error: int
    data: bytes


class SerialPort(sdk.PortHandler):  # type: ignore[misc]  # the client has no types
    """The vendor's port, except that it sleeps until bytes arrive, and gives up early."""

    patient = False  # whether an answer may take as long as it may at connect

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Allow for the time on the wire and a margin."""
        margin = max(REPLY_MARGIN, CONNECT_MARGIN) if self.patient else REPLY_MARGIN
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + margin)

    def getCurrentTime(self) -> float:  # noqa: N802
        """Monotonic time, ms."""
        return 1e3 * time.monotonic()

    def readPort(self, length: int) -> bytes:  # noqa: N802
        """Up to ``length`` bytes; fewer where the timeout passes."""
        remaining = self.packet_timeout - self.getTimeSinceStart()  # ms
        if length and remaining > 0:
            select.select([self.ser], [], [], remaining / 1e3)
        received: bytes = super().readPort(length)
        return received


class DynamixelBus:
    """All servos on one port."""

    def __init__(self, port: str, baud: int) -> None:
        """Remember where the bus is; ``open`` opens it."""
        self.port = port
        self.baud = baud
        self.last_reply = float("-inf")  # s, monotonic, when the servos last answered a sync read
        self.losses = 0  # answers that were lost, late, repeated or damaged
        self._drained = True  # whether no answer to an earlier question can be on its way
        self._packets = sdk.PacketHandler(2.0)
        self._serial: SerialPort | None = None
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

    def _open_port(self) -> SerialPort:
        """Open the port, and keep out programs that take no lease."""
        serial = SerialPort(self.port)
        serial.patient = True
        if not serial.setBaudRate(self.baud):
            raise OSError(f"{self.port} does not support {self.baud} baud")
        try:
            serial.ser.exclusive = True  # a lock that other programs of any user may ask for
            fcntl.ioctl(serial.ser.fileno(), termios.TIOCEXCL)  # nobody can open it from now on
        except OSError as error:
            serial.closePort()
            problem = f"{self.port} is in use by another program"
            raise OSError(f"{problem}: an arm obeys one program at a time") from error
        # fails where it is not allowed, and on ports other than USB adapters; the round trip tells
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
        """An answer was lost or is an old one: be silent and drain before the next question."""
        self.losses += 1
        self._drained = False

    def _drain(self) -> None:
        """After a loss: read and forget what arrives, until the line is silent."""
        if self._drained or self._serial is None:
            return
        port = self._serial.ser
        deadline = time.monotonic() + MAX_DRAIN / 1e3
        while time.monotonic() < deadline:
            arrived, _, _ = select.select([port], [], [], SILENCE / 1e3)
            if not arrived:
                break
            port.reset_input_buffer()
        self._drained = True

    def read(self, servo_id: int, register: Register) -> bytes | None:
        """A register of one servo; None where it does not answer, or not with this register.

        An answer names its servo and has a length, but no address: read registers of different
        lengths, or only one.
        """
        for _ in range(TRIES):
            self._drain()
            data, result, error = self._packets.readTxRx(self._serial, servo_id, *register)
            accepted = result == sdk.COMM_SUCCESS and not error & ~ALERT
            if accepted and len(data) == register.size:
                return bytes(data)
            self.note_loss()
        return None

    def round_trip(self, ids: Sequence[int], register: Register) -> float:
        """The shortest time, s, in which the servos answered; infinite where they never did.

        The shortest of several belongs to the link; a longer one may belong to a busy computer.
        """
        shortest = float("inf")
        for _ in range(ROUND_TRIPS):
            start = time.monotonic()
            if self.fast_sync_read(ids, register) is not None:
                shortest = min(shortest, time.monotonic() - start)
        return shortest

    def fast_sync_read(self, ids: Sequence[int], register: Register) -> list[Reply] | None:
        """A register of several servos by one packet; None where any of it was lost.

        Raises:
            OSError: nothing can be sent.
        """
        self._drain()
        address, size = register
        # After a loss some bytes more are asked for than before it, so that the length tells a
        # late answer from the one to this question.
        size += self.losses % LENGTHS
        count = len(ids)
        sent = self._packets.syncReadTx(self._serial, address, size, list(ids), count, True)
        if sent != sdk.COMM_SUCCESS:
            raise OSError(f"cannot send on {self.port}")
        packet, result = self._packets.rxPacket(self._serial, True)
        replies = self._split(packet, ids, size) if result == sdk.COMM_SUCCESS else None
        if replies is None:
            self.note_loss()
            return None
        self.last_reply = time.monotonic()
        return [Reply(reply.error, reply.data[: register.size]) for reply in replies]

    def _split(self, packet: list[int], ids: Sequence[int], size: int) -> list[Reply] | None:
        """The servos' parts of a fast status packet; None where it is another or malformed.

        Each part is error, id, data, and the checksum of all bytes before it.
        """
        part_size = FAST_OVERHEAD + size
        if len(packet) != FAST_HEADER + len(ids) * part_size:
            return None
        replies = []
        checksum = self._packets.updateCRC(0, packet, FAST_HEADER)
        for i, servo_id in enumerate(ids):
            start = FAST_HEADER + i * part_size
            part = packet[start : start + part_size]
            error = part[0]
            checksum = self._packets.updateCRC(checksum, part, part_size - 2)
            received = part[-2] | part[-1] << 8
            if part[1] != servo_id or error & ~ALERT or checksum != received:
                return None
            replies.append(Reply(error, bytes(part[2:-2])))
            checksum = self._packets.updateCRC(checksum, part[-2:], 2)
        return replies

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
        if sent != sdk.COMM_SUCCESS:
            raise OSError(f"cannot send on {self.port}")
