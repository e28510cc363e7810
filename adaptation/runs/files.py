"""Writing files so that a kill leaves them whole, and reading what strangers may have put there."""

import os
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

import msgspec

from robots.errors import DamagedError

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # of bytes that are no JSON

R = TypeVar("R", bound=msgspec.Struct)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that it holds the old bytes or the new ones, never half of them.

    Raises:
        OSError: there is no space, or it cannot be written for another reason; it names the path.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with open(new, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:  # a full disk, a folder of this name
        new.unlink(missing_ok=True)
        error.filename = str(path)
        raise


def read_regular_file(path: Path) -> bytes:
    """All bytes of a file; a pipe would block for ever, and a device may never end.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it is a folder, a pipe or a device.
    """
    if not S_ISREG(path.stat().st_mode):
        raise DamagedError(f"{path} is no regular file")
    return path.read_bytes()


def read_record(path: Path, kind: type[R]) -> R:
    """The record that a JSON file holds.

    Raises:
        FileNotFoundError: there is none.
        DamagedError: it does not hold such a record.
    """
    try:
        return msgspec.json.decode(read_regular_file(path), type=kind)
    except UNREADABLE as error:
        raise DamagedError(f"{path} is damaged, or of another version: {error}") from error


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are safely on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
