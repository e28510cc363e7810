"""Repeat a recording: give a run's policy the recorded observations, and compare its actions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from adaptation.belief_keeper import BeliefKeeper
from adaptation.jobs.arm_session import decorrelate_rng
from adaptation.jobs.recording_notes import WEIGHTS, expected_latency
from adaptation.jobs.trial_folder import TrialHeader
from adaptation.jobs.tried_objects import tried_family, tried_policies
from adaptation.jobs.view import check_shown, show_clips
from adaptation.recorded_world import DelayedUpdates, RecordedWorld, row
from adaptation.rollout import Policy, rollout
from adaptation.runs.files import read_record
from adaptation.runs.run import Run
from hw_interface.recording.reading import (
    Decision,
    RecordedSession,
    RecordedTrial,
    read_recording,
)
from robots.errors import BadArgumentError, RefusedError
from robots.world import Family, Task
from sim.own_objects import Objects
from sim.rendering import Clip

TOLERANCE = 1e-6  # of an action, which lies in [-1, 1]


class RepeatedTrial(msgspec.Struct, frozen=True):
    """How a policy acted when a trial was repeated."""

    object: int  # number among the trial's
    policy: str
    decisions: list[int]  # per episode
    largest_difference: float | None  # of an action in [-1, 1]; None: it was not repeated
    reason: str | None = None  # why it was not repeated


class ReplayResult(msgspec.Struct, frozen=True):
    """What a recording holds, and whether the policy acts again as recorded."""

    recording: str
    run: str
    clock: str
    trials: list[RepeatedTrial]
    # whether a trial was repeated, and no action of those that were differs more than ``TOLERANCE``
    same: bool
    file: str | None = None  # what was drawn


def replay(
    path: Path,
    run_folder: Path | None = None,
    out: Path | None = None,
    window: bool = False,
    number: int = 0,
    camera: str | None = None,
) -> ReplayResult:
    """Let a run's policies act again on what was observed, and show what the arm did.

    Args:
        path: a recording of ``pliant deploy`` or ``pliant trial``.
        run_folder: the run that acted; None: the one that the recording names.
        out: a file to write the measured motion to: .mp4, .png or .html.
        window: whether to open MuJoCo's viewer with it instead.
        number: of the trial in the recording that is shown, from 0.
        camera: one of the family's scene; None: see ``Scene.cameras``.

    Raises:
        FileNotFoundError: there is no such recording, or no such run.
        DamagedError: the recording or the run cannot be read.
        BadArgumentError: the recording holds no trial, or not this one; or what to show it in is
            not possible.
        RefusedError: the run's weights are not those that were recorded.
    """
    torch.set_num_threads(1)
    session = read_recording(path)
    if not session.trials:
        raise BadArgumentError(f"{path} holds no trial of a policy")
    if not 0 <= number < len(session.trials):
        last = len(session.trials) - 1
        raise BadArgumentError(f"the recording holds the trials 0 to {last}, not {number}")
    run = Run.open(run_folder or _run_of(path, session))
    _check_weights(run, session, path)
    run = run.with_latency(expected_latency(session.notes))
    objects = _own_objects(path)
    family = tried_family(run, objects)
    if out is not None or window:
        check_shown(out, family, camera)
    trials = [_repeat(run, family, session, trial) for trial in session.trials]
    if out is not None or window:
        clips = _clips(family, session, session.trials[number])
        show_clips(out, family, [clips], camera)
    differences = [trial.largest_difference for trial in trials]
    compared = [difference for difference in differences if difference is not None]
    return ReplayResult(
        recording=str(path),
        run=str(run.path),
        clock=session.notes["clock"],
        trials=trials,
        same=bool(compared) and max(compared) <= TOLERANCE,
        file=None if out is None else str(out),
    )


def _run_of(path: Path, session: RecordedSession) -> Path:
    """The run's folder: where the recording says, or the folder of the recording or above it.

    Raises:
        BadArgumentError: none of these is a run.
    """
    recorded = Path(session.notes["run"])
    folder = path.absolute().parent
    for candidate in (recorded, folder, folder.parent):
        if (candidate / "config.json").exists():
            return candidate
    raise BadArgumentError(f"the run {recorded} of {path} is not there: name it with --run")


def _check_weights(run: Run, session: RecordedSession, path: Path) -> None:
    """Refuse a run that was trained further, or another one."""
    for role, fingerprint in run.fingerprints().items():
        recorded = session.notes.get(f"{WEIGHTS}.{role}")
        if recorded not in (None, fingerprint):
            found = fingerprint[:12]
            wanted = recorded[:12]
            raise RefusedError(
                f"{run.path} was trained since {path} was recorded, or is another run: its {role} "
                f"has the weights {found}, not {wanted}; name the run with --run"
            )


def _own_objects(path: Path) -> Objects:
    """A user's objects that were tried, as the trial's folder names them."""
    header = path.parent / "trial.json"
    return read_record(header, TrialHeader).own_objects if header.exists() else ()


def _repeat(
    run: Run, family: Family, session: RecordedSession, trial: RecordedTrial
) -> RepeatedTrial:
    """Act again in one trial."""
    start = trial.start
    decisions = [len(episode) for episode in trial.episodes]
    policy = _find_policy(run, family, session.notes["arm"], start.policy)
    reason = None
    if policy is None:
        reason = f"the run has no policy {start.policy}"
    elif policy.privileged and None in start.parameters.values():
        reason = "it reads parameters of the task, which were not known"
    elif not decisions:
        reason = "no decision was recorded"
    elif trial.again:
        reason = "the operator had an episode run again"
    if policy is None or reason is not None:
        return RepeatedTrial(start.object, start.policy, decisions, None, reason)
    task = _task(trial)
    decorrelate_rng(policy, start.object, len(task.names))
    acting: Policy[Any] = BeliefKeeper(policy)
    if session.notes["clock"] == "realtime":
        acting = DelayedUpdates(policy, _updates(trial))
    world = RecordedWorld(family, trial)
    episodes = len(decisions)
    explore = start.explore[:episodes]
    rollout(world, acting, task, episodes, explore)
    largest = max(world.differences)
    return RepeatedTrial(start.object, start.policy, decisions, largest)


def _updates(trial: RecordedTrial) -> list[int | None]:
    """How many updates the belief had at each decision."""
    updates = []
    for episode in trial.episodes:
        updates += [decision.updates for decision in episode]
    return updates


def _find_policy(run: Run, family: Family, arm: str, name: str) -> Policy[Any] | None:
    for found, policy in tried_policies(run, family, arm):
        if found == name:
            return policy
    return None


def _task(trial: RecordedTrial) -> Task:
    parameters = trial.start.parameters
    values = row(list(parameters.values()))
    return Task(tuple(parameters), values, np.array([trial.start.object]))


def _clips(family: Family, session: RecordedSession, trial: RecordedTrial) -> list[Clip]:
    """The measured motion of a trial's episodes."""
    clips = []
    for number, decisions in enumerate(trial.episodes):
        result = "success" if decisions[-1].success else "no success"
        title = f"{trial.start.policy}, episode {number + 1} as measured: {result}"
        clips.append(_clip(family, session, trial, decisions, title))
    return clips


def _clip(
    family: Family,
    session: RecordedSession,
    trial: RecordedTrial,
    decisions: Sequence[Decision],
    title: str,
) -> Clip:
    """One episode, from the beginning of its first action to the end of its last."""
    task = _task(trial)
    begin = decisions[0].time - family.dt * family.action_repeat
    t, joints = session.joints.between(begin, decisions[-1].time)
    object_times, pose = session.object.between(begin, decisions[-1].time)
    if len(object_times):
        nearest = np.searchsorted(object_times, t).clip(max=len(object_times) - 1)
        object_pose = pose[nearest]
    else:
        object_pose = np.full((len(t), 7), np.nan)
    return Clip(
        title=title,
        task=dict(zip(task.names, task.values[0].tolist(), strict=True)),
        t=t - begin,
        q=joints[:, : len(family.body.joints)],
        object_pos=object_pose[:, :3],
        object_quat=object_pose[:, 3:],
        marker=family.marker(task)[0],
    )
