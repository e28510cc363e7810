"""Packets of instructions that arrive on an emulated serial bus."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class InstructionPacket:
    """One instruction that arrived whole."""

    servo_id: int
    instruction: int
    parameters: bytes
    size: int  # bytes on the wire


class PacketParser(ABC):
    """Finds the packets of a protocol in a stream of bytes and discards everything else.

    Attributes:
        header: how every packet begins.
        prefix_size: bytes before a packet's instruction; its length is among them.
    """

    header: ClassVar[bytes]
    prefix_size: ClassVar[int]

    def __init__(self) -> None:
        """Begin without any bytes."""
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[InstructionPacket]:
        """The packets that ``data`` completes."""
        self._buffer += data
        start = self._buffer.find(self.header)
        while start >= 0:
            self._buffer = self._buffer[start:]
            if len(self._buffer) < self.prefix_size:
                return
            size = self._size(self._buffer[: self.prefix_size])
            if size is not None and len(self._buffer) < size:
                return
            packet = None if size is None else self._read(self._buffer[:size])
            if packet is None:
                self._buffer = self._buffer[1:]  # search for the next header
            else:
                self._buffer = self._buffer[packet.size :]
                yield packet
            start = self._buffer.find(self.header)
        may_begin_header = len(self.header) - 1
        self._buffer = self._buffer[-may_begin_header:]

    @abstractmethod
    def _size(self, prefix: bytes) -> int | None:
        """Bytes of the packet that begins with ``prefix``; None if no packet begins so."""

    @abstractmethod
    def _read(self, packet: bytes) -> InstructionPacket | None:
        """A packet of the size that its prefix promised; None if its checksum is wrong."""
