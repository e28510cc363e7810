"""Finds the whole records of an MCAP file that may be damaged anywhere.

A record counts as whole only if its checksum is correct. Chunks of messages and attachments have a
checksum in MCAP; our metadata contains its own. All other records are the index, which is rebuilt.
After a damaged record the search continues at the next byte, so that a damaged length cannot hide a
whole record. Format: https://mcap.dev/spec
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from mmap import mmap

import zstandard
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk

from hw_interface.recording.metadata import CHECKSUM, NAME, checksum

MAGIC = b"\x89MCAP0\r\n"
HEAD = struct.Struct("<BQ")  # opcode, length of the record's content
CHUNK_HEAD = struct.Struct("<16xQI")  # two times (skipped), uncompressed size, checksum
TWO_TIMES = struct.Struct("<QQ")
TEXT_LENGTH = struct.Struct("<I")
DATA_LENGTH = struct.Struct("<Q")
CRC = struct.Struct("<I")
LARGEST_CHUNK = 2**28  # bytes, uncompressed; ours have 2**20: a larger size is damaged
# errors that reading a damaged record may raise
DAMAGE_ERRORS = (
    McapError,
    ValueError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zstandard.ZstdError,
)
OPCODES = set(Opcode)

# chunk, attachment or metadata: opcode, then a length below 2**32
CANDIDATE = re.compile(rb"[\x06\x09\x0c].{4}\x00{4}", re.DOTALL)

ChunkRecord = Schema | Channel | Message
Content = list[ChunkRecord] | Attachment | Metadata


@dataclass(frozen=True)
class Whole:
    """One whole record: its first byte, the byte after it, and its content."""

    start: int
    end: int
    content: Content


def find_whole(data: mmap) -> Iterator[Whole]:
    """Every whole record with a checksum, in the order of the file."""
    position = 0
    while True:
        match = CANDIDATE.search(data, position)
        if match is None:
            return
        start = match.start()
        record = _read(data, start)
        if record is None:
            position = start + 1
        else:
            yield record
            position = record.end


def count_damaged(data: mmap, start: int, end: int) -> int:
    """How many bytes between two whole records do not belong to a readable index record."""
    damaged = 0
    position = start
    if data[start:end].startswith(MAGIC):
        position += len(MAGIC)
    while position + HEAD.size <= end:
        opcode, length = HEAD.unpack_from(data, position)
        after = position + HEAD.size + length
        if opcode not in OPCODES or after > end:
            break
        if opcode in (Opcode.CHUNK, Opcode.ATTACHMENT, Opcode.METADATA):
            damaged += after - position
        position = after
    rest = data[position:end]
    return damaged if rest == MAGIC else damaged + len(rest)


def _read(data: mmap, start: int) -> Whole | None:
    """The record that begins at ``start``; None if it is damaged."""
    opcode, length = HEAD.unpack_from(data, start)
    first = start + HEAD.size
    end = first + length
    if end > len(data):
        return None
    try:
        return Whole(start, end, READERS[opcode](data, first, end))
    except DAMAGE_ERRORS:
        return None


def _read_chunk(data: mmap, first: int, end: int) -> list[ChunkRecord]:
    """The records of a chunk; raises one of ``DAMAGE_ERRORS`` if it is damaged."""
    size, crc = CHUNK_HEAD.unpack_from(data, first)
    compression, position = _read_text(data, first + CHUNK_HEAD.size, end)
    packed = _read_rest(data, position, end)
    if size > LARGEST_CHUNK:
        raise ValueError(f"a chunk of {size} bytes")
    match compression:
        case "zstd":
            content = _decompress(packed, size)
        case "":
            content = packed
        case _:
            raise ValueError(f"compressed with {compression}")
    if len(content) != size or zlib.crc32(content) != crc:
        raise ValueError("wrong checksum")
    chunk = Chunk("", content, 0, 0, crc, size)
    records: list[ChunkRecord] = breakup_chunk(chunk)  # type: ignore[assignment]
    return records


def _decompress(packed: bytes, size: int) -> bytes:
    """Decompress a frame of ``size`` bytes; ValueError if its header declares another size."""
    declared = zstandard.get_frame_parameters(packed).content_size
    if declared not in (size, zstandard.CONTENTSIZE_UNKNOWN):
        raise ValueError(f"a frame of {declared} bytes, not {size}")
    return zstandard.decompress(packed, size)


def _read_attachment(data: mmap, first: int, end: int) -> Attachment:
    log_time, create_time = TWO_TIMES.unpack_from(data, first)
    name, position = _read_text(data, first + TWO_TIMES.size, end)
    media_type, position = _read_text(data, position, end)
    checked = end - CRC.size
    content = _read_rest(data, position, checked)
    (crc,) = CRC.unpack_from(data, checked)
    if zlib.crc32(data[first:checked]) != crc:
        raise ValueError("wrong checksum")
    return Attachment(create_time, log_time, name, media_type, content)


def _read_metadata(data: mmap, first: int, end: int) -> Metadata:
    name, position = _read_text(data, first, end)
    (length,) = TEXT_LENGTH.unpack_from(data, position)
    position += TEXT_LENGTH.size
    if name != NAME or position + length != end:
        raise ValueError("not our metadata")
    metadata = {}
    while position < end:
        key, position = _read_text(data, position, end)
        metadata[key], position = _read_text(data, position, end)
    if metadata[CHECKSUM] != checksum(metadata):
        raise ValueError("wrong checksum")
    return Metadata(name, metadata)


def _read_text(data: mmap, position: int, end: int) -> tuple[str, int]:
    """A length-prefixed text, and the position after it."""
    (length,) = TEXT_LENGTH.unpack_from(data, position)
    first = position + TEXT_LENGTH.size
    after = first + length
    if after > end:
        raise ValueError("a text longer than its record")
    return data[first:after].decode(), after


def _read_rest(data: mmap, position: int, end: int) -> bytes:
    """The length-prefixed bytes up to ``end``."""
    (length,) = DATA_LENGTH.unpack_from(data, position)
    first = position + DATA_LENGTH.size
    if first + length != end:
        raise ValueError("a length that does not fit its record")
    return data[first:end]


READERS: dict[int, Callable[[mmap, int, int], Content]] = {
    Opcode.CHUNK: _read_chunk,
    Opcode.ATTACHMENT: _read_attachment,
    Opcode.METADATA: _read_metadata,
}
