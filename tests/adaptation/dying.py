"""Trains in a process of its own, and kills it: ``dying.py RUN ITERATIONS METHOD [fsync N | learn N]``."""

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import tiny

from adaptation.jobs import train as meta_train
from adaptation.runs import archive
from adaptation.runs.checkpoint import setting_names
from adaptation.runs.run import RunConfig
from policies.methods import METHODS
from sim.families import FAMILIES


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(run: Path, iterations: int, method: str, where: str = "", when: int = 0) -> None:
    FAMILIES.add("tiny", "tiny:Tiny")
    METHODS.add("counter", "tiny:Counter")
    meta_train.VecWorld = tiny.World  # type: ignore[attr-defined]
    calls = 0
    synced, learnt = os.fsync, METHODS[method].learn

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        die() if calls == when else synced(handle)

    def learn(self: Any, trial: Any) -> Any:
        nonlocal calls
        calls += 1
        return die() if calls == when else learnt(self, trial)

    if where == "fsync":  # within the writing of a checkpoint
        archive.os = SimpleNamespace(**{**vars(os), "fsync": fsync})  # type: ignore[attr-defined]
    if where == "learn":
        METHODS[method].learn = learn
    settings = {
        name: 1
        for name in setting_names(method)
        if name.endswith(("gradient_steps", "random_trials"))
    }
    config = RunConfig(
        method,
        "tiny",
        iterations=iterations,
        references=False,
        save_iterations=2,
        settings=settings,
    )
    meta_train.train(run, None if (run / "config.json").exists() else config)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *sys.argv[4:5], *map(int, sys.argv[5:6]))
