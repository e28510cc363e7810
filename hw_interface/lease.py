"""The right to command one arm: one program at a time for each port or address.

A lock of the operating system on a file of the user's own. It ends with the process that holds it,
however that process ends, so a file that a dead one left behind locks nobody out.
"""

import fcntl
import os
import tempfile
from pathlib import Path

from robots.errors import ArmError


class Lease:
    """One program's claim to a port or address; a driver takes it before it sends a byte."""

    def __init__(self, address: str) -> None:
        """Remember the address.

        Args:
            address: a port such as ``/dev/ttyUSB0``, by any of its names, or a host's address.
        """
        self.address = address
        self._file: int | None = None  # descriptor of the locked file

    @property
    def path(self) -> Path:
        """The file that is locked; the process id of the holder is written in it."""
        is_path = os.sep in self.address
        name = os.path.realpath(self.address) if is_path else self.address
        readable = "".join(letter if letter.isalnum() else "_" for letter in name)
        return _folder() / f"{readable}.lock"

    def take(self) -> None:
        """Claim the address; no effect where this lease has it already.

        Raises:
            ArmError: another program, or another driver of this one, has it.
            OSError: the file cannot be written.
        """
        if self._file is not None:
            return
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(file, 32).decode(errors="replace").strip() or "unknown"
            os.close(file)
            message = f"{self.address} is in use by process {holder}"
            raise ArmError(f"{message}: an arm obeys one program at a time") from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def release(self) -> None:
        """Give the address up; may be called twice."""
        if self._file is not None:
            os.close(self._file)  # which unlocks it
            self._file = None


def _folder() -> Path:
    """The folder of this user's locks, in the runtime folder of the session or the temporary one.

    Raises:
        OSError: it cannot be made, or it belongs to another user.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    in_runtime = os.path.isabs(runtime) and os.access(runtime, os.W_OK)
    base = Path(runtime) if in_runtime else Path(tempfile.gettempdir())
    folder = base / f"pliant-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    return folder
