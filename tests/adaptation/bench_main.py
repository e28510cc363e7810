"""Runs a bench in a process of its own, to be killed: ``bench_main.py OUT``."""

import sys
import time
from math import inf
from pathlib import Path
from typing import Any

import tiny

from adaptation.jobs.bench import chosen_cells, train_cells
from adaptation.jobs.cell_records import CellResult
from adaptation.jobs.executor import Executor, ProcessExecutor
from adaptation.suites import FamilyTable, Suite, Training

ITERATIONS = 6


class Slow(tiny.Counter):
    """Learns so slowly that it can be killed on the way."""

    def learn(self, trial: Any) -> dict[str, float]:
        time.sleep(0.3)
        return super().learn(trial)


TABLE = FamilyTable({"bench_main:Slow": Training(iterations=ITERATIONS)}, tasks=2)
SUITE = Suite({"point": TABLE}, evaluations=0, save_seconds=0.0)


def run_bench(
    suite: Suite,
    out: Path,
    executor: Executor[CellResult],
    minutes: float = inf,
    only: str = "*",
    seeds: tuple[int, ...] = (),
) -> int:
    """Train the cells of a suite that have no result yet; returns how many still have none."""
    return train_cells(chosen_cells(suite, seeds, only), suite, out, executor, minutes)


if __name__ == "__main__":
    with ProcessExecutor[Any](1) as pool:
        sys.exit(run_bench(SUITE, Path(sys.argv[1]), pool))
