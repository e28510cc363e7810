"""A replay on disk: every task is appended once, to segment files next to the checkpoint.

A checkpoint lists the segments, the number of their tasks, and the SHA-256 of their bytes. Tasks
that a killed training appended after its last checkpoint are cut off when it resumes. A segment is
deleted once all of its tasks have left the replay's ring.

A segment is a matrix of float32, one row per task: its transitions (L·w), its parameters (p), and
how many of its transitions are valid (1). Numbers up to 2**24 are exact.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from adaptation.runs.files import sync_folder
from policies.method import Method
from policies.rl.replay import LearnsFromReplay, Replay
from robots.errors import DamagedError
from robots.signals import Array

SEGMENTS = 8  # of a full ring: at most an eighth of what is on disk has left the ring
BYTES_PER_NUMBER = 4


def acting_state(method: Method[Any]) -> dict[str, Any]:
    """The part of a method's state that acting and adapting need: all but the replay."""
    if isinstance(method, LearnsFromReplay):
        return method.state_without_replay()
    return method.state_dict()


class SegmentMark(msgspec.Struct, frozen=True):
    """The part of a segment that belongs to a checkpoint."""

    first: int  # number of its first task, counted from the first one ever added
    tasks: int
    sha256: str


class ReplayMark(msgspec.Struct, frozen=True):
    """What a checkpoint stores about the replay, to read it back."""

    added: int
    widths: list[int]
    ticks: int  # L
    parameters: int  # p
    segments: list[SegmentMark]


@dataclass
class Segment:
    """A file that tasks are appended to."""

    path: Path
    first: int
    tasks: int = 0
    hash: Any = field(default_factory=hashlib.sha256)

    @property
    def end(self) -> int:
        """Number of the task after its last one."""
        return self.first + self.tasks

    def append(self, rows: Array) -> None:
        """Append tasks (n, columns); they are safely on disk when this returns."""
        data = rows.tobytes()
        descriptor = _open_for_append(self.path)
        with open(descriptor, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self.hash.update(data)
        self.tasks += len(rows)

    def mark(self) -> SegmentMark:
        """What a checkpoint says of it."""
        return SegmentMark(self.first, self.tasks, self.hash.hexdigest())


class ReplayJournal:
    """The segment files of one replay; one process at a time may use it."""

    def __init__(self, folder: Path) -> None:
        """Use ``clear`` or ``restore`` before the first ``append``."""
        self.folder = folder
        self._segments: list[Segment] = []

    def clear(self) -> None:
        """Begin anew: delete what a training left that never reached its first checkpoint."""
        self._segments = []
        self.remove_old()

    def append(self, replay: Replay) -> dict[str, Any]:
        """Write the tasks that were added since the last call.

        Returns:
            The mark for the checkpoint, in plain numbers.
        """
        oldest = replay.added - len(replay)
        written = self._segments[-1].end if self._segments else 0
        segment_tasks = max(1, replay.capacity // SEGMENTS)
        number = max(written, oldest)
        while number < replay.added:
            segment = self._segment_for(number, segment_tasks)
            room = segment_tasks - segment.tasks
            end = min(number + room, replay.added)
            rows = _read_rows(replay, number, end)
            segment.append(rows)
            number = end
        self._segments = [segment for segment in self._segments if segment.end > oldest]
        mark = ReplayMark(
            added=replay.added,
            widths=list(replay.widths),
            ticks=replay.data.shape[1] if replay.widths else 0,
            parameters=replay.task.shape[1] if replay.widths else 0,
            segments=[segment.mark() for segment in self._segments],
        )
        plain: dict[str, Any] = msgspec.to_builtins(mark)
        return plain

    def _segment_for(self, number: int, segment_tasks: int) -> Segment:
        """The segment that task ``number`` is appended to: the last one, or a new one."""
        if self._segments:
            last = self._segments[-1]
            if last.end == number and last.tasks < segment_tasks:
                return last
        self.folder.mkdir(parents=True, exist_ok=True)
        segment = Segment(self._path(number), number)
        os.close(_open_for_append(segment.path))
        sync_folder(self.folder)
        self._segments.append(segment)
        return segment

    def remove_old(self) -> None:
        """Delete the segments that the last mark does not name; its checkpoint must be on disk."""
        named = {segment.path for segment in self._segments}
        for path in self.folder.glob("*.tasks"):
            if path not in named:
                path.unlink()

    def restore(self, plain_mark: dict[str, Any], replay: Replay) -> None:
        """Fill a replay with the tasks that a mark names, and cut off all others.

        Raises:
            DamagedError: the mark is malformed, or a segment is missing, too short, a link, or not
                what was written.
        """
        mark = _checked_mark(plain_mark, self.folder)
        columns = mark.ticks * sum(mark.widths) + mark.parameters + 1
        read: list[Tensor] = []
        segments: list[Segment] = []
        for named in mark.segments:
            segment, rows = self._read_segment(named, columns)
            segments.append(segment)
            read.append(rows)
        self._segments = segments
        self.remove_old()
        _fill(replay, mark, torch.cat([torch.zeros(0, columns), *read]), self.folder)

    def _read_segment(self, named: SegmentMark, columns: int) -> tuple[Segment, Tensor]:
        """A segment, cut to its named tasks, and these tasks (n, columns)."""
        path = self._path(named.first)
        size = named.tasks * columns * BYTES_PER_NUMBER
        try:  # a link may lead to any file of the user, which must not be cut
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError as error:
            raise DamagedError(f"{path} is no segment that can be read: {error}") from error
        with open(descriptor, "r+b") as file:
            stored = os.fstat(descriptor).st_size
            data = file.read(size) if stored >= size else b""
            digest = hashlib.sha256(data)
            if len(data) != size or digest.hexdigest() != named.sha256:
                raise DamagedError(f"{path} is not what was written: its size or SHA-256 differs")
            file.truncate(size)
        rows = np.frombuffer(data, np.float32).reshape(named.tasks, columns)
        segment = Segment(path, named.first, named.tasks, digest)
        return segment, torch.from_numpy(rows.copy())

    def _path(self, first: int) -> Path:
        return self.folder / f"{first:012d}.tasks"


def _open_for_append(path: Path) -> int:
    """Descriptor of a file, created if it is missing; OSError if it is a link."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.open(path, flags, mode=0o666)


def _checked_mark(plain_mark: dict[str, Any], folder: Path) -> ReplayMark:
    """A mark read back; DamagedError, naming ``folder``, where it cannot be that of a replay."""
    problem = f"{folder}: the replay's mark is malformed:"
    try:
        mark = msgspec.convert(plain_mark, ReplayMark)
    except msgspec.ValidationError as error:
        raise DamagedError(f"{problem} {error}") from error
    sizes = [mark.added, mark.ticks, mark.parameters]
    sizes += [named.first for named in mark.segments]
    if min(sizes) < 0 or any(width < 0 for width in mark.widths):
        raise DamagedError(f"{problem} it has a negative number")
    if any(named.tasks < 1 for named in mark.segments):
        raise DamagedError(f"{problem} it names a segment without tasks")
    return mark


def _read_rows(replay: Replay, start: int, end: int) -> Array:
    """Tasks number ``start`` to ``end - 1`` of a replay as rows (n, columns) of a segment."""
    slots = torch.arange(start, end, device=replay.device) % replay.capacity
    length = replay.length[slots, None].float()
    parts = [replay.data[slots].flatten(1), replay.task[slots], length]
    rows: Array = torch.cat(parts, 1).cpu().numpy()
    return rows


def _fill(replay: Replay, mark: ReplayMark, rows: Tensor, folder: Path) -> None:
    """Load the newest of rows (n, columns), which end with task number ``mark.added - 1``.

    Raises:
        DamagedError: they do not fit the replay; the message names the ``folder`` they come from.
    """
    stored = min(mark.added, replay.capacity)
    if len(rows) < stored:
        raise DamagedError(f"{folder} holds {len(rows)} tasks of {stored} in the replay")
    newest = rows[len(rows) - stored :]
    numbers = torch.arange(mark.added - stored, mark.added)
    in_slot_order = torch.argsort(numbers % replay.capacity)
    ticks = mark.ticks * sum(mark.widths)
    data, task, length = newest[in_slot_order].split([ticks, mark.parameters, 1], 1)
    if ((length < 0) | (length > mark.ticks)).any():
        raise DamagedError(f"{folder} holds a task of more than its {mark.ticks} transitions")
    state = {
        "added": mark.added,
        "widths": mark.widths,
        "data": data.reshape(stored, mark.ticks, sum(mark.widths)),
        "length": length[:, 0].long(),
        "task": task,
    }
    try:
        replay.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise DamagedError(f"{folder} does not fit this method: {error}") from error
