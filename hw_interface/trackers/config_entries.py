"""What the TOML files of several trackers share: entries, checks, and how a file is read."""

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from robots.errors import BadArgumentError

T = TypeVar("T", bound=msgspec.Struct)

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Positive = Annotated[float, msgspec.Meta(gt=0)]
UNIT_TOLERANCE = 1e-3  # by which a quaternion's length may differ from 1: rounded numbers in a file


class TrackLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which poses are believed; the numbers are our own choice."""

    speed: Positive = 1.5  # m/s, the fastest that the object can move
    turn_rate: Positive = 12.0  # rad/s, the fastest that it can turn
    jump: Positive = 0.01  # m, tolerance on top of what the object can move between two frames
    jump_angle: Positive = 0.1  # rad, likewise
    confirmations: Annotated[int, msgspec.Meta(ge=2)] = 3  # poses in a row that confirm a jump
    window: Positive = 0.2  # s, of the poses from which a velocity is computed


def read_entries(file: str, kind: type[T]) -> T:
    """Read a tracker's file; its types and ranges are checked.

    Args:
        file: its path.
        kind: the structure of the whole file.

    Raises:
        BadArgumentError: there is no such file, or a number is missing, unknown or out of range;
            the message names the file and the entry.
    """
    path = Path(file)
    if not path.is_file():
        raise BadArgumentError(f"the tracker needs config=FILE, and there is no file {file!r}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(table, kind)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadArgumentError(f"{path}: {error}") from error


def pose_problem(where: str, position: Vector, quaternion: Quaternion) -> str:
    """What is impossible in a pose; empty if nothing is."""
    if not np.isfinite([*position, *quaternion]).all():
        return f"{where}: position and quaternion must be finite"
    length = float(np.linalg.norm(quaternion))
    if abs(length - 1) > UNIT_TOLERANCE:
        return f"{where}: the length of its quaternion (w, x, y, z) must be 1, got {length:.4f}"
    return ""
