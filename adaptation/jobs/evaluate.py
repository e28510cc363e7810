"""Judge a run in simulation: adapted, frozen, blind and oracle, on the same tasks under the same seeds."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adaptation.no_adaptation import NoAdaptation
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import compare_policies
from adaptation.rollout import rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.run import checkpoint_folder, read_config
from policies.method import Method
from robots.world import Family
from sim.vec_world import VecWorld

EVALUATION = 77_003  # begins every evaluation's seeds, so that no training draws the same


def evaluate(
    run: Path,
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Returns and success of each policy, as ``judge`` gives them, and ``seconds``."""
    torch.set_num_threads(1)
    began = time.monotonic()
    family = checkpoint.family_named(read_config(run).family)
    engine = checkpoint.engine_for(family, engine)
    episodes = episodes or family.episodes
    task = family.sample(np.random.default_rng([EVALUATION, seed]), tasks, split)
    returns, success = {}, {}
    world = VecWorld(family, engine, tasks, seed=seed)
    try:
        with ProgressReporter(f"evaluating {run.name}") as show:
            for i, (name, method) in enumerate(policies(run)):
                world.rng = np.random.default_rng([EVALUATION, seed, 1])
                trial = rollout(world, method, task, episodes, explores(family, episodes))
                returns[name], success[name] = (
                    trial.returns.double().numpy(),
                    trial.success.double().numpy(),
                )
                show((i + 1) / 4, name)
    finally:
        world.close()
    return {
        **compare_policies(returns, success),
        "seconds": time.monotonic() - began,
        "split": split,
        "engine": engine,
    }


def explores(family: Family, episodes: int) -> list[bool]:
    """A trial explores in all but the last of the family's episodes, and in none after them."""
    return [episode < min(family.episodes, episodes) - 1 for episode in range(episodes)]


def policies(run: Path, arm: str | None = None) -> Iterator[tuple[str, Method]]:
    """(name, method) of every policy a run has, freshly loaded, for the arm it is to drive if one is named."""
    config = read_config(run)
    for name, role in (
        ("method", "method"),
        ("frozen", "method"),
        ("blind", "blind"),
        ("oracle", "oracle"),
    ):
        folder = checkpoint_folder(run, config, role)
        if role == "method" or archive.exists(folder):
            method = checkpoint.load(folder, arm, config.family).method
            yield name, NoAdaptation(method) if name == "frozen" else method
