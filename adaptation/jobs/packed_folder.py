"""A folder as bytes, for machines without a common disk, and back. Nothing is pickled."""

import os
import shutil
from pathlib import Path, PurePosixPath

import msgspec
import zstandard

from adaptation.runs.files import sync_folder
from robots.errors import DamagedError

LEVEL = 3  # of the compression


def pack_folder(folder: Path) -> bytes:
    """All files of a folder and of those within it; of a folder that does not exist, none.

    Only the process that writes the folder may call this: it finishes an interrupted replacement.
    """
    _finish_replacement(folder)
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return zstandard.compress(msgspec.msgpack.encode(files), LEVEL)


def unpack_folder(packed: bytes, folder: Path) -> None:
    """Write the files into a folder, which is made; returns when they are on disk.

    Raises:
        DamagedError: these are not the bytes of a folder, or a file would lie outside of it.
    """
    files = _unpack(packed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for parent in {(folder / name).parent for name in files}:
        sync_folder(parent)


def _unpack(packed: bytes) -> dict[str, bytes]:
    try:
        encoded = zstandard.decompress(packed)
        files = msgspec.msgpack.decode(encoded, type=dict[str, bytes])
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise DamagedError(f"this is no packed folder: {error}") from error
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise DamagedError(f"a packed folder may not hold {name!r}")
    return files


def replace_folder(packed: bytes, folder: Path) -> None:
    """Replace a folder by a packed one.

    After a kill at any moment, ``pack_folder`` finds all the old files or all the new ones.

    Raises:
        DamagedError: see ``unpack_folder``; the folder is left as it is.
        OSError: there is no space; the folder is left as it is.
    """
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        unpack_folder(packed, partial)
        _finish_replacement(folder)
        partial.rename(_complete(folder))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _finish_replacement(folder)


def _complete(folder: Path) -> Path:
    """Where a new folder lies once it is whole, until the old one is gone."""
    return folder.with_name(f".{folder.name}.whole")


def _finish_replacement(folder: Path) -> None:
    """Put a new folder that is whole in the place of the old one."""
    new = _complete(folder)
    if new.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        sync_folder(folder.parent)
