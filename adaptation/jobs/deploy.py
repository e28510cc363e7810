"""Drive an arm with a run's adapted policy for some time."""

from collections import Counter
from time import monotonic
from typing import Any

import msgspec
import torch

from adaptation.jobs.arm_options import default_clock
from adaptation.jobs.arm_session import ArmSession, Ending
from adaptation.jobs.evaluate import explores
from adaptation.jobs.operator_console import OperatorConsole
from adaptation.jobs.placing import sample_objects
from adaptation.runs.records import EpisodeRecord, Event, Row
from adaptation.runs.run import Run
from hw_interface.control.timing import Timing
from hw_interface.recording.process import RecorderProcess


class DeployResult(msgspec.Struct, frozen=True):
    """What ``deploy`` did."""

    episodes: int
    returns: Row  # one per episode
    success: list[bool]
    metrics: dict[str, Row]
    verdicts: dict[str, int]
    events: list[Event]
    timing: Timing | None
    seconds: float
    recording: str | None  # its MCAP file; null where none could be created
    recording_error: str | None  # why it is not complete; the exit status is 1 then
    park_error: str | None  # why the arm was not parked at the end; the same


def deploy(
    run: Run,
    arm: str,
    driver: str = "twin",
    seconds: float = 10.0,
    clock: str | None = None,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    tracker: str | None = None,
    tracker_options: dict[str, Any] | None = None,
    operator: OperatorConsole | None = None,
    park: bool = False,
) -> DeployResult:
    """Let the adapted policy drive an arm with one held-out object and adapt while it acts.

    Args:
        run: the run whose policy drives the arm.
        arm: a name in ``ARMS``; the run must have been trained for it.
        driver: a name in ``DRIVERS``.
        seconds: about how long; whole episodes are run.
        clock: ``lockstep`` or ``realtime``; None: the driver's own.
        seed: of the object.
        options: of the driver.
        tracker: a name in ``TRACKERS``.
        tracker_options: of the tracker.
        operator: the person at the arm, who may clear a fault and continue.
        park: whether to bring the arm to its rest pose at the end.

    Raises:
        BadArgumentError: the arm cannot be opened with these options.
        RefusedError: the run was not trained for this arm.
        ArmError: the arm cannot continue.
    """
    torch.set_num_threads(1)
    family = run.family
    clock = clock or default_clock(driver)
    name, policy = next(run.policies(arm))
    session = ArmSession(
        family,
        arm,
        driver=driver,
        clock=clock,
        options=options,
        seed=seed,
        record_to=run.path,
        tracker=tracker,
        tracker_options=tracker_options,
        run=run,
        operator=operator,
        park=park,
    )
    task = sample_objects(family, driver, seed, 1)
    episode_time = family.horizon * family.action_repeat * family.dt
    episodes = max(1, round(seconds / episode_time))
    started = monotonic()
    with session:
        explore = explores(family, episodes)
        records = session.run_object(name, policy, task, explore, must_count=False)
    recorder = session.world.recorder
    return _summarize(records, monotonic() - started, recorder, session.ending)


def _summarize(
    records: list[EpisodeRecord], seconds: float, recorder: RecorderProcess, ending: Ending
) -> DeployResult:
    verdicts: Counter[str] = Counter()
    for record in records:
        verdicts.update(record.verdicts)
    metrics = {}
    for name in records[0].metrics:
        metrics[name] = [record.metrics[name] for record in records]
    events = [event for record in records for event in record.events]
    failure = recorder.failure_event
    if failure is not None and failure["event"] not in {event.event for event in events}:
        events.append(Event(**failure))  # noticed when the recording was closed
    return DeployResult(
        episodes=len(records),
        returns=[record.returns for record in records],
        success=[record.success for record in records],
        metrics=metrics,
        verdicts=dict(verdicts),
        events=events,
        timing=records[-1].timing,
        seconds=seconds,
        recording=None if recorder.path is None else str(recorder.path),
        recording_error=ending.recording_error,
        park_error=ending.park_error,
    )
