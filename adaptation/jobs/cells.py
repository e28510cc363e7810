"""One cell of a suite: a method on a family, with a seed and a budget, trained and judged.

A cell's folder is a run folder, named by what the training depends on (``fingerprint``). When the
cell is finished the folder holds ``result.json``, from which pages are made without the run.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.jobs.evaluate import Conditions, evaluate_policies
from adaptation.jobs.fingerprint import Fingerprint, fingerprint
from adaptation.jobs.train import train
from adaptation.reporting.statistics import EpisodeGrid
from adaptation.rollout import Policy
from adaptation.runs.files import replace_file
from adaptation.runs.log import read_log
from adaptation.runs.records import REFERENCES, HeldoutProgress, Row, finite
from adaptation.runs.run import Run, RunConfig, check_config
from adaptation.runs.versions import Machine, current_commit, this_machine
from adaptation.suites import Suite
from robots.errors import DamagedError
from robots.signals import Array
from sim.engines import engine_for

FORMAT = 1
RESULT = "result.json"
FAILURE = "failure.json"
SPLIT = "heldout"


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
        """Method, family and seed."""
        method = _short(self.training.method)
        family = _short(self.training.family)
        return f"{method}-{family}-{self.training.seed}"


class Grid(msgspec.Struct, frozen=True):
    """What one policy reached, by episode and task: ``EpisodeGrid`` as JSON."""

    returns: list[Row]
    success: list[list[float]]
    metrics: dict[str, list[Row]]
    tasks: list[Row] | None  # numbers that tell tasks apart; None: each trial has its own

    @classmethod
    def of(cls, grid: EpisodeGrid) -> "Grid":
        """The grid with numbers that are not finite as None."""
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
    """What a finished cell gave: the content of ``result.json``."""

    format: int
    cell: Cell
    fingerprint: Fingerprint
    commit: str | None  # of the code that judged; null outside a git checkout
    machine: Machine
    iterations: int
    steps: int  # environment steps
    gradient_steps: int
    seconds: float  # wall time of the training on one core, shared or not as it was
    judging_seconds: float
    grids: dict[str, dict[str, Grid]]  # by engine and policy
    curve: list[HeldoutProgress]  # held-out tasks during the training
    notes: list[str]  # what is missing, and why

    @property
    def hash(self) -> str:
        """The hash that the cell's folder is named by."""
        return self.fingerprint.digest


class CellFailure(msgspec.Struct, frozen=True):
    """Why a cell has no result: the content of ``failure.json``."""

    cell: Cell
    error: str  # its last line says what happened
    attempts: int


def suite_cells(suite: Suite, seeds: tuple[int, ...] = ()) -> list[Cell]:
    """Every cell of a suite, family by family.

    Args:
        suite: what to train.
        seeds: instead of the suite's.
    """
    cells = []
    for family, table in suite.families.items():
        judging = Judging(table.tasks, table.episodes, table.engines)
        for method, bounds in table.methods.items():
            for seed in seeds or suite.seeds:
                training = RunConfig(
                    method=method,
                    family=family,
                    seed=seed,
                    iterations=bounds.iterations,
                    minutes=bounds.minutes,
                    steps=bounds.steps,
                    gradient_steps=bounds.gradient_steps,
                    preset=bounds.preset,
                    settings=bounds.settings,
                    references=False,
                    save_seconds=suite.save_seconds,
                    evaluations=suite.evaluations,
                    evaluation_tasks=suite.evaluation_tasks,
                )
                cells.append(Cell(training, judging))
    return cells


def cell_folder(cell: Cell, out: Path) -> Path:
    """The folder of a cell for the code, family and versions of this machine.

    Raises:
        PliantError: the cell names something that does not exist, or is not installed.
    """
    digest = fingerprint(check_config(cell.training)).digest
    return out / f"{cell.name}-{digest}"


def train_cell(cell: Cell, folder: Path) -> CellResult:
    """Train a cell, from its last checkpoint if it has one; judge it; write its result.

    Raises:
        PliantError: see ``train`` and ``evaluate``.
    """
    torch.set_num_threads(1)
    if (folder / "config.json").exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, cell.training)
    last = train(run)
    started = monotonic()
    grids, notes = _judge(run, cell.judging)
    result = CellResult(
        format=FORMAT,
        cell=cell,
        fingerprint=fingerprint(run.config),
        commit=current_commit(),
        machine=this_machine(),
        iterations=last.iteration,
        steps=last.steps,
        gradient_steps=last.gradient_steps,
        seconds=last.seconds,
        judging_seconds=monotonic() - started,
        grids=grids,
        curve=read_log(run.heldout_path("method"), HeldoutProgress),
        notes=notes,
    )
    replace_file(folder / RESULT, msgspec.json.encode(result))
    (folder / FAILURE).unlink(missing_ok=True)
    return result


def _judge(run: Run, judging: Judging) -> tuple[dict[str, dict[str, Grid]], list[str]]:
    """The grids by engine and policy, and why an engine is missing."""
    family = run.family
    grids = {}
    notes = []
    for engine in judging.engines or (engine_for(family.scene),):
        episodes = judging.episodes or family.episodes
        conditions = Conditions(judging.tasks, episodes, SPLIT, engine)
        try:
            found = dict(evaluate_policies(family, _policies(run), conditions))
        except ModuleNotFoundError as missing:
            notes.append(f"not judged in {engine}: {missing.name} is not installed")
            continue
        grids[engine] = {name: Grid.of(grid) for name, grid in found.items()}
    return grids, notes


def _policies(run: Run) -> Iterator[tuple[str, Policy[Any]]]:
    """The policies that are judged: a reference has nothing to adapt."""
    for name, policy in run.policies():
        if name == "adapted" or run.config.method not in REFERENCES:
            yield name, policy


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
    """Keep why a cell has no result."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FAILURE, msgspec.json.encode(failure))


def read_failure(folder: Path) -> CellFailure | None:
    """Why a cell has no result; None where it has one, or was never tried."""
    file = folder / FAILURE
    if not file.is_file():
        return None
    return msgspec.json.decode(file.read_bytes(), type=CellFailure)


def _array(rows: Sequence[Row] | list[list[float]]) -> Array:
    return np.array(rows, dtype=np.float64)


def _rows(values: Array) -> list[Row]:
    return [[finite(value) for value in row] for row in values]


def _short(name: str) -> str:
    """A name without the module that it may begin with, for folders."""
    return name.rpartition(":")[2].replace(os.sep, "_")
