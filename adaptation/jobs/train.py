"""Meta-training: sample tasks, act in them, learn; a killed training resumes without a difference.

All randomness of an iteration comes from generators seeded by (seed, iteration), or is part of the
method's state, which the checkpoint holds. A training bounded by iterations or steps is therefore
the same bit for bit, on a CPU, however often it was killed and resumed. One bounded by wall time
ends where the time ends, and is not.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from math import inf
from time import monotonic
from typing import Any

import msgspec
import numpy as np
import torch
from tensorboardX import SummaryWriter
from torch.optim.optimizer import register_optimizer_step_post_hook

from adaptation.jobs.processes import parent_exited, start_process
from adaptation.random_policy import RandomPolicy, concat_trials
from adaptation.reporting.progress import ProgressReporter
from adaptation.rollout import rollout
from adaptation.runs import archive, checkpoint
from adaptation.runs.log import Log, read_log
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run, RunConfig
from policies.method import CollectionSchedule, Method, TrialBatch
from robots.errors import PliantError
from robots.world import Family, Task
from sim.vec_world import VecWorld

OnProgress = Callable[[float, TrainProgress], None]  # share done in [0, 1], line of the log


class TrainerState(msgspec.Struct, frozen=True):
    """What training resumes from, beside the method's own state; saved in the checkpoint."""

    iteration: int = 0
    steps: int = 0  # environment steps
    gradient_steps: int = 0
    seconds: float = 0.0
    log_bytes: int = 0  # size of the log when the checkpoint was written


@dataclass(frozen=True)
class Budget:
    """When a training ends: at the first bound that is reached, after one iteration at least."""

    iterations: float = inf
    steps: float = inf
    gradient_steps: float = inf
    seconds: float = inf

    @classmethod
    def of(cls, config: RunConfig, schedule: CollectionSchedule, minutes: float | None) -> "Budget":
        """The bounds of one role; without any, the iterations of the method's own schedule."""
        bounds = {
            "iterations": config.iterations,
            "steps": config.steps,
            "gradient_steps": config.gradient_steps,
            "seconds": None if minutes is None else 60 * minutes,
        }
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        return cls(**given) if given else cls(iterations=schedule.iterations)

    def share(self, state: TrainerState) -> float:
        """The share of the training that is done; 1 or more at its end."""
        return max(
            state.iteration / self.iterations,
            state.steps / self.steps,
            state.gradient_steps / self.gradient_steps,
            state.seconds / self.seconds,
        )


class GradientStepCounter:
    """Counts the optimizer steps taken in this process."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self, *_: object) -> None:
        """Called by torch after every optimizer step."""
        self.steps += 1


def train(run: Run) -> TrainProgress:
    """Train a run's method and, in another process, its references, from their checkpoints.

    Returns:
        The last line of the method's log.

    Raises:
        PliantError: the process of the references failed; its own message is on standard error.
    """
    references = run.roles[1:]
    helper = None
    if references:
        helper = start_process(_train_references, run, daemon=True)
    with ProgressReporter(f"{run.config.method} on {run.config.family}") as show:

        def on_progress(share: float, progress: TrainProgress) -> None:
            show(share, describe_progress(progress))

        last = train_role(run, "method", run.config.minutes, on_progress)
    if helper is not None:
        while helper.is_alive():
            helper.join(1.0)
        if helper.exitcode != 0:
            names = " and ".join(references)
            raise PliantError(f"training {names} failed with exit status {helper.exitcode}")
    run.forget_checkpoints()
    return last


def _train_references(run: Run) -> None:
    references = run.roles[1:]
    minutes = run.config.minutes
    if minutes is not None:
        minutes /= len(references)
    for role in references:
        with ProgressReporter(f"{role} on {run.config.family}") as show:

            def on_progress(share: float, progress: TrainProgress) -> None:
                if parent_exited():
                    raise SystemExit("the training that these references belong to is gone")
                show(share, describe_progress(progress))

            train_role(run, role, minutes, on_progress)


def describe_progress(progress: TrainProgress) -> str:
    """A line of the log as a few words."""
    returns = " ".join(f"{value:.3f}" for value in progress.returns if value is not None)
    success = f"success {progress.success[-1]:.0%}"
    return f"iteration {progress.iteration}, return per episode {returns}, {success}"


def train_role(
    run: Run, role: str, minutes: float | None, on_progress: OnProgress
) -> TrainProgress:
    """Train the method of one role to its end, from its checkpoint if it has one.

    Args:
        run: what to train.
        role: ``method``, ``blind`` or ``oracle``.
        minutes: bound of wall time; None: none.
        on_progress: called after every iteration.

    Returns:
        The last line of the role's log.
    """
    # Small networks gain nothing from a second core, and the result is the same on any machine.
    torch.set_num_threads(1)
    config = run.config
    with closing(Log(run.log_path(role))) as log:  # locks the role against other processes
        method, state = _begin(run, role)
        log.cut(state.log_bytes)
        budget = Budget.of(config, method.schedule, minutes)
        meta_batch = method.schedule.meta_batch
        with (
            closing(_curves(run, role, state)) as curves,
            closing(VecWorld(run.family, config.engine, meta_batch, seed=config.seed)) as world,
            _count_gradient_steps(state.gradient_steps) as counter,
        ):
            started = monotonic() - state.seconds
            saved = monotonic()
            while budget.share(state) < 1:
                trial = collect(world, method, config.seed, state.iteration)
                learned = method.learn(trial)
                progress = TrainProgress(
                    iteration=state.iteration + 1,
                    steps=state.steps + int(trial.ticks.valid.sum()),
                    gradient_steps=counter.steps,
                    seconds=monotonic() - started,
                    returns=trial.returns.mean(1).tolist(),
                    success=trial.success.double().mean(1).tolist(),
                    learn=learned,
                )
                log.write(progress)
                _plot(curves, progress)
                state = _state_after(progress, log.size)
                share = budget.share(state)
                if _is_save_due(config, state.iteration, monotonic() - saved) or share >= 1:
                    _save(run, role, method, trial, state)
                    saved = monotonic()
                on_progress(min(share, 1.0), progress)
    return read_log(run.log_path(role), TrainProgress)[-1]


def _begin(run: Run, role: str) -> tuple[Method[Any], TrainerState]:
    config = run.config
    folder = run.checkpoint_folder(role)
    archive.finish_interrupted_write(folder)
    if archive.exists(folder):
        loaded = checkpoint.load(folder, family=config.family)
        return loaded.method, msgspec.convert(loaded.trainer, TrainerState)
    name = run.method_name(role)
    settings = checkpoint.method_config(name, config.family, config.preset, run.settings(role))
    method = checkpoint.build(name, run.family, config.seed, settings)
    return method, TrainerState()


def _save(run: Run, role: str, method: Method[Any], trial: TrialBatch, state: TrainerState) -> None:
    folder = run.checkpoint_folder(role)
    name = run.method_name(role)
    trainer = msgspec.to_builtins(state)
    checkpoint.save(folder, name, method, run.config.family, trial, trainer)


def _is_save_due(config: RunConfig, iteration: int, seconds: float) -> bool:
    """Whether a checkpoint is due, ``seconds`` after the last one."""
    every = config.save_iterations
    if every > 0 and iteration % every == 0:
        return True
    return seconds > config.save_seconds


def _state_after(progress: TrainProgress, log_bytes: int) -> TrainerState:
    return TrainerState(
        iteration=progress.iteration,
        steps=progress.steps,
        gradient_steps=progress.gradient_steps,
        seconds=progress.seconds,
        log_bytes=log_bytes,
    )


@contextmanager
def _count_gradient_steps(before: int) -> Iterator[GradientStepCounter]:
    """Count optimizer steps on top of those taken before the training was resumed."""
    counter = GradientStepCounter()
    counter.steps = before
    hook = register_optimizer_step_post_hook(counter)
    try:
        yield counter
    finally:
        hook.remove()


def collect(world: VecWorld, method: Method[Any], seed: int, iteration: int) -> TrialBatch:
    """The experience of one iteration; the first one also holds the schedule's random trials."""
    rng = np.random.default_rng([seed, iteration])
    world.rng = np.random.default_rng([seed, iteration, 1])
    schedule = method.schedule
    family = world.family
    episodes = schedule.episodes_per_trial
    task = sample_training_tasks(family, method, rng, world.n)
    trial = rollout(world, method, task, episodes)
    if iteration > 0 or schedule.random_trials == 0:
        return trial
    generator = torch.Generator().manual_seed(seed)
    random_policy = RandomPolicy(method.problem.action_dim, generator)
    random_trials = []
    for _ in range(schedule.random_trials):
        task = sample_training_tasks(family, method, rng, world.n)
        random_trials.append(rollout(world, random_policy, task, episodes))
    return concat_trials([*random_trials, trial])


def sample_training_tasks(
    family: Family, method: Method[Any], rng: np.random.Generator, n: int
) -> Task:
    """Tasks to learn from: those of the training split.

    A privileged method is a reference that must know every task: half of its tasks are held out.
    """
    train_tasks = family.sample(rng, n)
    if not method.privileged:
        return train_tasks
    heldout_tasks = family.sample(rng, n, "heldout")
    is_odd = np.arange(n) % 2 == 1
    values = np.where(is_odd[:, None], heldout_tasks.values, train_tasks.values)
    return replace(train_tasks, values=values)


def _curves(run: Run, role: str, state: TrainerState) -> SummaryWriter:
    """Curves for TensorBoard, without those after the iteration that is resumed."""
    return SummaryWriter(str(run.path / "events" / role), purge_step=state.iteration)


def _plot(curves: SummaryWriter, progress: TrainProgress) -> None:
    scalars: dict[str, float | None] = {}
    for number, value in enumerate(progress.returns, start=1):
        scalars[f"return/{number}"] = value
    for number, value in enumerate(progress.success, start=1):
        scalars[f"success/{number}"] = value
    for name, value in progress.learn.items():
        scalars[f"learn/{name}"] = value
    for name, value in scalars.items():
        curves.add_scalar(name, value, progress.iteration)
