"""Several trainings in parallel, each in its own process."""

import os
from collections.abc import Sequence
from pathlib import Path

from adaptation.jobs.executor import Job, ProcessExecutor
from adaptation.jobs.train import train
from adaptation.reporting.progress import ProgressReporter
from adaptation.runs.records import TrainProgress
from adaptation.runs.run import Run
from robots.counting import counted
from robots.errors import PliantError

CHECK_INTERVAL = 5.0  # s between two checks of the trainings' progress
OUTPUT = "output.txt"  # file of a run folder that gets what its process prints


def train_all(runs: Sequence[Run]) -> list[TrainProgress]:
    """Train runs and their references in parallel on all cores, one for each role of a run.

    A run with several collectors has a core for each of them too.

    Each process has one thread per role. It does not collect the next iteration's experience on a
    further core, as ``train`` may do; the results are the same.

    Args:
        runs: the runs to train, each from its checkpoint if it has one.

    Returns:
        The last line of each log.

    Raises:
        PliantError: a training failed; all others were trained to their end first.
    """
    cores = len(os.sched_getaffinity(0))
    roles = max(len(run.roles) for run in runs)
    collectors = max(run.config.collectors for run in runs)
    needed = roles if collectors == 1 else roles + collectors
    last: dict[str, TrainProgress] = {}
    failures: list[str] = []
    with ProcessExecutor[TrainProgress](max(1, cores // needed)) as executor:
        for run in runs:
            name = str(run.path)
            executor.submit(Job(name, train, (run, roles), output=run.path / OUTPUT))
        with ProgressReporter(counted(len(runs), "training")) as show:
            while len(last) + len(failures) < len(runs):
                for outcome in executor.completed(CHECK_INTERVAL):
                    if outcome.result is not None:
                        last[outcome.job.name] = outcome.result
                    else:
                        reason = str(outcome.error).strip().splitlines()[-1]
                        failures.append(f"{outcome.job.name}: {reason}")
                ended = len(last) + len(failures)
                show(ended / len(runs), ", ".join(map(_describe, executor.running)))
    if failures:
        raise PliantError("\n  ".join(["not all trainings ended well:", *failures]))
    return [last[str(run.path)] for run in runs]


def _describe(name: str) -> str:
    """How far a training is."""
    run = Run.open(Path(name))
    progress = run.last_progress("method")
    iteration = 0 if progress is None else progress.iteration
    return f"{name} at iteration {iteration}"
