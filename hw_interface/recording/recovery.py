"""Repair of recordings that were cut off, for example by a kill."""

import io
import os
import struct
from pathlib import Path

from mcap.exceptions import McapError
from mcap.records import Channel, McapRecord, Message, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import Writer

from robots.errors import DamagedError

# raised by reading beyond the end of a file that was cut off
CUT_OFF = (McapError, EOFError, ValueError, KeyError, struct.error)


class _Copier:
    """Copies records of one file into a new file, which gets an index."""

    def __init__(self) -> None:
        self.file = io.BytesIO()
        self.writer = Writer(self.file)
        self.messages = 0
        self._schemas: dict[int, int] = {}  # old id: new id
        self._channels: dict[int, int] = {}  # old id: new id
        self.writer.start()

    def copy(self, record: McapRecord) -> None:
        """Copy one record; the kinds that the writer adds itself are skipped."""
        if isinstance(record, Schema):
            self._copy_schema(record)
        elif isinstance(record, Channel):
            self._copy_channel(record)
        elif isinstance(record, Message):
            self._copy_message(record)

    def _copy_schema(self, schema: Schema) -> None:
        if schema.id not in self._schemas:
            new = self.writer.register_schema(schema.name, schema.encoding, schema.data)
            self._schemas[schema.id] = new

    def _copy_channel(self, channel: Channel) -> None:
        if channel.id not in self._channels:
            self._channels[channel.id] = self.writer.register_channel(
                channel.topic,
                channel.message_encoding,
                self._schemas[channel.schema_id],
                channel.metadata,
            )

    def _copy_message(self, message: Message) -> None:
        self.writer.add_message(
            self._channels[message.channel_id],
            message.log_time,
            message.data,
            message.publish_time,
            message.sequence,
        )
        self.messages += 1


def recover(path: Path) -> int:
    """Keep every whole message of a recording that was cut off and write its index.

    The repaired file replaces the cut one in one step.

    Returns:
        How many messages were kept.

    Raises:
        DamagedError: there is no whole message; the file is left as it is.
    """
    copier = _Copier()
    try:
        with path.open("rb") as cut:
            for record in StreamReader(cut).records:
                copier.copy(record)
    except CUT_OFF as error:
        if copier.messages == 0:
            raise DamagedError(f"{path} holds no whole message: {error}") from error
    copier.writer.finish()
    _replace(path, copier.file.getvalue())
    return copier.messages


def _replace(path: Path, content: bytes) -> None:
    """Replace a file's content in one step, after the new content is on the disk."""
    temporary = path.with_name(path.name + ".recovered")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
