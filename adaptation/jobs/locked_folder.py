"""Temporary folders of processes that may be killed: what one leaves, the next one deletes."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

PREFIX = "pliant-job-"
LOCK = "process.lock"  # file that the process which uses the folder holds a lock on, until it ends


@contextmanager
def locked_folder() -> Iterator[Path]:
    """A new temporary folder; folders of processes that were killed are deleted first."""
    delete_abandoned_folders()
    with TemporaryDirectory(prefix=PREFIX) as place:
        folder = Path(place)
        unnamed = folder / f"{LOCK}.new"
        with unnamed.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            unnamed.rename(folder / LOCK)  # nobody finds it before it is locked
            yield folder


def delete_abandoned_folders() -> None:
    """Delete this user's temporary folders whose process is gone."""
    for folder in Path(gettempdir()).glob(f"{PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether it has a lock that no process holds."""
    try:
        if folder.lstat().st_uid != os.getuid():
            return False
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is held, or not there
        return False
    return True
