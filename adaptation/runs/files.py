"""Atomic writes of files, and reading files that may be damaged or not regular files."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import TypeVar

import msgspec

from robots.errors import BadArgumentError, DamagedError

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # errors for invalid JSON

R = TypeVar("R", bound=msgspec.Struct)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that it holds the old bytes or the new ones, never half of them.

    Raises:
        OSError: there is no space, or it cannot be written for another reason; it names the path.
    """
    with whole_file(path) as new, open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, record: object) -> None:
    """Write a record as indented JSON, as ``replace_file`` does."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The name to write a file under; at the end of the block it replaces ``path``.

    The name ends as that of ``path``, because some writers take the format from it. After an error,
    such as a full disk, nothing of the new file is left, and an OSError names ``path``.
    """
    new = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        yield new
        new.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            new.unlink()


def check_writable(path: Path, endings: Sequence[str]) -> None:
    """Refuse a file that could not be written, before anything slow is done.

    Args:
        path: of the file.
        endings: that its name may have, such as ``.png``.

    Raises:
        BadArgumentError: it ends otherwise, it is a folder, or its folder is missing or read-only.
    """
    if path.suffix not in endings:
        *first, last = endings
        allowed = f"{', '.join(first)} or {last}" if first else last
        raise BadArgumentError(f"{path} must end in {allowed}")
    folder = path.parent
    if not folder.is_dir():
        raise BadArgumentError(f"no folder {folder}")
    if path.is_dir():
        raise BadArgumentError(f"{path} is a folder")
    if not os.access(folder, os.W_OK):
        raise BadArgumentError(f"no permission to write into the folder {folder}")


def read_regular_file(path: Path) -> bytes:
    """All bytes of a regular file; a pipe could block forever, and a device may never end.

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
