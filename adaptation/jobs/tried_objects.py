"""The tasks of a trial or an evaluation: the run's own, or a user's objects instead."""

from collections.abc import Iterator
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.rollout import Policy
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from robots.errors import BadArgumentError
from robots.world import Family, Task
from sim.own_objects import Objects, object_names, own_objects_of, with_objects


def tried_family(run: Run, objects: Objects) -> Family:
    """The run's family with these objects; with those of its training where none are given.

    Raises:
        BadArgumentError: the family takes no such objects, or the run's method reads parameters
            that do not describe them.
    """
    if not objects:
        return run.family
    if are_foreign(run, objects) and checkpoint.method_class(run.config.method).privileged:
        raise BadArgumentError(
            f"{run.config.method} reads parameters of the objects that it was trained on: they do "
            "not describe others"
        )
    return with_objects(run.family, objects)


def tried_policies(
    run: Run, family: Family, arm: str | None = None
) -> Iterator[tuple[str, Policy[Any]]]:
    """The run's policies; without those that read parameters which do not describe the objects."""
    foreign = are_foreign(run, own_objects_of(family))
    for name, policy in run.policies(arm):
        if not (foreign and policy.privileged):
            yield name, policy


def are_foreign(run: Run, objects: Objects) -> bool:
    """Whether the objects are others than those that the run was trained on."""
    return unmarked(objects) != unmarked(own_objects_of(run.family))


def success_by_object(family: Family, grid: EpisodeGrid) -> dict[str, float]:
    """Success rates in the last episode of tasks by the name of a user's object; {}: no such."""
    assert grid.tasks is not None, "in simulation tasks are known"
    task = Task(family.task_names, grid.tasks, np.arange(len(grid.tasks)))
    names = object_names(family, task)
    last_episode = grid.success[-1].tolist()
    by_name: dict[str, list[float]] = {}
    for name, success in zip(names, last_episode, strict=True):
        if name is not None:
            by_name.setdefault(name, []).append(success)
    return {name: fmean(found) for name, found in by_name.items()}


def unmarked(objects: Objects) -> Objects:
    """The same objects, none of them held out: a trial has them all."""
    return tuple(msgspec.structs.replace(item, heldout=False) for item in objects)
