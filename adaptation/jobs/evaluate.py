"""Evaluate a run in simulation: every policy on the same tasks under the same seeds."""

from contextlib import closing
from time import monotonic

import msgspec
import numpy as np
import torch

from adaptation.metrics import final_metrics
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import EpisodeGrid, compare_policies
from adaptation.rollout import rollout
from adaptation.runs.records import POLICIES, Evaluation
from adaptation.runs.run import Run, current_commit
from policies.method import TrialBatch
from robots.world import Family, Task
from sim.engines import engine_for
from sim.vec_world import VecWorld

EVALUATION = 77_003  # first number of every evaluation's seeds: no training draws the same numbers


def evaluate(
    run: Run,
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare a run's policies in simulation.

    Args:
        run: what to evaluate.
        tasks: n, how many tasks.
        episodes: per task; None: the family's number.
        split: ``"train"`` or ``"heldout"``.
        engine: physics to evaluate in; None: the first engine that supports the scene.
        seed: of the tasks and their disturbances.

    Raises:
        BadArgumentError: there is no such split, or the engine does not support the scene.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    torch.set_num_threads(1)
    started = monotonic()
    family = run.family
    engine = engine_for(family.scene, engine)
    episodes = episodes or family.episodes
    explore = explores(family, episodes)
    task = family.sample(np.random.default_rng([EVALUATION, seed]), tasks, split)
    results = {}
    with (
        closing(VecWorld(family, engine, tasks, seed=seed)) as world,
        ProgressReporter(f"evaluating {run.path.name}") as show,
    ):
        for name, policy in run.policies():
            world.rng = np.random.default_rng([EVALUATION, seed, 1])
            trial = rollout(world, policy, task, episodes, explore)
            results[name] = episode_grid(family, task, trial)
            show(len(results) / len(POLICIES), name)
    comparison = msgspec.structs.asdict(compare_policies(results))
    comparison["seconds"] = monotonic() - started
    comparison["run"] = str(run.path)
    comparison["commit"] = current_commit()
    return Evaluation(**comparison, split=split, engine=engine)


def explores(family: Family, episodes: int) -> list[bool]:
    """Whether each episode explores: all but the last of the family's trial, and none after it."""
    exploring = min(family.episodes, episodes) - 1
    return [episode < exploring for episode in range(episodes)]


def episode_grid(family: Family, task: Task, trial: TrialBatch) -> EpisodeGrid:
    """What a trial of n tasks gave, per episode and task."""
    return EpisodeGrid(
        returns=trial.returns.double().numpy(),
        success=trial.success.double().numpy(),
        metrics=final_metrics(family, task, trial),
    )
