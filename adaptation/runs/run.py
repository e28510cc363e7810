"""A run folder: what was asked for, the checkpoints, and a log that a kill cannot break."""

import fcntl
import multiprocessing
import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from robots.errors import DamagedError, PliantError

PATIENCE = 15.0  # s: the helpers of a killed process notice within an iteration or a visit that they are alone
REFERENCES = ("blind", "oracle")  # the floor and the ceiling a method is judged between


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what a training does."""

    method: str
    family: str
    engine: str | None = None  # None: the family's own
    seed: int = 0
    iterations: int | None = None  # calls of ``learn``; None: the method's own number, or no bound if minutes are set
    minutes: float | None = None  # of wall time
    references: bool = True
    save_iterations: int = 0  # between checkpoints; 0: by time alone
    save_seconds: float = 20.0
    settings: dict[str, Any] = {}  # the method's config, where it is not the default


def name_of(config: RunConfig, role: str) -> str:
    """The registered method that plays a role: ``method``, ``blind`` or ``oracle``."""
    return config.method if role == "method" else role


def checkpoint_folder(run: Path, config: RunConfig, role: str) -> Path:
    """Where the checkpoint of a role lies; a run of ``blind`` is its own floor."""
    return run / ("method" if name_of(config, role) == config.method else role)


def log_file(run: Path, role: str) -> Path:
    """The curve of a role."""
    return run / ("log.jsonl" if role == "method" else f"log-{role}.jsonl")


def write_config(run: Path, config: RunConfig) -> None:
    """Keep what was asked for, with the versions and the commit it ran with."""
    packages = ("pliant", "numpy", "torch", "mujoco", "pybullet")
    document = {
        "config": msgspec.to_builtins(config),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "commit": _commit(),
    }
    run.mkdir(parents=True, exist_ok=True)
    replace_file(run / "config.json", msgspec.json.format(msgspec.json.encode(document), indent=2))


def read_config(run: Path) -> RunConfig:
    """What a run was asked for.

    Raises:
        FileNotFoundError: this is no run folder.
        DamagedError: its config was not written by this version.
    """
    path = run / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no run folder: it has no config.json")
    try:
        return msgspec.convert(msgspec.json.decode(path.read_bytes())["config"], RunConfig)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError) as error:
        raise DamagedError(f"{path}: {error}") from error


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that it holds the old bytes or the new ones, never half."""
    new = path.with_name(f".{path.name}.new")
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def parent_exited() -> bool:
    """Whether the process that started this one, to share its work, is gone: nobody would ever collect the result."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def _commit() -> str | None:
    here = Path(__file__).parent
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


class Log:
    """JSON lines on disk, each there for good when ``write`` returns; one process writes at a time."""

    def __init__(self, path: Path) -> None:
        """Open for appending after the last whole line; PliantError while another process is writing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "ab")  # noqa: SIM115
        self._claim(path)
        self.cut(path.read_bytes().rfind(b"\n") + 1)

    def _claim(self, path: Path) -> None:
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    self.close()
                    raise PliantError(f"{path} is being written by another process") from error
                time.sleep(0.1)

    def cut(self, size: int) -> None:
        """Forget all but the first ``size`` bytes."""
        self._file.truncate(size)
        self._file.seek(0, os.SEEK_END)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._file.tell()

    def write(self, line: dict[str, Any]) -> None:
        """Append one object; numbers that are not finite become null."""
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log; a last one cut by a kill is left out."""
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [msgspec.json.decode(line) for line in whole.splitlines()]
