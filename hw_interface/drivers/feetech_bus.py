"""A serial bus of Feetech STS servos, through the vendor's client (``scservo_sdk``).

A packet is FF FF, id, length, instruction or error, parameters, and the inverted sum of all bytes
after FF FF. To a sync read every servo answers with a packet of its own, in the order of the
request. The vendor's group reader drops their errors and skips what it does not expect, so this
module splits and checks the packets itself.
"""

from collections.abc import Sequence

import scservo_sdk as sdk

from hw_interface.drivers.serial_bus import SUCCESS, PatientPort, Reply, SerialBus

HEADER = b"\xff\xff"
OVERHEAD = 6  # bytes of an answer besides its data: header, id, length, error, checksum
LITTLE_ENDIAN = 0  # of the STS and SMS series; the SCS series differs
FAULT_BITS = 0x7F  # the error of an answer has a servo's faults; its data are valid all the same


class FeetechPort(PatientPort, sdk.PortHandler):  # type: ignore[misc]  # the client has no types
    """The vendor's port, with our time limits."""


class FeetechBus(SerialBus):
    """All servos on one port."""

    def __init__(self, port: str, baud: int) -> None:
        """Nothing is opened yet; see ``open``."""
        packets = sdk.PacketHandler(LITTLE_ENDIAN)
        super().__init__(port, baud, FeetechPort, packets, harmless=FAULT_BITS)

    def _ask(self, ids: Sequence[int], address: int, size: int) -> list[Reply] | None:
        serial = self._serial
        if serial is None:
            raise OSError(f"{self.port} is not open")
        sent = self._packets.syncReadTx(serial, address, size, list(ids), len(ids))
        serial.is_using = False  # the client sets it, and its reader, which is not used, resets it
        if sent != SUCCESS:
            raise OSError(f"cannot send on {self.port}")
        expected = len(ids) * (OVERHEAD + size)
        serial.setPacketTimeout(expected)
        return split(self._receive(serial, expected), ids, size)

    def _receive(self, serial: PatientPort, count: int) -> bytes:
        """Up to ``count`` bytes; fewer if the time is over."""
        received = b""
        while len(received) < count:
            part = serial.readPort(count - len(received))
            if not part and serial.isPacketTimeout():
                break
            received += part
        return received


def split(received: bytes, ids: Sequence[int], size: int) -> list[Reply] | None:
    """The servos' answers; None if anything is missing, damaged or from another request.

    Args:
        received: all bytes that arrived.
        ids: of the servos, in the order in which they were asked.
        size: bytes of data that each was asked for.
    """
    packet_size = OVERHEAD + size
    if len(received) != len(ids) * packet_size:
        return None
    replies = []
    for i, servo_id in enumerate(ids):
        packet = received[i * packet_size : (i + 1) * packet_size]
        start = HEADER + bytes([servo_id, size + 2])
        if not packet.startswith(start) or packet[-1] != checksum(packet[2:-1]):
            return None
        replies.append(Reply(packet[4], packet[5:-1]))
    return replies


def checksum(body: bytes) -> int:
    """The inverted sum of the bytes between header and checksum."""
    return ~sum(body) & 0xFF
