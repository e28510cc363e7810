"""Trains in a process of its own and kills it: ``dying.py RUN ITERATIONS METHOD [WHERE N]``.

WHERE is ``fsync`` or ``learn``: the process kills itself at the N-th call.
"""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tiny

from adaptation.jobs import collection
from adaptation.jobs import train as train_job
from adaptation.runs import archive, files, journal
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from policies.fields import declared_fields
from policies.methods import METHODS
from sim.families import FAMILIES


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesAt:
    """Calls a function, but kills the process at the n-th call."""

    def __init__(self, function: Any, n: int) -> None:
        self.function = function
        self.left = n

    def __call__(self, *args: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            die()
        return self.function(*args)


def main(path: Path, iterations: int, method: str, where: str = "", n: int = 0) -> None:
    FAMILIES.add("tiny", "tiny:Tiny")
    METHODS.add("counter", "tiny:Counter")
    collection.VecWorld = tiny.World  # type: ignore[misc, assignment]
    if where == "fsync":  # within the writing of a checkpoint
        dying_os = SimpleNamespace(**{**vars(os), "fsync": DiesAt(os.fsync, n)})
        for module in (archive, files, journal):
            module.os = dying_os  # type: ignore[attr-defined]
    if where == "learn":
        dying = DiesAt(METHODS[method].learn, n)
        METHODS[method].learn = lambda self, trial: dying(self, trial)
    if (path / "config.json").exists():
        run = Run.open(path)
    else:
        run = Run.create(path, config_of(method, iterations))
    train_job.train(run)


def config_of(method: str, iterations: int) -> RunConfig:
    """A short training: one gradient step and one random trial."""
    ends = ("gradient_steps", "random_trials")
    names = declared_fields(METHODS[method].Config)
    settings = {name: 1 for name in names if name.endswith(ends)}
    return RunConfig(
        method,
        "tiny",
        iterations=iterations,
        references=False,
        save_iterations=2,
        settings=settings,
    )


if __name__ == "__main__":
    path, iterations, method, *rest = sys.argv[1:]
    where = rest[0] if rest else ""
    n = int(rest[1]) if rest else 0
    main(Path(path), int(iterations), method, where, n)
