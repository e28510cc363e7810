"""Try a run on new objects through an arm: every policy with one object after another.

A trial that was stopped resumes with the object and policy it had not finished.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import torch

from adaptation.jobs.arm_options import task_is_known
from adaptation.jobs.arm_session import ArmSession, Ending
from adaptation.jobs.evaluate import EVALUATION, explores
from adaptation.jobs.object_labels import Labels, keep_labels, kept_labels
from adaptation.jobs.operator_console import EndedByOperator, OperatorConsole
from adaptation.jobs.placing import sample_objects
from adaptation.jobs.processes import parent_exited, start_process, stop_processes
from adaptation.jobs.trial_folder import (
    SKIPPED,
    SkippedObject,
    TrialConfig,
    open_or_resume,
    read_episodes,
    skipped_objects,
)
from adaptation.jobs.tried_objects import tried_family, tried_policies
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import compare_policies
from adaptation.reporting.trial_grids import episode_grids
from adaptation.runs.files import replace_file
from adaptation.runs.log import Log
from adaptation.runs.records import EpisodeRecord, TrialResult
from adaptation.runs.run import Run
from adaptation.runs.versions import current_commit
from hw_interface.recording.files import recordings_in
from hw_interface.warn import warn
from robots.errors import PliantError

# exit statuses of a worker that has run its objects, and what went wrong at its end
NOT_RECORDED = 3
NOT_PARKED = 4
WORKER_ENDINGS = {
    NOT_RECORDED: Ending("a worker's recording is not complete: see standard error"),
    NOT_PARKED: Ending(park_error="a worker's arm was not parked: see standard error"),
}


def run_trial(
    run: Run,
    config: TrialConfig,
    folder: Path,
    workers: int = 1,
    operator: OperatorConsole | None = None,
    labels: Labels | None = None,
) -> TrialResult:
    """Run the remaining objects of a trial and compare the policies.

    Args:
        run: the run whose policies to try; its folder is ``config.run``.
        config: the objects, the arm and the clock.
        folder: the trial folder, new or of the same trial.
        workers: processes that share the objects in lockstep, each with a simulated arm.
        operator: the person at the arm; with several workers, at the first worker's arm.
        labels: what the person knows of the objects; None: what was given earlier, if anything.

    Raises:
        BadArgumentError: the folder holds another trial, or the arm cannot be opened this way.
        RefusedError: the run was not trained for this arm. Nothing is written or moved.
        ArmError: the arm cannot continue.
        PliantError: a worker failed; the message gives its reason.
        EndedByOperator: the operator ended the trial.
    """
    started = monotonic()
    earlier = recordings_in(folder)
    for _ in run.policies(config.arm):
        pass  # read and check every checkpoint now; the workers receive the loaded policies
    open_session(run, config, config.clock, folder)
    open_or_resume(run, config, folder)
    if labels is not None:
        keep_labels(labels, folder)
    workers = min(workers, config.objects) if config.clock == "lockstep" else 1
    others = range(1, workers)
    helpers = [start_process(run_worker, run, config, folder, each, workers) for each in others]
    try:
        ending = run_objects(run, config, folder, 0, workers, operator)
    except BaseException:
        stop_processes(helpers)
        raise
    finally:
        if operator is not None:
            operator.recordings = recordings_in(folder) - earlier
    endings = [ending, *_join_workers(helpers, folder)]
    has_check = any(record.clock != config.clock for record in read_episodes(folder))
    needs_check = config.realtime_episodes > 0 and not has_check
    if needs_check and ending.park_error is None:  # else the arm is not to move again
        endings.append(run_realtime_check(run, config, folder, operator))
    result = summarize(run, config, folder, monotonic() - started)
    result = msgspec.structs.replace(
        result,
        recording_error=_first([each.recording_error for each in endings]),
        park_error=_first([each.park_error for each in endings]),
    )
    replace_file(folder / "result.json", msgspec.json.encode(result))
    return result


def _join_workers(workers: list[BaseProcess], folder: Path) -> list[Ending]:
    """Wait for all workers; the endings of those where something went wrong at the end.

    Raises:
        PliantError: a worker failed.
    """
    endings = []
    for worker in workers:
        worker.join()
        if worker.exitcode in WORKER_ENDINGS:
            endings.append(WORKER_ENDINGS[worker.exitcode])
        elif worker.exitcode != 0:
            raise PliantError(f"a worker failed; start the trial again to resume {folder}")
    return endings


def _first(reasons: list[str | None]) -> str | None:
    """The first reason that is not None."""
    known = [reason for reason in reasons if reason is not None]
    return known[0] if known else None


def open_session(
    run: Run,
    config: TrialConfig,
    clock: str,
    folder: Path,
    operator: OperatorConsole | None = None,
) -> ArmSession:
    """The session with the trial's arm, checked but not connected; it will be recorded."""
    return ArmSession(
        tried_family(run, config.own_objects),
        config.arm,
        driver=config.driver,
        clock=clock,
        options=config.options,
        seed=config.seed,
        record_to=folder,
        tracker=config.tracker,
        tracker_options=config.tracker_options,
        run=run,
        operator=operator,
        park=config.park,
        labels=kept_labels(folder),
    )


def run_worker(run: Run, config: TrialConfig, folder: Path, worker: int, workers: int) -> None:
    """``run_objects`` as a process; ``WORKER_ENDINGS`` has the exit statuses of known endings."""
    name = f"worker {worker + 1} of {workers}"
    try:
        ending = run_objects(run, config, folder, worker, workers)
    except (PliantError, OSError) as error:
        warn(f"{name}: {error}")
        raise SystemExit(1) from error
    if ending.park_error is not None:
        warn(f"{name}: the arm was not parked: {ending.park_error}")
    if ending.recording_error is not None:
        raise SystemExit(NOT_RECORDED)
    if ending.park_error is not None:
        raise SystemExit(NOT_PARKED)


def run_objects(
    run: Run,
    config: TrialConfig,
    folder: Path,
    worker: int,
    workers: int,
    operator: OperatorConsole | None = None,
) -> Ending:
    """Run every ``workers``-th object with every policy; skip what is done already.

    Raises:
        EndedByOperator: the operator ended the trial; an incomplete object is not kept.
    """
    torch.set_num_threads(1)
    family = tried_family(run, config.own_objects)
    tasks = sample_objects(family, config.driver, config.seed, config.objects)
    explore = explores(family, config.episodes or family.episodes)
    done = {(record.object, record.policy, record.episode) for record in read_episodes(folder)}
    skipped = skipped_objects(folder)
    last_episode = len(explore) - 1
    own_objects = range(worker, config.objects, workers)
    with (
        closing(Log(folder / f"episodes-{worker}.jsonl")) as log,
        open_session(run, config, config.clock, folder, operator) as session,
        progress_of(f"trial {worker + 1}/{workers}", config.clock, operator) as show,
    ):
        for i, number in enumerate(own_objects):
            if number in skipped:
                continue
            for name, policy in tried_policies(run, family, config.arm):
                needs_truth = name == "oracle" and not task_is_known(config.driver)
                if needs_truth or (number, name, last_episode) in done:
                    continue
                if parent_exited():
                    raise SystemExit("the trial that this worker belongs to is gone")
                session.world.rng = np.random.default_rng([EVALUATION, config.seed, 3, number])
                task = tasks.take([number])
                records = session.run_object(name, policy, task, explore, number)
                is_skipped = operator is not None and operator.skip_requested
                if is_skipped:
                    skip_object(folder, number)
                elif len(records) == len(explore):
                    log.write(*records)
                if operator is not None and operator.end_requested:
                    raise EndedByOperator(f"ended; start the trial again to resume {folder}")
                if is_skipped:
                    break
            show((i + 1) / len(own_objects), f"object {i + 1} of {len(own_objects)}")
    return session.ending


def skip_object(folder: Path, number: int) -> None:
    """Note that the operator left an object: none of its episodes counts."""
    with closing(Log(folder / SKIPPED)) as log:
        log.write(SkippedObject(number))


def progress_of(
    title: str, clock: str, operator: OperatorConsole | None
) -> AbstractContextManager[Callable[[float, str], None]]:
    """A progress bar, unless the operator's status line is shown instead."""
    if operator is not None and operator.shows_status(clock):
        return nullcontext(_show_nothing)
    return ProgressReporter(title)


def _show_nothing(share: float, text: str) -> None:
    pass


def run_realtime_check(
    run: Run, config: TrialConfig, folder: Path, operator: OperatorConsole | None = None
) -> Ending:
    """Run some episodes with the adapted policy in real time: the same code, the other clock."""
    family = tried_family(run, config.own_objects)
    task = sample_objects(family, config.driver, config.seed, config.objects).take([0])
    name, policy = next(run.policies(config.arm))
    explore = explores(family, config.realtime_episodes)
    with (
        closing(Log(folder / "episodes-realtime.jsonl")) as log,
        open_session(run, config, "realtime", folder, operator) as session,
    ):
        log.write(*session.run_object(name, policy, task, explore))
    return session.ending


def summarize(run: Run, config: TrialConfig, folder: Path, seconds: float) -> TrialResult:
    """Compare the policies at the trial's clock; summarize gate verdicts and loop timing."""
    records = read_episodes(folder)
    skipped = skipped_objects(folder)
    if not records:
        raise PliantError(f"every object was skipped: remove {folder / SKIPPED} to try them again")
    grids = episode_grids(records, config.clock, folder, skipped)
    comparison = msgspec.structs.asdict(compare_policies(grids))
    comparison["seconds"] = seconds
    comparison["run"] = str(run.path)
    comparison["fingerprints"] = run.fingerprints()
    comparison["commit"] = current_commit()
    verdicts: Counter[str] = Counter()
    for record in records:
        verdicts.update(record.verdicts)
    timings = [record.timing for record in records if record.timing]
    return TrialResult(
        **comparison,
        arm=config.arm,
        driver=config.driver,
        verdicts=dict(verdicts),
        timing=timings[-1] if timings else None,
        not_adapted=_objects_with("NOT_ADAPTED", records),
        updates_failed=_objects_with("UPDATE_FAILED", records),
        skipped=skipped,
    )


def _objects_with(event: str, records: list[EpisodeRecord]) -> list[int]:
    """The objects for which the adapted policy's belief reported an event."""
    objects = set()
    for record in records:
        happened = event in {found.event for found in record.events}
        if happened and record.policy == "adapted":
            objects.add(record.object)
    return sorted(objects)
