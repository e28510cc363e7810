"""A folder as bytes, for machines without a common disk, and back. Nothing is pickled."""

from functools import partial
from pathlib import Path, PurePosixPath

import msgspec
import zstandard

from adaptation.runs import archive
from robots.errors import DamagedError

LEVEL = 3  # of the compression


def pack_folder(folder: Path) -> bytes:
    """All files of a folder and of those within it; of a folder that does not exist, none.

    Only the process that writes the folder may call this: it finishes an interrupted replacement.
    """
    archive.finish_interrupted_write(folder)
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
    archive.write_files(_unpack(packed), folder)


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
    """Replace a folder by a packed one; see ``archive.replace``.

    Raises:
        DamagedError: see ``unpack_folder``; the folder is left as it is.
        OSError: there is no space; the folder is left as it is.
    """
    archive.replace(folder, partial(unpack_folder, packed))
