"""Refuses what is no regular file: a pipe has no end, and a device is no recording."""

import stat
from pathlib import Path

from robots.errors import BadArgumentError


def check_regular(path: Path) -> None:
    """Refuse folders, pipes and devices.

    Raises:
        FileNotFoundError: there is nothing at ``path``.
        BadArgumentError: it is no regular file.
    """
    if stat.S_ISREG(path.stat().st_mode):
        return

    kind = "folder" if path.is_dir() else "pipe or device"
    raise BadArgumentError(f"{path} is a {kind}, no file")
