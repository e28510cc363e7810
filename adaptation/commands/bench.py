"""``pliant compare`` and ``pliant bench``: finished runs side by side, and whole suites."""

import shlex
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from adaptation.commands.arguments import (
    Flag,
    Json,
    OptionalFloat,
    OptionalInt,
    OptionalName,
    OptionalPath,
    allow_local_modules,
    check_counts,
    check_name,
    check_positive,
    check_seed,
    open_run,
)
from adaptation.jobs.executors import EXECUTORS
from robots.counting import counted
from robots.errors import BadArgumentError
from sim.engines import ENGINES

if TYPE_CHECKING:
    from adaptation.jobs.bench import CellStatus
    from adaptation.jobs.cell_records import Cell
    from adaptation.runs.records import RunsComparison
    from adaptation.suites import Suite


RunFolders = Annotated[
    Positional[tuple[Path, ...]],
    arg(name="runs", metavar="RUN ...", help_behavior_hint=""),
]
Seeds = Annotated[tuple[int, ...], arg(metavar="INT ...", help_behavior_hint="")]
Grid = Annotated[tuple[str, ...], UseAppendAction, arg(metavar="SETTING=VALUE,VALUE")]


@dataclass(frozen=True)
class Compare:
    """Compare finished runs of one family on the same tasks: methods, seeds, or both.

    Runs of one method that differ in their seed are one entry. Every entry is compared with the
    first, paired by task and seed.
    """

    folders: RunFolders
    """The run folders."""
    tasks: int = 64
    """Number of tasks."""
    episodes: OptionalInt = None
    """Episodes per task. Default: the family's number."""
    split: Literal["train", "heldout"] = "heldout"
    """Tasks from the training ranges, or from held-out ranges."""
    engine: OptionalName = None
    """Physics engine. Default: the first that supports the family's scene."""
    seed: int = 0
    """Random seed of the tasks and their disturbances."""
    plot: OptionalPath = None
    """Draw the figures: a file that ends in .svg, .png or .pdf."""
    as_json: Json = False

    def run(self) -> "RunsComparison":
        """Compare, print the table and draw the figures."""
        check_name(ENGINES, self.engine)
        check_seed(self.seed)
        check_counts(tasks=self.tasks, episodes=self.episodes)
        if not self.folders:
            raise BadArgumentError("compare needs run folders")
        runs = [open_run(folder) for folder in self.folders]
        from adaptation.reporting.compare_table import FORMATS, compare_table, write_plots
        from adaptation.runs.files import check_writable

        if self.plot is not None:
            check_writable(self.plot, FORMATS)
        from adaptation.jobs.compare import compare, heldout_curves

        comparison, entries = compare(
            runs, self.tasks, self.episodes, self.split, self.engine, self.seed
        )
        print(compare_table(comparison))
        if self.plot is not None:
            grids = {entry.name: [one["adapted"] for one in entry.grids] for entry in entries}
            for file in write_plots(self.plot, grids, heldout_curves(entries)):
                print(f"wrote {file}")
        return comparison


@dataclass(frozen=True)
class Bench:
    """Train and evaluate every cell of a suite: each method on each family, with each seed.

    Cells are trained in parallel, one thread each. A finished cell is not trained again unless its
    settings, its family or the code that trains it changes. After Ctrl-C or a kill, run the same
    command again to continue.

    With --grid, every cell is trained once for each combination of the values, and a table compares
    these points. With --executor ray, cells are trained on the machines of a Ray cluster.
    """

    suite: str = "quick"
    """quick, full, or a .toml file."""
    workers: OptionalInt = None
    """Cells that are trained at once. Default: the number of cores."""
    minutes: OptionalFloat = None
    """Stop after this much wall time, min, and write the page with the results so far."""
    only: str = "*"
    """Only cells whose name METHOD-FAMILY-SEED fits this pattern, such as 'pearl-slide-*'."""
    seeds: Seeds = ()
    """Seeds instead of the suite's."""
    grid: Grid = ()
    """Sweep over a setting, such as sac.lr=1e-4,3e-4; repeat it for the combinations of several.
    Methods without these settings are left out."""
    executor: str = "processes"
    """processes, on this machine, or ray, the extra pliant[ray]: on this machine's loopback, or
    with --address on a cluster."""
    address: OptionalName = None
    """HOST:PORT of a Ray cluster that this machine is part of. Its token is read from the variable
    RAY_AUTH_TOKEN, or from the file that RAY_AUTH_TOKEN_PATH names."""
    out: Path = Path("runs/bench")
    """Folder of the cells."""
    results: OptionalPath = None
    """Folder for copies of the results, kept with the code. Its cells are not trained again."""
    page: OptionalPath = None
    """Write the results as a Markdown page, and its figures in a folder beside it."""
    readme: OptionalPath = None
    """Also write the summary into this file, between the two marks that it contains."""
    train: Flag = True
    """Write the page from the results in --out, without training anything."""
    as_json: Json = False

    def run(self) -> dict[str, object]:
        """Train what is missing and write the page."""
        self._check()
        from adaptation.suites import read_suite

        suite = read_suite(self.suite)
        if self.results is not None:
            from adaptation.jobs.kept_results import restore_results

            restore_results(self.results, self.out)
        for family, table in suite.families.items():
            allow_local_modules(family, table.arm or "", *table.methods)
        if self.grid:
            return self._sweep(suite)
        from adaptation.jobs.bench import chosen_cells, read_suite_results

        self._train(suite, chosen_cells(suite, self.seeds, self.only))
        statuses = read_suite_results(suite, self.out, self.seeds)
        self._keep(statuses)
        if self.page is not None:
            from adaptation.reporting.bench_page import write_page, write_summary

            write_page(self.suite, suite, statuses, self.page, self.results)
            print(f"wrote {self.page}")
            if self.readme is not None:
                write_summary(statuses, self.page, self.readme)
                print(f"wrote {self.readme}")
        return self._answer(suite, statuses)

    def _sweep(self, suite: "Suite") -> dict[str, object]:
        """Train what is missing of a sweep, print its tables and write them as a page."""
        from adaptation.jobs.bench import chosen_cells, read_status, read_suite_results
        from adaptation.jobs.grid import left_out, read_grid, sweep
        from adaptation.reporting.sweep_page import (
            PointStatuses,
            sweep_tables,
            unvaried_references,
            write_sweep_page,
        )

        chosen = chosen_cells(suite, self.seeds, self.only)
        axes = read_grid(self.grid)
        points = sweep(chosen, axes)
        without = left_out(chosen, axes)
        if without:
            print(
                f"bench: left out, as they lack these settings: {', '.join(without)}",
                file=sys.stderr,
            )
        cells = [cell for point in points for cell in point.cells]
        self._train(suite, cells)
        known = []
        for point in points:
            statuses = [read_status(cell, self.out) for cell in point.cells]
            known.append(PointStatuses(point.name, statuses))
        every = [status for point in known for status in point.statuses]
        self._keep(every)
        varied = {cell.training.method for cell in cells}
        references = unvaried_references(read_suite_results(suite, self.out, self.seeds), varied)
        print(sweep_tables(known, references))
        if self.page is not None:
            write_sweep_page(self._words(), known, references, self.page)
            print(f"wrote {self.page}")
        return self._answer(suite, every)

    def _words(self) -> str:
        """The command that writes a sweep's page, without what only this machine knows."""
        words = ["pliant", "bench", "--suite", Path(self.suite).name]
        if self.only != "*":
            words += ["--only", self.only]
        for axis in self.grid:
            words += ["--grid", axis]
        if self.seeds:
            words += ["--seeds", *map(str, self.seeds)]
        page = Path("" if self.page is None else self.page)
        return shlex.join([*words, "--page", page.name])

    def _train(self, suite: "Suite", cells: "list[Cell]") -> None:
        """Train what is missing, unless --no-train says otherwise."""
        from adaptation.jobs.bench import train_cells

        if self.train:
            minutes = inf if self.minutes is None else self.minutes
            with EXECUTORS[self.executor](self.workers, self.address) as executor:
                train_cells(cells, suite, self.out, executor, minutes)

    def _keep(self, statuses: "list[CellStatus]") -> None:
        """Copy the results to --results."""
        if self.results is not None:
            from adaptation.jobs.kept_results import keep_results

            keep_results(statuses, self.results)
        finished = sum(1 for status in statuses if status.result is not None)
        print(f"{finished} of {counted(len(statuses), 'cell')} have a result in {self.out}")

    def _answer(self, suite: "Suite", statuses: "list[CellStatus]") -> dict[str, object]:
        return {
            "suite": suite.title,
            "cells": len(statuses),
            "finished": sum(1 for status in statuses if status.result is not None),
            "current": sum(1 for status in statuses if status.is_current),
            "page": None if self.page is None else str(self.page),
        }

    def _check(self) -> None:
        """Refuse what is impossible before hours of training."""
        check_positive(workers=self.workers, minutes=self.minutes)
        check_name(EXECUTORS, self.executor)
        EXECUTORS[self.executor].check(self.address)
        if self.grid and self.readme is not None:
            raise BadArgumentError("--readme takes the summary of a suite, not of a --grid")
        for seed in self.seeds:
            check_seed(seed)
        if self.readme is not None and self.page is None:
            raise BadArgumentError("--readme takes its summary from a page: give --page too")
        for name, folder in (("out", self.out), ("results", self.results)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise BadArgumentError(f"--{name} takes a folder, got {folder}")
        if self.page is not None:
            from adaptation.runs.files import check_writable

            check_writable(self.page, (".md",))
        if self.readme is not None:
            from adaptation.reporting.bench_page import check_marks

            check_marks(self.readme)
