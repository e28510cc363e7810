"""Whole records of an MCAP file that may be damaged anywhere.

A record is kept only where a checksum says that it holds what was written: chunks of messages and
attachments have one in MCAP, our metadata carries its own. Everything else is index, which is made
anew. Where a record is damaged the search goes on at the next byte, so that no damaged length can
hide a whole record. The format: https://mcap.dev/spec
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
HEAD = struct.Struct("<BQ")  # opcode, length of what follows
CHUNK_HEAD = struct.Struct("<16xQI")  # after two times: uncompressed size, checksum
TWO_TIMES = struct.Struct("<QQ")
TEXT_LENGTH = struct.Struct("<I")
DATA_LENGTH = struct.Struct("<Q")
CRC = struct.Struct("<I")
LARGEST_CHUNK = 2**28  # bytes, uncompressed; ours have 2**20: more would only exhaust the memory
# what reading a damaged record may raise
NOT_AS_WRITTEN = (
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
    """One whole record: where it is, and what it holds."""

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
    """How many bytes between two whole records are no readable record of an index."""
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
    """The record that begins here; None unless it is whole."""
    opcode, length = HEAD.unpack_from(data, start)
    first = start + HEAD.size
    end = first + length
    if end > len(data):
        return None
    try:
        return Whole(start, end, READERS[opcode](data, first, end))
    except NOT_AS_WRITTEN:
        return None


def _read_chunk(data: mmap, first: int, end: int) -> list[ChunkRecord]:
    """The records of a chunk; one of ``NOT_AS_WRITTEN`` where they are not as written."""
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
        raise ValueError("another checksum")
    chunk = Chunk("", content, 0, 0, crc, size)
    records: list[ChunkRecord] = breakup_chunk(chunk)  # type: ignore[assignment]
    return records


def _decompress(packed: bytes, size: int) -> bytes:
    """The ``size`` bytes that were compressed; a frame that promises others is not believed."""
    promised = zstandard.get_frame_parameters(packed).content_size
    if promised not in (size, zstandard.CONTENTSIZE_UNKNOWN):
        raise ValueError(f"a frame of {promised} bytes, not {size}")
    return zstandard.decompress(packed, size)


def _read_attachment(data: mmap, first: int, end: int) -> Attachment:
    log_time, create_time = TWO_TIMES.unpack_from(data, first)
    name, position = _read_text(data, first + TWO_TIMES.size, end)
    media_type, position = _read_text(data, position, end)
    checked = end - CRC.size
    content = _read_rest(data, position, checked)
    (crc,) = CRC.unpack_from(data, checked)
    if zlib.crc32(data[first:checked]) != crc:
        raise ValueError("another checksum")
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
        raise ValueError("another checksum")
    return Metadata(name, metadata)


def _read_text(data: mmap, position: int, end: int) -> tuple[str, int]:
    """A text that its length precedes, and the position after it."""
    (length,) = TEXT_LENGTH.unpack_from(data, position)
    first = position + TEXT_LENGTH.size
    after = first + length
    if after > end:
        raise ValueError("a text longer than its record")
    return data[first:after].decode(), after


def _read_rest(data: mmap, position: int, end: int) -> bytes:
    """The bytes up to ``end``, which their length precedes."""
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
