"""Runs a bench in a process of its own, to be killed: ``bench_main.py OUT``."""

import sys
import time
from pathlib import Path
from typing import Any

import tiny

from adaptation.jobs.bench import run_bench
from adaptation.jobs.executor import ProcessExecutor
from adaptation.suites import FamilyTable, Suite, Training

ITERATIONS = 6


class Slow(tiny.Counter):
    """Learns so slowly that it can be killed on the way."""

    def learn(self, trial: Any) -> dict[str, float]:
        time.sleep(0.3)
        return super().learn(trial)


TABLE = FamilyTable({"bench_main:Slow": Training(iterations=ITERATIONS)}, tasks=2)
SUITE = Suite({"point": TABLE}, evaluations=0, save_seconds=0.0)

if __name__ == "__main__":
    with ProcessExecutor[Any](1) as pool:
        sys.exit(run_bench(SUITE, Path(sys.argv[1]), pool))
