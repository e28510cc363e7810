"""Pliant in Python: train a policy in simulation, act with it, evaluate it, try it on an arm.

    import pliant

    if __name__ == "__main__":  # training and trials start processes
        run = pliant.train("pearl", "point", "runs/point")
        result = pliant.evaluate(run)
        print(result.adapted.metrics, result.adaptation)

The examples of the functions below build on each other: ``train`` makes the run that the others
open. Families, methods, arms and drivers are given by name (``pliant list``), or as
``"package.module:Class"`` without registering them. Errors are kinds of ``PliantError``; the
message says which values are allowed.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pliant.functions import compare, evaluate, make, train, trial
from pliant.late_imports import LATE
from pliant.own_packages import check_own_packages

if TYPE_CHECKING:  # the packages take seconds to import, so each is imported where it is used
    from adaptation.policy import Policy, load, rollout, transition
    from adaptation.runs.records import Comparison, Evaluation, RunsComparison, TrialResult
    from adaptation.runs.run import Run
    from policies.method import Transition
    from robots.errors import PliantError
    from sim.vec_world import VecWorld

check_own_packages()

__version__ = version("pliant")

__all__ = [
    "Comparison",
    "Evaluation",
    "PliantError",
    "Policy",
    "Run",
    "RunsComparison",
    "Transition",
    "TrialResult",
    "VecWorld",
    "__version__",
    "compare",
    "evaluate",
    "load",
    "make",
    "rollout",
    "train",
    "transition",
    "trial",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  what is imported late has many types
    if name not in LATE:
        raise AttributeError(f"module 'pliant' has no attribute {name!r}")
    return getattr(importlib.import_module(LATE[name]), name)


def __dir__() -> list[str]:
    return __all__
