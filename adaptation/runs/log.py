"""A log of JSON lines that stays readable if the process is killed."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from adaptation.runs.files import UNREADABLE
from robots.errors import DamagedError, PliantError

LOCK_TIMEOUT = 15.0  # s: the helper processes of a killed job exit within an iteration or a trial

R = TypeVar("R", bound=msgspec.Struct)


class Log:
    """JSON lines, each safely on disk when ``write`` returns; one process writes at a time."""

    def __init__(self, path: Path) -> None:
        """Open for appending after the last whole line.

        Raises:
            PliantError: another process is writing this log.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        self._lock(path)
        whole = path.read_bytes().rfind(b"\n") + 1
        self.cut(whole)

    def _lock(self, path: Path) -> None:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    self.close()
                    raise PliantError(f"{path} is being written by another process") from error
                time.sleep(0.1)

    def cut(self, size: int) -> None:
        """Drop everything after the first ``size`` bytes."""
        self._file.truncate(size)
        self._file.seek(0, os.SEEK_END)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, *lines: msgspec.Struct | dict[str, Any]) -> None:
        """Append objects, all or none; numbers that are not finite become null.

        Raises:
            OSError: there is no space; the log is as it was.
        """
        before = self.size
        encoded = [msgspec.json.encode(line) + b"\n" for line in lines]
        try:
            self._append(b"".join(encoded))
        except OSError as error:
            with contextlib.suppress(OSError):
                self.cut(before)
            error.filename = str(self._path)
            raise

    def _append(self, data: bytes) -> None:
        handle = self._file.fileno()
        while data:
            written = os.write(handle, data)
            data = data[written:]
        os.fsync(handle)

    def close(self) -> None:
        """Close the file, which releases the lock."""
        self._file.close()


def read_log(path: Path, kind: type[R]) -> list[R]:
    """Read all whole lines of a log; a last line that a kill cut short is left out.

    Args:
        path: the log; one that does not exist is empty.
        kind: the record that each line holds.

    Raises:
        DamagedError: a line is not such a record, as in logs of an earlier format.
    """
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    decoder = msgspec.json.Decoder(kind)
    try:
        return [decoder.decode(line) for line in whole.splitlines()]
    except UNREADABLE as error:
        message = f"{path} is damaged, or another version of Pliant wrote it: {error}"
        raise DamagedError(message) from error
