"""Success and return of finished runs on held-out tasks: of all tasks, and of the worst tenth.

    python benchmarks/worst_tasks.py runs/pearl-point-0 runs/hard-point-0 --tasks 1000

The worst tenth are the tasks with the lowest returns of that run's adapted policy in its last
episode. The mean of their returns is the conditional value at risk (CVaR) at 10 %.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from adaptation.jobs.evaluate import Conditions, evaluate_policies
from adaptation.rollout import Policy
from adaptation.runs.run import Run

WORST = 0.1  # share of the tasks
HEADINGS = ("run", "sampler", "success", "return", "success, worst tenth", "return, worst tenth")


def adapted_policy(run: Run) -> Iterator[tuple[str, Policy[Any]]]:
    """The one policy that is judged."""
    yield from ((name, policy) for name, policy in run.policies() if name == "adapted")


def row_of(run: Run, tasks: int) -> list[str]:
    """What a run reached in its last episode."""
    family = run.family
    conditions = Conditions(tasks, family.episodes, "heldout", run.config.engine)
    _, grid = next(evaluate_policies(family, adapted_policy(run), conditions))
    returns = grid.returns[-1]
    success = grid.success[-1]
    worst = np.argsort(returns)[: round(WORST * tasks)]
    return [
        run.path.name,
        run.config.task_sampler,
        f"{success.mean():.1%}",
        f"{returns.mean():.2f}",
        f"{success[worst].mean():.1%}",
        f"{returns[worst].mean():.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--tasks", type=int, default=400)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(*HEADINGS)
    for path in asked.runs:
        table.add_row(*row_of(Run.open(path), asked.tasks))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
