"""Train and evaluate the cells of a suite in parallel, in one or several calls of the command.

A finished cell is not run again. A cell that was killed resumes from its last checkpoint. A cell
that fails is tried once more; if it fails again, its folder and the page show the error. One call
of the command is a *sitting*; evaluating a trained cell is called *judging* it.
"""

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from operator import attrgetter
from pathlib import Path
from time import monotonic, time
from typing import NamedTuple

from adaptation.jobs.cell_records import (
    FAILURE,
    RESULT,
    Cell,
    CellFailure,
    CellResult,
    read_failure,
    read_result,
    same_json,
    write_failure,
)
from adaptation.jobs.cells import cell_folder, suite_cells, train_sent_cell
from adaptation.jobs.executor import Executor, Job, Outcome
from adaptation.jobs.grid import describe_cell
from adaptation.problem import problem_of
from adaptation.reporting.progress import ProgressReporter
from adaptation.runs import checkpoint
from adaptation.runs.run_config import check_config
from adaptation.suites import Suite
from policies.config import MethodConfig
from policies.settings import estimate
from robots.counting import counted
from robots.errors import DamagedError, PliantError

ATTEMPTS = 2
JUDGING_SHARE = 0.2  # share of a sitting's time, kept for judging trainings that are unfinished
OUTPUT = "output.txt"  # file with what a cell's process prints

# Rough times on one core, used to start the longest cell first; a wrong order costs little time.
GRADIENT_STEP_SECONDS = 0.01
STEP_SECONDS = 1e-4  # s for an environment step


@dataclass(frozen=True)
class CellStatus:
    """A cell of a suite with its result, or the reason why it has none."""

    cell: Cell
    result: CellResult | None
    error: str | None  # None with a result, and while the cell waits to be trained
    is_current: bool  # whether the result is final, and of this code, config, family and versions
    is_of_this_code: bool  # the same, except that the training may be unfinished


class Plan(NamedTuple):
    """A cell that is to be trained."""

    cell: Cell
    folder: Path
    seconds: float  # a rough guess


def chosen_cells(suite: Suite, seeds: tuple[int, ...], only: str) -> list[Cell]:
    """The cells of a suite whose names fit a pattern, such as ``pearl-slide-*``."""
    return [cell for cell in suite_cells(suite, seeds) if fnmatchcase(cell.name, only)]


def train_cells(
    cells: list[Cell],
    suite: Suite,
    out: Path,
    executor: Executor[CellResult],
    minutes: float = inf,
) -> int:
    """Train those of the cells that have no result yet.

    Args:
        cells: of the suite, or of a sweep over it.
        suite: its title and its time limit count.
        out: folder of the cells.
        executor: trains them.
        minutes: wall time after which the call returns. Shortly before, unfinished trainings are
            judged as they are; they continue in the next sitting.

    Returns:
        The number of cells that still have no result.
    """
    ends = monotonic() + 60 * minutes
    stop_at = time() + (1 - JUDGING_SHARE) * 60 * minutes
    plans = _plan(cells, out)
    say(f"{counted(len(cells), 'cell')}: {len(plans)} to train")
    try:
        with ProgressReporter(f"bench {suite.title}") as show:
            sitting = _Sitting(plans, executor, suite.time_limit, stop_at)
            for outcome in executor.completed(ends - monotonic()):
                sitting.take(outcome)
                show(sitting.done / len(plans), f"{sitting.done} of {counted(len(plans), 'cell')}")
    except KeyboardInterrupt:
        say("interrupted; run the same command again to continue")
        raise
    statuses = [read_status(cell, out) for cell in cells]
    return sum(1 for status in statuses if not status.is_current)


class _Sitting:
    """Submits the cells to train, and collects their results.

    Attributes:
        done: how many cells were judged or have failed for good.
    """

    def __init__(
        self,
        plans: list[Plan],
        executor: Executor[CellResult],
        time_limit: float,
        stop_at: float,
    ) -> None:
        """Submit every cell; ``time_limit`` is in minutes, ``stop_at`` as for ``train_cell``."""
        self.done = 0
        self._executor = executor
        self._seconds = 60 * time_limit
        self._stop_at = stop_at
        self._plans = {plan.folder.name: plan for plan in plans}
        self._attempts = dict.fromkeys(self._plans, 0)
        for plan in plans:
            self._submit(plan)

    def _submit(self, plan: Plan) -> None:
        self._attempts[plan.folder.name] += 1
        job = Job(
            name=plan.folder.name,
            function=train_sent_cell,
            arguments=(plan.cell, plan.folder, self._stop_at),
            seconds=self._seconds,
            output=plan.folder / OUTPUT,
            folder=plan.folder,
        )
        self._executor.submit(job)

    def take(self, outcome: Outcome[CellResult]) -> None:
        """Note a result; try a failed cell once more, and then keep its error."""
        plan = self._plans[outcome.job.name]
        name = describe_cell(plan.cell)
        if outcome.error is None:
            self.done += 1
            say(f"judged {_describe(plan, outcome)}")
        elif time() > self._stop_at:
            say(f"no time was left for {name}")
        elif self._attempts[outcome.job.name] < ATTEMPTS:
            say(f"failed, tried again: {name}: {_last_line(outcome.error)}")
            self._submit(plan)
        else:
            self.done += 1
            say(f"failed: {name}: {_last_line(outcome.error)}")
            try:
                write_failure(plan.folder, CellFailure(plan.cell, outcome.error, ATTEMPTS))
            except OSError as error:  # the disk is full: other cells may still come through
                say(f"the failure is not kept: {error}")


def say(text: str) -> None:
    """Print a line beside the progress bar."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _plan(cells: list[Cell], out: Path) -> list[Plan]:
    """The cells that have no current result, the longest first."""
    plans = []
    for cell in cells:
        try:
            folder = cell_folder(cell, out)
            result = read_result(folder)
            seconds = _guess_seconds(cell)
        except (PliantError, ImportError) as error:  # ImportError: a package is not installed
            say(f"cannot train {cell.name}: {error}")
            continue
        if result is None or not _is_complete(result, cell):
            (folder / FAILURE).unlink(missing_ok=True)
            plans.append(Plan(cell, folder, seconds))
    plans.sort(key=attrgetter("seconds"), reverse=True)
    return plans


def _guess_seconds(cell: Cell) -> float:
    """Roughly how long the training takes."""
    training = check_config(cell.training)
    family = checkpoint.family_for(training.family, training.arm, training.settings)
    config = checkpoint.method_config(training.method, family, training.preset, training.settings)
    guesses = [inf if training.minutes is None else 60 * training.minutes]
    if isinstance(config, MethodConfig):
        steps, gradient_steps = estimate(config, problem_of(family))
        full = STEP_SECONDS * steps + GRADIENT_STEP_SECONDS * gradient_steps
        share = 1.0 if training.steps is None else training.steps / steps
        guesses.append(share * full)
    return min(guesses)


def _describe(plan: Plan, outcome: Outcome[CellResult]) -> str:
    """A finished cell in a few words."""
    words = f"{describe_cell(plan.cell)} in {outcome.seconds:.0f} s"
    if outcome.result is None:
        return words
    if not outcome.result.is_finished:
        words += ", unfinished"
    for engine, grids in outcome.result.grids.items():
        success = grids["adapted"].arrays().success[-1].mean()
        words += f", success {success:.0%} in {engine}"
    return words


def _last_line(error: str) -> str:
    return error.strip().splitlines()[-1]


def read_status(cell: Cell, out: Path) -> CellStatus:
    """What is known of a cell: the result of this code if there is one, else the newest other."""
    try:
        folder = cell_folder(cell, out)
        result = read_result(folder)
        failure = read_failure(folder)
    except (PliantError, ImportError) as error:
        return CellStatus(cell, None, str(error), is_current=False, is_of_this_code=False)
    if result is not None and _is_complete(result, cell):
        return CellStatus(cell, result, None, is_current=True, is_of_this_code=True)
    if failure is not None:
        return CellStatus(cell, None, failure.error, is_current=False, is_of_this_code=False)
    if result is None or result.cell.judging != cell.judging:
        result = _newest_other(cell, out)
    is_of_this_code = result is not None and folder.name.endswith(f"-{result.hash}")
    return CellStatus(cell, result, None, is_current=False, is_of_this_code=is_of_this_code)


def _is_complete(result: CellResult, cell: Cell) -> bool:
    """Whether nothing is left to do: trained to the end, and judged as the cell asks."""
    return result.is_finished and result.cell.judging == cell.judging


def _newest_other(cell: Cell, out: Path) -> CellResult | None:
    """The newest result of the same training and judging by other code or versions."""
    newest = None
    newest_time = -inf
    for file in out.glob(f"{cell.name}-*/{RESULT}"):
        try:
            result = read_result(file.parent)
        except DamagedError:
            continue
        written = file.stat().st_mtime
        if result is not None and same_json(result.cell, cell) and written > newest_time:
            newest = result
            newest_time = written
    return newest


def read_suite_results(suite: Suite, out: Path, seeds: tuple[int, ...] = ()) -> list[CellStatus]:
    """What is known of every cell of a suite, from its results on disk."""
    return [read_status(cell, out) for cell in suite_cells(suite, seeds)]
