"""A serial bus of Dynamixel servos by the vendor's client, Protocol 2.0.

The vendor's group readers drop every servo's own error and check only the last checksum of a fast
sync read, so the packet is split and checked here.
"""

import contextlib
import select
import time
from collections.abc import Sequence
from typing import NamedTuple

import dynamixel_sdk as sdk

from hw_interface.drivers.dynamixel_models import ALERT

REPLY_MARGIN = 8.0  # ms for an answer beyond its time on the wire; the vendor's client waits 34 ms
TRIES = 3
FAST_HEADER = 8  # bytes before the first servo's part of a fast status packet
FAST_OVERHEAD = 4  # bytes of a servo's part besides its data: error, id, two of checksum


class Register(NamedTuple):
    """A place in the control table."""

    address: int
    size: int  # bytes


class Reply(NamedTuple):
    """One servo's part of a fast sync read."""

    error: int
    data: bytes


class SerialPort(sdk.PortHandler):  # type: ignore[misc]  # the client has no types
    """The vendor's port, except that it sleeps until bytes arrive, and gives up early."""

    def setPacketTimeout(self, packet_length: int) -> None:  # noqa: N802
        """Allow for the time on the wire and ``REPLY_MARGIN``."""
        self.setPacketTimeoutMillis(self.tx_time_per_byte * packet_length + REPLY_MARGIN)

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
        self._packets = sdk.PacketHandler(2.0)
        self._serial: SerialPort | None = None

    def open(self) -> None:
        """Open the port.

        Raises:
            OSError: there is no such port, or it does not have the baud rate.
        """
        self._serial = SerialPort(self.port)
        if not self._serial.setBaudRate(self.baud):
            raise OSError(f"{self.port} does not support {self.baud} baud")
        # a port that is not a USB adapter has no such mode
        with contextlib.suppress(Exception):
            self._serial.ser.set_low_latency_mode(True)

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._serial is not None and self._serial.is_open

    def close(self) -> None:
        """Close the port."""
        if self._serial is not None:
            self._serial.closePort()

    def read(self, servo_id: int, register: Register) -> bytes | None:
        """A register of one servo; None where it does not answer."""
        for _ in range(TRIES):
            data, result, _ = self._packets.readTxRx(self._serial, servo_id, *register)
            if result == sdk.COMM_SUCCESS:
                return bytes(data)
        return None

    def fast_sync_read(self, ids: Sequence[int], register: Register) -> list[Reply] | None:
        """A register of several servos by one packet; None where any of it was lost.

        Raises:
            OSError: nothing can be sent.
        """
        address, size = register
        count = len(ids)
        sent = self._packets.syncReadTx(self._serial, address, size, list(ids), count, True)
        if sent != sdk.COMM_SUCCESS:
            raise OSError(f"cannot send on {self.port}")
        packet, result = self._packets.rxPacket(self._serial, True)
        if result != sdk.COMM_SUCCESS:
            return None
        replies = self._split(packet, ids, size)
        if replies is not None:
            self.last_reply = time.monotonic()
        return replies

    def _split(self, packet: list[int], ids: Sequence[int], size: int) -> list[Reply] | None:
        """The servos' parts of a fast status packet; None where one is malformed.

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
