"""Dynamixel Protocol 2.0 as a servo speaks it: packets, byte stuffing, checksums.

From the ROBOTIS e-manual alone, not from the vendor's client, which the tests hold it against.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE
LONGEST = 1024  # bytes of a packet


class Instruction(IntEnum):
    """What the emulated servos understand."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A


class Error(IntEnum):
    """Why a servo did not do as it was told."""

    NONE = 0
    INSTRUCTION = 2
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


ALERT = 0x80  # added to an error while the servo's hardware is in error


def _entry(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1) ^ (0x8005 if crc & 0x8000 else 0)
    return crc & 0xFFFF


_TABLE = tuple(_entry(byte) for byte in range(256))


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 (IBM, polynomial 0x8005, most significant bit first), going on from ``crc``."""
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE[crc >> 8 ^ byte]
    return crc


def stuff(body: bytes) -> bytes:
    """A body in which nothing looks like a header: FF FF FD is followed by one more FD."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def unstuff(body: bytes) -> bytes:
    """What was stuffed."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")


def packet(number: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet to or from a servo."""
    body = stuff(bytes([instruction]) + parameters)
    head = HEADER + bytes([number]) + (len(body) + 2).to_bytes(2, "little") + body
    return head + crc16(head).to_bytes(2, "little")


def status(number: int, error: int, data: bytes = b"") -> bytes:
    """A servo's answer."""
    return packet(number, Instruction.STATUS, bytes([error]) + data)


def fast_status(answers: list[tuple[int, int, bytes]], count: int) -> bytes:
    """The one packet that servos give together, from their (id, error, data); ``count`` were asked for it.

    Each ends its part with the checksum of all bytes so far; nothing is stuffed. Where fewer answer than were asked,
    the packet breaks off.
    """
    length = 1 + count * (4 + len(answers[0][2])) if answers else 0
    out = HEADER + bytes([BROADCAST]) + length.to_bytes(2, "little") + bytes([Instruction.STATUS])
    for number, error, data in answers:
        out += bytes([error, number]) + data
        out += crc16(out).to_bytes(2, "little")
    return out if answers else b""


@dataclass(frozen=True)
class Asked:
    """One instruction that came over the wire whole."""

    number: int
    instruction: int
    parameters: bytes
    size: int  # bytes on the wire


class Parser:
    """Finds the packets in a stream of bytes, and drops what is none."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Asked]:
        """The packets that ``data`` completes."""
        self._buffer += data
        while (start := self._buffer.find(HEADER)) >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < 7:
                return
            size = 7 + int.from_bytes(self._buffer[5:7], "little")
            if not 10 <= size <= LONGEST:
                self._buffer = self._buffer[1:]
                continue
            if len(self._buffer) < size:
                return
            whole = self._buffer[:size]
            good = crc16(whole[:-2]) == int.from_bytes(whole[-2:], "little")
            self._buffer = self._buffer[size if good else 1 :]
            if good:
                body = unstuff(whole[7:-2])
                yield Asked(whole[4], body[0], body[1:], size)
        self._buffer = self._buffer[-3:]  # perhaps a header's beginning
