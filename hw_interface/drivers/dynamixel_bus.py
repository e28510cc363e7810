"""A serial bus of Dynamixel servos (Protocol 2.0), through the vendor's client.

The vendor's group readers drop every servo's error field and check only the last checksum of a fast
sync read, so this module splits and checks the packet itself.
"""

from collections.abc import Sequence

import dynamixel_sdk as sdk

from hw_interface.drivers.dynamixel_models import ALERT
from hw_interface.drivers.serial_bus import PatientPort, Reply, SerialBus

FAST_HEADER = 8  # bytes before the first servo's part of a fast status packet
FAST_OVERHEAD = 4  # bytes of a servo's part besides its data: error, id, two of checksum


class SerialPort(PatientPort, sdk.PortHandler):  # type: ignore[misc]  # the client has no types
    """The vendor's port, with our time limits."""


class DynamixelBus(SerialBus):
    """All servos on one port, which answer sync reads with one fast packet."""

    def __init__(self, port: str, baud: int) -> None:
        """Nothing is opened yet; see ``open``."""
        super().__init__(port, baud, SerialPort, sdk.PacketHandler(2.0), harmless=ALERT)

    def _ask(self, ids: Sequence[int], address: int, size: int) -> list[Reply] | None:
        count = len(ids)
        sent = self._packets.syncReadTx(self._serial, address, size, list(ids), count, True)
        if sent != sdk.COMM_SUCCESS:
            raise OSError(f"cannot send on {self.port}")
        packet, result = self._packets.rxPacket(self._serial, True)
        return self._split(packet, ids, size) if result == sdk.COMM_SUCCESS else None

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
