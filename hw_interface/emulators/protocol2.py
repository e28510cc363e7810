"""Dynamixel Protocol 2.0 as a servo speaks it: packets, byte stuffing, checksums.

Written from the ROBOTIS e-manual and not from the vendor's client; the tests compare the two.
"""

from enum import IntEnum

from hw_interface.emulators.packets import InstructionPacket, PacketParser

HEADER = b"\xff\xff\xfd\x00"
BROADCAST = 0xFE
PREFIX = 7  # bytes before a packet's instruction: header, id, two of length
MIN_PACKET = 10  # bytes: prefix, instruction, checksum
MAX_PACKET = 1024  # bytes
FAST_HEADER = 8  # bytes of a fast status packet before the first servo's part
FAST_OVERHEAD = 4  # bytes of a servo's part besides its data: error, id, two of checksum


class Instruction(IntEnum):
    """The instructions that the emulated servos understand, and the status packet."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REBOOT = 0x08
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A


class Error(IntEnum):
    """Why a servo refused an instruction."""

    NONE = 0
    INSTRUCTION = 2
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


def _crc_table_entry(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        polynomial = 0x8005 if crc & 0x8000 else 0
        crc = (crc << 1) ^ polynomial
    return crc & 0xFFFF


_CRC_TABLE = tuple(_crc_table_entry(byte) for byte in range(256))


def crc16(data: bytes, crc: int = 0) -> int:
    """CRC-16 (IBM, polynomial 0x8005, most significant bit first), continued from ``crc``."""
    for byte in data:
        index = crc >> 8 ^ byte
        crc = (crc << 8 & 0xFFFF) ^ _CRC_TABLE[index]
    return crc


def append_crc(packet: bytes) -> bytes:
    """A packet with the checksum of all its bytes at the end."""
    return packet + crc16(packet).to_bytes(2, "little")


def stuff(body: bytes) -> bytes:
    """Byte stuffing: FF FF FD is followed by one more FD, so that no header is in the body."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def unstuff(body: bytes) -> bytes:
    """The inverse of ``stuff``."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")


def make_packet(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A whole packet to or from a servo."""
    body = stuff(bytes([instruction]) + parameters)
    length = len(body) + 2
    prefix = HEADER + bytes([servo_id]) + length.to_bytes(2, "little")
    return append_crc(prefix + body)


def make_status(servo_id: int, error: int, data: bytes = b"") -> bytes:
    """A servo's answer."""
    return make_packet(servo_id, Instruction.STATUS, bytes([error]) + data)


def make_fast_status(answers: list[tuple[int, int, bytes]], count: int) -> bytes:
    """The single packet in which servos answer a fast sync read together.

    Each part ends with the checksum of all bytes so far; there is no byte stuffing. If fewer servos
    answer than were asked, the packet breaks off.

    Args:
        answers: id, error and data of every servo that answers.
        count: how many were asked.
    """
    if not answers:
        return b""
    _, _, first_data = answers[0]
    part_size = FAST_OVERHEAD + len(first_data)
    length = 1 + count * part_size
    packet = HEADER + bytes([BROADCAST]) + length.to_bytes(2, "little")
    packet += bytes([Instruction.STATUS])
    for servo_id, error, data in answers:
        packet = append_crc(packet + bytes([error, servo_id]) + data)
    return packet


class Parser(PacketParser):
    """Finds the packets of this protocol."""

    header = HEADER
    prefix_size = PREFIX

    def _size(self, prefix: bytes) -> int | None:
        size = PREFIX + int.from_bytes(prefix[5:], "little")
        return size if MIN_PACKET <= size <= MAX_PACKET else None

    def _read(self, packet: bytes) -> InstructionPacket | None:
        if crc16(packet[:-2]) != int.from_bytes(packet[-2:], "little"):
            return None
        body = unstuff(packet[PREFIX:-2])
        return InstructionPacket(packet[4], body[0], body[1:], len(packet))
