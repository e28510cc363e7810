"""The protocol of Feetech's STS and SMS servos as a servo speaks it.

Written from Feetech's "Communication Protocol User Manual" and not from the vendor's client; the
tests compare the two.
"""

from enum import IntEnum

from hw_interface.emulators.packets import InstructionPacket, PacketParser

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


class Parser(PacketParser):
    """Finds the packets of this protocol."""

    header = HEADER
    prefix_size = PREFIX

    def _size(self, prefix: bytes) -> int | None:
        servo_id = prefix[2]
        length = prefix[3]
        is_plausible = servo_id <= BROADCAST and MIN_LENGTH <= length <= MAX_LENGTH
        return PREFIX + length if is_plausible else None

    def _read(self, packet: bytes) -> InstructionPacket | None:
        if packet[-1] != checksum(packet[2:-1]):
            return None
        return InstructionPacket(packet[2], packet[4], packet[5:-1], len(packet))
