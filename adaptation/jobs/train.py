"""Meta-training: sample tasks, act in them, learn. A killed training resumes bit for bit.

All randomness of an iteration comes from generators seeded by (seed, iteration), or is part of the
method's state, which the checkpoint holds. On a CPU, a training bounded by iterations or steps is
therefore the same bit for bit, however often it was killed and resumed, and however many cores
there are. A training bounded by wall time is not, because it ends at a different iteration.
"""

import os
import time
from multiprocessing.process import BaseProcess
from typing import Any

from adaptation.jobs.budget import Pace
from adaptation.jobs.executor import Executor
from adaptation.jobs.processes import parent_exited, start_process, stop_processes
from adaptation.jobs.trainer import OnProgress, Trainer
from adaptation.jobs.trial_source import Helpers
from adaptation.reporting.progress import ProgressReporter
from adaptation.runs.log import read_log
from adaptation.runs.records import HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from robots.errors import PliantError

WAIT = 0.02  # s between two checks of the other roles' progress


def train(
    run: Run, cores: int | None = None, executor: Executor[Any] | None = None
) -> TrainProgress:
    """Train a run's method and, in a process for each, its references, from their checkpoints.

    The references follow the method and end with at least its environment steps and gradient steps.
    Under ``minutes`` the method waits for a reference that is more than an iteration behind, so
    that all end together.

    Args:
        run: what to train.
        cores: number of cores to use; None: all that this process may run on. If there are more
            cores than roles, another process collects the method's experience while it learns.
        executor: starts the run's collectors, if it has several; None: processes on this machine.

    Returns:
        The last line of the method's log.

    Raises:
        PliantError: a process failed; its own message is on standard error.
    """
    if cores is None:
        cores = len(os.sched_getaffinity(0))
    pace = Pace(run.roles)
    helpers: dict[str, BaseProcess] = {}
    try:
        for role in run.roles[1:]:
            helpers[role] = start_process(_train_reference, run, role, pace, daemon=True)
        last = _train_method(run, pace, helpers, cores, executor)
        while any(helper.is_alive() for helper in helpers.values()):
            check_alive(helpers)
            time.sleep(WAIT)
        check_alive(helpers)
    except OSError as error:
        if error.filename is None:  # as of a full disk
            error.filename = str(run.path)
        raise
    finally:
        stop_processes(helpers.values())
    run.forget_checkpoints()
    return last


def _train_method(
    run: Run,
    pace: Pace,
    helpers: dict[str, BaseProcess],
    cores: int,
    executor: Executor[Any] | None,
) -> TrainProgress:
    """Train the method while its references train; PliantError as soon as a reference fails."""

    def wait_for_references() -> None:
        check_alive(helpers)
        time.sleep(WAIT)

    trainer = Trainer(run, "method", run.config.minutes, pace)
    trainer.helpers = Helpers(has_second_core=cores > len(run.roles), executor=executor)
    trainer.wait = wait_for_references
    with ProgressReporter(f"{run.config.method} on {run.config.family}") as show:

        def on_progress(share: float, progress: TrainProgress) -> None:
            check_alive(helpers)
            show(share, describe_progress(progress, trainer.heldout))

        trainer.train(on_progress)
        last = read_log(run.log_path("method"), TrainProgress)[-1]
        on_progress(1.0, last)  # with the evaluation at the end
    return last


def check_alive(helpers: dict[str, BaseProcess]) -> None:
    """Raise a PliantError if the training of a reference has failed."""
    for role, helper in helpers.items():
        if helper.exitcode not in (None, 0):
            raise PliantError(f"training {role} failed with exit status {helper.exitcode}")


def _train_reference(run: Run, role: str, pace: Pace) -> None:
    def wait_for_method() -> None:
        exit_with_parent()
        time.sleep(WAIT)

    trainer = Trainer(run, role, None, pace)
    trainer.wait = wait_for_method
    with ProgressReporter(f"{role} on {run.config.family}") as show:

        def on_progress(share: float, progress: TrainProgress) -> None:
            exit_with_parent()
            show(share, describe_progress(progress, trainer.heldout))

        try:
            trainer.train(on_progress)
        except (PliantError, OSError) as error:  # one line; a traceback would hide it
            raise SystemExit(f"pliant: error: {error}") from error


def exit_with_parent() -> None:
    """End this process if the training that it belongs to is gone."""
    if parent_exited():
        raise SystemExit("the training that these references belong to is gone")


def describe_progress(progress: TrainProgress, heldout: HeldoutProgress | None = None) -> str:
    """A line of the log in a few words, and the last evaluation on held-out tasks.

    The most important numbers come first, because a narrow terminal cuts the end. Success and
    return are those of a trial's last episode.
    """
    words = [f"success {progress.success[-1]:.0%}"]
    if progress.seconds > 0:
        words.insert(0, f"{progress.steps / progress.seconds:,.0f} steps/s")
    if heldout is not None:
        success = heldout.result.success[-1]
        words.append(f"held out at {heldout.iteration}: {success:.0%}")
    words.append(f"iteration {progress.iteration}")
    last_return = progress.returns[-1]
    if last_return is not None:
        words.append(f"return {last_return:.3f}")
    words += [f"{name} {value:.2f}" for name, value in progress.tasks.items()]
    return ", ".join(words)


def train_role(
    run: Run, role: str, minutes: float | None, on_progress: OnProgress
) -> TrainProgress:
    """Train one role alone to the run's own bounds, from its checkpoint if it has one.

    Args:
        run: what to train.
        role: ``method``, ``blind`` or ``oracle``.
        minutes: bound of wall time; None: none.
        on_progress: called after every iteration.

    Returns:
        The last line of the role's log.
    """
    Trainer(run, role, minutes).train(on_progress)
    return read_log(run.log_path(role), TrainProgress)[-1]
