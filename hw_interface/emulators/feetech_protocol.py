"""The protocol of Feetech's STS and SMS servos as a servo speaks it.

Written from Feetech's "Communication Protocol User Manual" and not from the vendor's client; the
tests compare the two.
"""

from collections.abc import Iterator
from enum import IntEnum

from hw_interface.emulators.serial_bus import InstructionPacket

HEADER = b"\xff\xff"
BROADCAST = 0xFE
PREFIX = 4  # bytes before a packet's instruction: header, id, length
MIN_LENGTH = 2  # of the length field: instruction and checksum
MAX_LENGTH = 250  # larger values are no length


class Instruction(IntEnum):
    """The instructions that the emulated servos understand."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


def checksum(body: bytes) -> int:
    """The inverted low byte of the sum of all bytes from the id on."""
    return 255 - sum(body) % 256


def make_packet(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet to a servo."""
    length = len(parameters) + MIN_LENGTH
    body = bytes([servo_id, length, instruction]) + parameters
    return HEADER + body + bytes([checksum(body)])


def make_status(servo_id: int, error: int, data: bytes = b"") -> bytes:
    """A servo's answer: like a packet, with its faults in place of the instruction."""
    return make_packet(servo_id, error, data)


class Parser:
    """Finds packets in a stream of bytes and discards everything else."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[InstructionPacket]:
        """The packets that ``data`` completes."""
        self._buffer += data
        start = self._buffer.find(HEADER)
        while start >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < PREFIX:
                return
            length = self._buffer[3]
            is_plausible = self._buffer[2] <= BROADCAST and MIN_LENGTH <= length <= MAX_LENGTH
            size = PREFIX + length
            if is_plausible and len(self._buffer) < size:
                return
            packet = self._take(size) if is_plausible else None
            if packet is None:
                self._buffer = self._buffer[1:]  # search for the next header
            else:
                yield packet
            start = self._buffer.find(HEADER)
        self._buffer = self._buffer[-1:]  # may be the start of a header

    def _take(self, size: int) -> InstructionPacket | None:
        """Remove the packet of ``size`` bytes at the front; None if its checksum is wrong."""
        packet = self._buffer[:size]
        if packet[-1] != checksum(packet[2:-1]):
            return None
        self._buffer = self._buffer[size:]
        return InstructionPacket(packet[2], packet[4], packet[5:-1], size)
