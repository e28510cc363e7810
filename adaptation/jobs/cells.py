"""One cell of a suite: a method on a family, with a seed and a budget, trained and judged.

A cell's folder is a run folder, named by what the training depends on (``fingerprint``). When the
cell is finished the folder holds ``result.json``, from which pages are made without the run.
"""

from collections.abc import Iterator
from math import inf
from pathlib import Path
from platform import node
from time import monotonic, time
from typing import Any

import msgspec
import torch

from adaptation.jobs.cell_records import (
    FAILURE,
    FORMAT,
    RESULT,
    Cell,
    CellResult,
    Grid,
    Judging,
)
from adaptation.jobs.evaluate import Conditions, evaluate_policies
from adaptation.jobs.fingerprint import fingerprint
from adaptation.jobs.train import describe_progress, train_role
from adaptation.reporting.progress import ProgressReporter
from adaptation.rollout import Policy
from adaptation.runs.files import replace_file
from adaptation.runs.log import read_log
from adaptation.runs.records import REFERENCES, HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from adaptation.runs.versions import current_commit, this_machine
from adaptation.suites import Suite
from adaptation.teacher import missing_student
from robots.errors import PliantError
from sim.engines import engine_for

SPLIT = "heldout"


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
                    arm=table.arm,
                    seed=seed,
                    iterations=bounds.iterations,
                    minutes=bounds.minutes,
                    steps=bounds.steps,
                    gradient_steps=bounds.gradient_steps,
                    task_sampler=bounds.task_sampler,
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


def train_sent_cell(cell: Cell, folder: Path, stop_at: float = inf) -> CellResult:
    """Train a cell on the machine that it was sent to; see ``train_cell``.

    Raises:
        PliantError: this machine's code or versions are not those that the folder is named by, so
            that the result would stand for another training.
    """
    own = cell_folder(cell, folder.parent)
    if own.name != folder.name:
        raise PliantError(
            f"{node()} has other code or versions: its cell would be {own.name}, not {folder.name}"
        )
    return train_cell(cell, folder, stop_at)


def train_cell(cell: Cell, folder: Path, stop_at: float = inf) -> CellResult:
    """Train a cell, from its last checkpoint if it has one; judge it; write its result.

    Args:
        cell: what to train.
        folder: of the cell.
        stop_at: s since the epoch; an unfinished training is stopped and judged at this time.

    Raises:
        PliantError: the training ended before its first checkpoint, or see ``train_role``.
    """
    torch.set_num_threads(1)
    if (folder / "config.json").exists():
        run = Run.open(folder)
    else:
        run = Run.create(folder, cell.training)
    is_finished = _train(run, cell.name, stop_at)
    started = monotonic()
    trainer = run.load("method").trainer
    curve = []  # without what was evaluated after the checkpoint that is judged
    for line in read_log(run.heldout_path("method"), HeldoutProgress):
        if line.iteration <= trainer["iteration"]:
            curve.append(line)
    grids, notes = _judge(run, cell.judging)
    result = CellResult(
        format=FORMAT,
        cell=cell,
        fingerprint=fingerprint(run.config),
        commit=current_commit(),
        machine=this_machine(),
        is_finished=is_finished,
        iterations=trainer["iteration"],
        steps=trainer["steps"],
        gradient_steps=trainer["gradient_steps"],
        seconds=trainer["seconds"],
        cpu_seconds=trainer["cpu_seconds"],
        judging_seconds=monotonic() - started,
        grids=grids,
        curve=curve,
        notes=notes,
    )
    replace_file(folder / RESULT, msgspec.json.encode(result))
    (folder / FAILURE).unlink(missing_ok=True)
    return result


def _train(run: Run, name: str, stop_at: float) -> bool:
    """Train a run's method; returns whether it reached its end in time."""
    with ProgressReporter(name) as show:

        def on_progress(share: float, progress: TrainProgress) -> None:
            show(share, describe_progress(progress))
            if share < 1 and time() > stop_at:
                raise _TimeIsOver

        try:
            train_role(run, "method", run.config.minutes, on_progress)
        except _TimeIsOver:
            if not run.has_checkpoint("method"):
                raise PliantError("the time was over before the first checkpoint") from None
            return False
    return True


class _TimeIsOver(Exception):  # noqa: N818  not an error: the next sitting continues the training
    """Ends a training between two iterations."""


def _judge(run: Run, judging: Judging) -> tuple[dict[str, dict[str, Grid]], list[str]]:
    """The grids by engine and policy, and notes on what is missing, and why."""
    family = run.family
    grids = {}
    notes = []
    if missing_student(run.load("method").method) is not None:
        notes.append("Judged without a student (the training ended in its first phase)")
    for engine in judging.engines or (engine_for(family.scene),):
        episodes = judging.episodes or family.episodes
        conditions = Conditions(judging.tasks, episodes, SPLIT, engine)
        try:
            found = dict(evaluate_policies(family, _policies(run), conditions))
        except ModuleNotFoundError as missing:
            notes.append(f"Not judged in {engine} ({missing.name} is not installed)")
            continue
        grids[engine] = {name: Grid.of(grid) for name, grid in found.items()}
    return grids, notes


def _policies(run: Run) -> Iterator[tuple[str, Policy[Any]]]:
    """The policies to judge; a reference has no belief to adapt, so it counts once."""
    for name, policy in run.policies():
        if name == "adapted" or run.config.method not in REFERENCES:
            yield name, policy
