"""Repair of recordings that were cut off or damaged."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, NamedTuple

from mcap.records import Attachment, Channel, Message, Metadata, Schema
from mcap.writer import Writer

from hw_interface.recording.regular import check_regular
from hw_interface.recording.scan import ChunkRecord, count_damaged, find_whole
from hw_interface.recording.schemas import ENCODING, PROFILE, planned_channels
from robots.errors import BadArgumentError, DamagedError, PliantError


class Recovered(NamedTuple):
    """What was kept of a recording, and what was lost."""

    messages: int
    lost_messages: int  # messages missing before the last one kept
    lost_bytes: int


class _Copier:
    """Copies whole records into a new file, which gets an index."""

    def __init__(self, file: IO[bytes], ours: bool) -> None:
        """``ours``: whether the damaged file was written by this version's recorder."""
        self.messages = 0
        self.unnamed = 0  # messages whose channel is declared in no whole record
        self.expected = 0  # messages up to the newest, by their sequence numbers
        self._ours = ours
        self._writer = Writer(file)
        self._writer.start(PROFILE if ours else "")
        self._schemas: dict[int, int] = {}  # old number: new number
        self._channels: dict[int, int] = {}
        self._known: dict[str, int] = {}  # content of a schema or channel: its new number
        if ours:
            self._declare_planned()

    def _declare_planned(self) -> None:
        """Declare the recorder's own channels, in case their declarations are lost."""
        for number, plan in planned_channels().items():
            schema = Schema(number, plan.schema_data, ENCODING, plan.schema)
            channel = Channel(number, plan.topic, "json", {}, number)
            self._copy_schema(schema)
            self._copy_channel(channel)

    def copy_chunk(self, records: list[ChunkRecord]) -> None:
        """Copy the records of a chunk."""
        for record in records:
            if isinstance(record, Schema):
                self._copy_schema(record)
            elif isinstance(record, Channel):
                self._copy_channel(record)
            else:
                self._copy_message(record)

    def copy_attachment(self, attachment: Attachment) -> None:
        """Copy an attached file."""
        self._writer.add_attachment(
            attachment.create_time,
            attachment.log_time,
            attachment.name,
            attachment.media_type,
            attachment.data,
        )

    def copy_metadata(self, metadata: Metadata) -> None:
        """Copy a metadata record."""
        self._writer.add_metadata(metadata.name, metadata.metadata)

    def _copy_schema(self, schema: Schema) -> None:
        key = repr(("schema", schema.name, schema.encoding, schema.data))
        if key not in self._known:
            new = self._writer.register_schema(schema.name, schema.encoding, schema.data)
            self._known[key] = new
        self._schemas[schema.id] = self._known[key]

    def _copy_channel(self, channel: Channel) -> None:
        schema = self._schemas.get(channel.schema_id, 0)  # 0: without a schema
        declared = (channel.topic, channel.message_encoding, schema, channel.metadata)
        key = repr(("channel", *declared))
        if key not in self._known:
            self._known[key] = self._writer.register_channel(*declared)
        self._channels[channel.id] = self._known[key]

    def _copy_message(self, message: Message) -> None:
        if message.channel_id not in self._channels:
            self.unnamed += 1
            return
        self._writer.add_message(
            self._channels[message.channel_id],
            message.log_time,
            message.data,
            message.publish_time,
            message.sequence,
        )
        self.messages += 1
        if self._ours:
            self.expected = max(self.expected, message.sequence + 1)

    def finish(self) -> int:
        """Write the index; returns how many messages are known to be lost."""
        self._writer.finish()
        return max(self.unnamed, self.expected - self.messages)


def recover(path: Path) -> Recovered:
    """Keep every record with a valid checksum of a damaged recording, and write an index.

    The repaired file replaces the damaged one atomically.

    Returns:
        How many messages were kept, and what was lost.

    Raises:
        BadArgumentError: this is not a file, or it is being recorded.
        DamagedError: there is no whole message; the file is left as it is.
        PliantError: it cannot be read, or there is no space for the repaired file.
    """
    real = Path(os.path.realpath(path))  # the target, if it is a link
    temporary = real.with_name(f".{real.name}.recovered")
    try:
        with _open_mapped(path) as data:
            return _write_repaired(data, real, temporary)
    except OSError as error:
        raise PliantError(f"cannot repair {path}: {error.strerror or error}") from error


@contextmanager
def _open_mapped(path: Path) -> Iterator[mmap]:
    """The bytes of a file, locked against a recorder.

    Raises:
        BadArgumentError: it is not a regular file, or it is being recorded.
        DamagedError: it is empty.
    """
    if not path.exists():
        raise BadArgumentError(f"no file {path}")
    check_regular(path)
    if path.stat().st_size == 0:
        raise DamagedError(f"{path} holds no whole message: it is empty")
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadArgumentError(f"{path} is still being recorded") from error
        except OSError:  # not every file system has locks
            pass
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data


def _write_repaired(data: mmap, path: Path, temporary: Path) -> Recovered:
    """Write the whole records to a temporary file, then replace the damaged file with it."""
    try:
        with temporary.open("wb") as file:
            result = _copy(data, file)
            if result.messages == 0:
                raise DamagedError(f"{path} holds no whole message of an MCAP recording")
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return result


def _copy(data: mmap, file: IO[bytes]) -> Recovered:
    """Copy every whole record, and count the damaged bytes between them."""
    ours = data.find(PROFILE.encode()) >= 0  # in the header and in the metadata
    copier = _Copier(file, ours)
    copied: set[int] = set()  # digests of records
    lost_bytes = 0
    position = 0
    for record in find_whole(data):
        lost_bytes += count_damaged(data, position, record.start)
        position = record.end
        digest = hash(data[record.start : record.end])
        if digest in copied:  # a file put together from parts may hold a record twice
            continue
        copied.add(digest)
        match record.content:
            case Attachment():
                copier.copy_attachment(record.content)
            case Metadata():
                copier.copy_metadata(record.content)
            case _:
                copier.copy_chunk(record.content)
    lost_bytes += count_damaged(data, position, len(data))
    lost_messages = copier.finish()
    return Recovered(copier.messages, lost_messages, lost_bytes)
