"""Evaluate a run in simulation: every policy on the same tasks with the same seeds."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch

from adaptation.jobs.tried_objects import success_by_object, tried_family, tried_policies
from adaptation.metrics import episode_metrics
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import compare_policies
from adaptation.rollout import Policy, rollout
from adaptation.runs.files import write_json
from adaptation.runs.records import POLICIES, Evaluation
from adaptation.runs.run import Run
from adaptation.runs.versions import current_commit
from adaptation.teacher import missing_student
from policies.method import TrialBatch
from robots.judging import EvaluatedSeveralTimes
from robots.world import Family, Task
from sim.engines import engine_for
from sim.own_objects import Objects
from sim.vec_world import VecWorld

EVALUATION = 77_003  # first number of every evaluation's seeds: training uses other random numbers


class Conditions(NamedTuple):
    """What all policies of a comparison have in common."""

    tasks: int
    episodes: int
    split: str
    engine: str | None
    seed: int = 0  # of the tasks and their disturbances


def evaluate(
    run: Run,
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
    objects: Objects = (),
) -> Evaluation:
    """Compare a run's policies in simulation.

    The result is written to ``evaluation.json`` in the run's folder; with other objects to
    ``evaluation-objects.json``.

    Args:
        run: what to evaluate.
        tasks: n, how many tasks.
        episodes: per task; None: the family's number.
        split: ``"train"`` or ``"heldout"``.
        engine: physics to evaluate in; None: the first engine that supports the scene.
        seed: of the tasks and their disturbances.
        objects: of a user, which the tasks have instead of those of the training.

    Raises:
        BadArgumentError: there is no such split, or the engine does not support the scene, or the
            run cannot be evaluated on the objects.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    torch.set_num_threads(1)
    started = monotonic()
    family = tried_family(run, objects)
    engine = engine_for(family.scene, engine)
    conditions = Conditions(tasks, episodes or family.episodes, split, engine, seed)
    missing = missing_student(run.load("method").method)
    if missing is not None:
        print(f"pliant: warning: {run.path}: {missing}", file=sys.stderr)
    results = {}
    with ProgressReporter(f"evaluating {run.path.name}") as show:
        for name, grid in evaluate_policies(family, tried_policies(run, family), conditions):
            results[name] = grid
            show(len(results) / len(POLICIES), f"done: {name}")
    comparison = msgspec.structs.asdict(compare_policies(results))
    comparison["seconds"] = monotonic() - started
    comparison["run"] = str(run.path)
    comparison["commit"] = current_commit()
    comparison["fingerprints"] = run.fingerprints()
    names = [item.name for item in objects]
    result = Evaluation(
        **comparison,
        split=split,
        engine=engine,
        objects=names,
        by_object=success_by_object(family, results["adapted"]),
        final_success=final_success(family, results),
    )
    _keep(run, result)
    return result


def _keep(run: Run, result: Evaluation) -> None:
    """Write the result to the run folder; a read-only folder is no error."""
    path = run.path / ("evaluation-objects.json" if result.objects else "evaluation.json")
    try:
        write_json(path, result)
    except OSError as error:
        print(f"pliant: warning: {path} was not written: {error.strerror}", file=sys.stderr)


def evaluate_policies(
    family: Family, policies: Iterable[tuple[str, Policy[Any]]], conditions: Conditions
) -> Iterator[tuple[str, EpisodeGrid]]:
    """Let policies act one after the other, all in the same tasks under the same seeds.

    Yields:
        Each policy's name and what it reached, as soon as it has acted.
    """
    seed = conditions.seed
    rng = np.random.default_rng([EVALUATION, seed])
    task = family.sample(rng, conditions.tasks, conditions.split)
    explore = explores(family, conditions.episodes)
    with closing(VecWorld(family, conditions.engine, conditions.tasks, seed=seed)) as world:
        for name, policy in policies:
            world.rng = np.random.default_rng([EVALUATION, seed, 1])
            trial = rollout(world, policy, task, conditions.episodes, explore)
            yield name, episode_grid(family, task, trial)


def explores(family: Family, episodes: int) -> list[bool]:
    """Whether each episode explores: all but the last of the family's trial, and none after it.

    Where a family is ``EvaluatedSeveralTimes``, its last episodes do not explore.
    """
    last = family.evaluation_episodes if isinstance(family, EvaluatedSeveralTimes) else 1
    exploring = min(family.episodes, episodes) - last
    return [episode < exploring for episode in range(episodes)]


def final_success(family: Family, results: Mapping[str, EpisodeGrid]) -> dict[str, float]:
    """Each policy's success rate over tasks and the episodes that a trial ends with, in [0, 1].

    Empty unless the family is ``EvaluatedSeveralTimes``.
    """
    if not isinstance(family, EvaluatedSeveralTimes):
        return {}
    last = family.evaluation_episodes
    return {name: float(grid.success[-last:].mean()) for name, grid in results.items()}


def episode_grid(family: Family, task: Task, trial: TrialBatch) -> EpisodeGrid:
    """What a trial of n tasks gave, per episode and task."""
    return EpisodeGrid(
        returns=trial.returns.double().numpy(),
        success=trial.success.double().numpy(),
        metrics=episode_metrics(family, task, trial),
        tasks=task.values,
    )
