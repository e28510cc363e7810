"""Cells and their results: the records of a suite, kept as JSON in the cells' folders."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from adaptation.jobs.fingerprint import Fingerprint
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.runs.files import replace_file
from adaptation.runs.records import HeldoutProgress, Row, finite
from adaptation.runs.run_config import RunConfig
from adaptation.runs.versions import Machine
from robots.errors import DamagedError
from robots.signals import Array
from sim.families import full_name

FORMAT = 1
DIGITS = 6  # significant, of the numbers in a grid
RESULT = "result.json"
FAILURE = "failure.json"


class Judging(msgspec.Struct, frozen=True):
    """How the policies of a cell are judged, on held-out tasks."""

    tasks: int
    episodes: int | None = None  # per task; None: the family's number
    engines: tuple[str, ...] = ()  # empty: the first that supports the family's scene


class Cell(msgspec.Struct, frozen=True):
    """One training and how it is judged."""

    training: RunConfig  # method, family, seed, and the bounds
    judging: Judging

    @property
    def name(self) -> str:
        """Method, family with the arm that it was given, and seed."""
        method = _short(self.training.method)
        family = _short(self.training.family)
        arm = self.training.arm
        if arm is not None:
            family = full_name(family, _short(arm))
        return f"{method}-{family}-{self.training.seed}"


class Grid(msgspec.Struct, frozen=True):
    """The results of one policy by episode and task: ``EpisodeGrid`` as JSON."""

    returns: list[Row]
    success: list[list[float]]
    metrics: dict[str, list[Row]]
    tasks: list[Row] | None  # numbers that identify a task; None: each trial has a task of its own

    @classmethod
    def of(cls, grid: EpisodeGrid) -> "Grid":
        """The grid with rounded numbers, and with those that are not finite as None."""
        return cls(
            returns=_rows(grid.returns),
            success=np.asarray(grid.success, dtype=np.float64).tolist(),
            metrics={name: _rows(values) for name, values in grid.metrics.items()},
            tasks=None if grid.tasks is None else _rows(grid.tasks),
        )

    def arrays(self) -> EpisodeGrid:
        """The grid as arrays (E, n); None becomes NaN."""
        return EpisodeGrid(
            returns=_array(self.returns),
            success=_array(self.success),
            metrics={name: _array(values) for name, values in self.metrics.items()},
            tasks=None if self.tasks is None else _array(self.tasks),
        )


class CellResult(msgspec.Struct, frozen=True):
    """The result of a finished cell: the content of ``result.json``."""

    format: int
    cell: Cell
    fingerprint: Fingerprint
    commit: str | None  # of the code that judged; null outside a git checkout
    machine: Machine
    is_finished: bool  # whether the training had reached its bounds
    iterations: int
    steps: int  # environment steps
    gradient_steps: int
    seconds: float  # wall time of the training and its evaluations; the core may be shared
    judging_seconds: float
    grids: dict[str, dict[str, Grid]]  # by engine and policy
    curve: list[HeldoutProgress]  # held-out tasks during the training
    notes: list[str]  # what is missing, and why
    cpu_seconds: float | None = None  # of collecting and learning; None: not measured

    @property
    def hash(self) -> str:
        """The hash that the cell's folder is named by."""
        return self.fingerprint.digest


class CellFailure(msgspec.Struct, frozen=True):
    """Why a cell has no result: the content of ``failure.json``."""

    cell: Cell
    error: str  # its last line says what happened
    attempts: int


def read_result(folder: Path) -> CellResult | None:
    """The result of a cell; None while it has none, or one of another format.

    Raises:
        DamagedError: the file does not hold a result.
    """
    file = folder / RESULT
    if not file.is_file():
        return None
    data = file.read_bytes()
    try:
        header = msgspec.json.decode(data)
        if header["format"] != FORMAT:
            return None
        return msgspec.json.decode(data, type=CellResult)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise DamagedError(f"{file}: {error}") from error


def write_failure(folder: Path, failure: CellFailure) -> None:
    """Write why a cell has no result."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FAILURE, msgspec.json.encode(failure))


def read_failure(folder: Path) -> CellFailure | None:
    """Why a cell has no result; None if it has one, or was never tried.

    Raises:
        DamagedError: the file does not hold a failure.
    """
    file = folder / FAILURE
    if not file.is_file():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=CellFailure)
    except msgspec.DecodeError as error:
        raise DamagedError(f"{file}: {error}") from error


def same_json(one: msgspec.Struct, other: msgspec.Struct) -> bool:
    """Whether two records are the same in a file, where a tuple and a list are no different."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)


def _array(rows: Sequence[Row] | list[list[float]]) -> Array:
    return np.array(rows, dtype=np.float64)


def _rows(values: Array) -> list[Row]:
    return [[finite(f"{value:.{DIGITS}g}") for value in row] for row in values]


def _short(name: str) -> str:
    """A name without the module that it may begin with, for folders."""
    return name.rpartition(":")[2].replace(os.sep, "_")
