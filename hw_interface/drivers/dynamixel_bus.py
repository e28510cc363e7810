"""A serial bus of Dynamixel servos (Protocol 2.0), through the vendor's client.

The vendor's group readers drop every servo's error field and check only the last checksum of a fast
sync read, so this module splits and checks the packet itself. A status packet does not say which
request it answers. After a loss, the next request therefore waits until the line is silent, and
asks for another number of bytes.
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

REPLY_MARGIN = 8.0  # ms that an answer may take beyond its wire time; the vendor's client: 34 ms
CONNECT_MARGIN = 100.0  # ms, the same at connect: a slow link is measured, not reported as dead
# ms without a byte after a loss, after which no late answer is expected: a USB adapter holds back
# answers for up to 16 ms, of which REPLY_MARGIN have passed
SILENCE = 10.0
MAX_DRAIN = 50.0  # ms, the longest wait for that silence while bytes keep arriving
LENGTHS = 4  # number of different answer lengths that successive requests cycle through
TRIES = 3
ROUND_TRIPS = 10  # measurements at connect
FAST_HEADER = 8  # bytes before the first servo's part of a fast status packet
FAST_OVERHEAD = 4  # bytes of a servo's part besides its data: error, id, two of checksum


class Reply(NamedTuple):
    """One servo's part of a fast sync read."""

    error: int
    data: bytes


class SerialPort(sdk.PortHandler):  # type: ignore[misc]  # the client has no types
    """The vendor's port, except that it sleeps until bytes arrive, and gives up early."""

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
        received: bytes = super().readPort(length)
        return received


class DynamixelBus:
    """All servos on one port."""

    def __init__(self, port: str, baud: int) -> None:
        """Nothing is opened yet; see ``open``."""
        self.port = port
        self.baud = baud
        self.last_reply = float("-inf")  # s, monotonic, when the servos last answered a sync read
        self.losses = 0  # answers that were lost, late, repeated or damaged
        self._drained = True  # whether no answer to an earlier request can still arrive
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
        """Open the port exclusively, also against programs that take no lease."""
        serial = SerialPort(self.port)
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
        """After a loss: read and discard what arrives until the line is silent."""
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
        """A register of one servo; None if it does not answer, or its answer has another length.

        A status packet holds the servo's id and a length, but no address: different registers that
        are read this way must differ in length.
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
        """The shortest time, s, in which the servos answered; infinite if they never did.

        The shortest of several measures the link; longer ones may be due to a busy computer.
        """
        shortest = float("inf")
        for _ in range(ROUND_TRIPS):
            start = time.monotonic()
            if self.fast_sync_read(ids, register) is not None:
                shortest = min(shortest, time.monotonic() - start)
        return shortest

    def fast_sync_read(self, ids: Sequence[int], register: Register) -> list[Reply] | None:
        """Read a register of several servos with one packet; None if any part was lost.

        Raises:
            OSError: nothing can be sent.
        """
        self._drain()
        address, size = register
        # The number of bytes asked for changes after a loss, so that a late answer is recognized by
        # its length.
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
        """The servos' parts of a fast status packet; None if it is malformed or another packet.

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
