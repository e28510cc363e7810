"""Meta-training: sample tasks, live through them, learn; and do it again after a kill as if nothing had been.

All randomness of an iteration is drawn from generators seeded by (seed, iteration), or is part of the method's
state, which the checkpoint holds. A training bounded by iterations is therefore the same bit for bit, on a CPU,
however often it was killed and resumed. One bounded by wall time ends where the time ends, and is not.
"""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboardX import SummaryWriter

from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.reporting.progress import ProgressReporter
from adaptation.rollout import rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.run import (
    REFERENCES,
    Log,
    RunConfig,
    checkpoint_folder,
    log_file,
    name_of,
    parent_exited,
    read_config,
    read_log,
    write_config,
)
from policies.method import Method, TrialBatch
from robots.errors import PliantError
from robots.world import Family, Task
from sim.vec_world import VecWorld

OnIteration = Callable[[float, dict[str, Any]], None]  # share done, line of the log


def train(run: Path, config: RunConfig | None = None) -> dict[str, Any]:
    """Train a method and, in a process beside it, its references; without a config, go on with the run.

    Returns:
        The last line of the method's log.

    Raises:
        FileExistsError: a new training was asked for where there is one already.
        PliantError: the process of the references failed; what it said is on standard error.
    """
    if config is not None:
        if (run / "config.json").exists():
            raise FileExistsError(f"{run} holds a run already: resume it, or name another folder")
        write_config(run, config)
    config = read_config(run)
    beside = [role for role in REFERENCES if config.references and role != config.method]
    helper = multiprocessing.get_context("spawn").Process(
        target=_train_beside, args=(run, beside), daemon=True
    )
    if beside:
        helper.start()
    with ProgressReporter(f"{config.method} on {config.family}") as show:
        last = train_role(
            run, config, "method", config.minutes, lambda share, line: show(share, said(line))
        )
    while beside and helper.is_alive():
        helper.join(1.0)
    if beside and helper.exitcode != 0:
        raise PliantError(
            f"training {' and '.join(beside)} failed with exit status {helper.exitcode}"
        )
    return last


def _train_beside(run: Path, roles: list[str]) -> None:
    config = read_config(run)

    def alive(share: float, line: dict[str, Any]) -> None:
        if parent_exited():
            raise SystemExit("the training this one belongs to is gone")
        show(share, said(line))

    for role in roles:
        minutes = None if config.minutes is None else config.minutes / len(roles)
        with ProgressReporter(f"{role} on {config.family}") as show:
            train_role(run, config, role, minutes, alive)


def said(line: dict[str, Any]) -> str:
    """A line of the log, for a person."""
    returns = " ".join(f"{r:.3f}" for r in line["return"])
    return f"iteration {line['iteration']}, return per episode {returns}, success {line['success'][-1]:.0%}"


def train_role(
    run: Path, config: RunConfig, role: str, minutes: float | None, on_iteration: OnIteration
) -> dict[str, Any]:
    """Train what plays one role, from its checkpoint where there is one, to the end."""
    torch.set_num_threads(
        1
    )  # small networks gain nothing from a second core, and the result stays the same on any
    folder = checkpoint_folder(run, config, role)
    family = checkpoint.family_named(config.family)
    log = Log(log_file(run, role))  # the role is ours
    method, at = _begin(config, role, folder, family)
    log.cut(at["log_bytes"])
    curves = SummaryWriter(str(run / "events" / role), purge_step=at["iteration"])
    world = VecWorld(
        family,
        checkpoint.engine_for(family, config.engine),
        method.schedule.meta_batch,
        seed=config.seed,
    )
    total = config.iterations or (method.schedule.iterations if minutes is None else None)
    began = time.monotonic() - at["seconds"]
    saved = time.monotonic()
    try:
        for iteration in range(at["iteration"], total or 2**62):
            if minutes is not None and iteration > 0 and time.monotonic() - began >= 60 * minutes:
                break
            trial = collect(world, method, config.seed, iteration)
            lesson = method.learn(trial)
            seconds = time.monotonic() - began
            at = {
                "iteration": iteration + 1,
                "steps": at["steps"] + int(trial.ticks.valid.sum()),
                "seconds": seconds,
            }
            line = {**at, **curve(trial), "learn": lesson}
            log.write(line)
            at["log_bytes"] = log.size
            _plot(curves, line)
            share = max(
                at["iteration"] / (total or np.inf), seconds / (60 * minutes if minutes else np.inf)
            )
            every = config.save_iterations and at["iteration"] % config.save_iterations == 0
            if every or time.monotonic() - saved > config.save_seconds or share >= 1:
                checkpoint.save(folder, name_of(config, role), method, family, trial, at)
                saved = time.monotonic()
            on_iteration(min(share, 1.0), line)
    finally:
        log.close()
        curves.close()
        world.close()
    return read_log(log_file(run, role))[-1]


def _begin(
    config: RunConfig, role: str, folder: Path, family: Family
) -> tuple[Method, dict[str, Any]]:
    archive.finish_interrupted_write(folder)
    if archive.exists(folder):
        found = checkpoint.load(folder, family=config.family)
        return found.method, found.trainer
    name = name_of(config, role)
    settings = checkpoint.configured(
        name, config.family, config.settings if role == "method" else {}
    )
    nothing = {"iteration": 0, "steps": 0, "seconds": 0.0, "log_bytes": 0}
    return checkpoint.build(name, family, config.seed, settings), nothing


def collect(world: VecWorld, method: Method, seed: int, iteration: int) -> TrialBatch:
    """The experience of one iteration; the first one also holds the warm-up's random trials."""
    rng = np.random.default_rng([seed, iteration])
    world.rng = np.random.default_rng([seed, iteration, 1])
    schedule, family = method.schedule, world.family
    lesson = rollout(
        world,
        method,
        sample_training_tasks(family, method, rng, world.n),
        schedule.episodes_per_trial,
    )
    if iteration > 0 or schedule.random_trials == 0:
        return lesson
    generator = torch.Generator().manual_seed(seed)
    random_policy: Any = RandomPolicy(method.problem.action_dim, generator)
    trials = [
        rollout(
            world,
            random_policy,
            sample_training_tasks(family, method, rng, world.n),
            schedule.episodes_per_trial,
        )
        for _ in range(schedule.random_trials)
    ]
    return concat_trials([*trials, lesson])


def sample_training_tasks(family: Family, method: Method, rng: np.random.Generator, n: int) -> Task:
    """Tasks to learn from: of the training split, and for a ceiling, which is to know every task, of both."""
    train = family.sample(rng, n)
    if not method.privileged:
        return train
    heldout, odd = family.sample(rng, n, "heldout"), (np.arange(n) % 2 == 1)[:, None]
    return replace(train, values=np.where(odd, heldout.values, train.values))


def curve(trial: TrialBatch) -> dict[str, list[float]]:
    """Mean return and success rate of each episode."""
    return {
        "return": trial.returns.mean(1).tolist(),
        "success": trial.success.double().mean(1).tolist(),
    }


def _plot(curves: SummaryWriter, line: dict[str, Any]) -> None:
    for kind in ("return", "success"):
        for episode, value in enumerate(line[kind]):
            curves.add_scalar(f"{kind}/{episode + 1}", value, line["iteration"])
    for name, value in line["learn"].items():
        curves.add_scalar(f"learn/{name}", value, line["iteration"])
