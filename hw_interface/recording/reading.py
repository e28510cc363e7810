"""Reads a recording again: its trials with every decision, and every measured tick."""

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from mcap.reader import McapReader, make_reader
from msgspec import Struct

from hw_interface.recording.metadata import NAME
from hw_interface.recording.regular import check_regular
from hw_interface.recording.scan import DAMAGE_ERRORS
from robots.errors import BadArgumentError, DamagedError
from robots.signals import Array

NANOSECONDS = 1e9  # in a second

Number = float | None  # None: it was not finite
Numbers = list[Number]


class TrialStart(Struct):
    """The beginning of a trial, topic ``/trial``."""

    object: int  # number among the trial's
    policy: str
    explore: list[bool]  # one per episode
    parameters: dict[str, Number]  # of the task


class Decision(Struct):
    """A decision of the policy and its outcome, topic ``/decision``."""

    tick: int  # of its episode, from 0
    observation: Numbers
    action: Numbers
    applied: Numbers
    verdict: int
    reward: Number
    next_observation: Numbers
    success: bool
    terminated: bool
    truncated: bool
    # not in the message:
    time: float = 0.0  # s, at which its action had ended
    updates: int | None = None  # see ``pliant.Belief``; None: all


@dataclass
class RecordedTrial:
    """One trial with one object.

    Attributes:
        start: its beginning.
        episodes: lists of decisions.
        again: how many of the episodes were forgotten and run again.
    """

    start: TrialStart
    episodes: list[list[Decision]] = field(default_factory=list)
    again: int = 0


@dataclass
class Track:
    """Something that was measured over time."""

    times: list[float] = field(default_factory=list)  # s, ascending
    rows: list[list[float]] = field(default_factory=list)

    def between(self, begin: float, end: float) -> tuple[Array, Array]:
        """Times (T,) and rows (T, k) from one time to another, both included."""
        chosen = slice(bisect_left(self.times, begin), bisect_right(self.times, end))
        times = np.array(self.times[chosen])
        rows = self.rows[chosen]
        return times, np.array(rows) if rows else np.empty((0, 0))


@dataclass
class RecordedSession:
    """What one file holds.

    Attributes:
        notes: the metadata, see ``metadata.describe``.
        trials: in the order in which they were run.
        joints: positions (j,), then velocities (j,) of every tick: rad or m, and per s.
        setpoints: likewise, as they left the gate.
        object: poses (7,) of the ticks in which it was measured: m, then w, x, y, z.
    """

    notes: dict[str, str]
    trials: list[RecordedTrial] = field(default_factory=list)
    joints: Track = field(default_factory=Track)
    setpoints: Track = field(default_factory=Track)
    object: Track = field(default_factory=Track)


class _Joint(Struct):
    position: Number
    velocity: Number


class _Joints(Struct):
    joints: list[_Joint]


class _Vector(Struct):
    x: float
    y: float
    z: float


class _Quaternion(_Vector):
    w: float


class _Pose(Struct):
    position: _Vector
    orientation: _Quaternion


class _Object(Struct):
    pose: _Pose


class _Belief(Struct):
    updates: int | None = None


def read_recording(path: Path) -> RecordedSession:
    """Read a whole recording.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is no whole recording; ``pliant recover`` may repair it.
        BadArgumentError: it is no regular file, or was not recorded by this version of Pliant.
    """
    check_regular(path)
    with path.open("rb") as file:
        try:
            reader = make_reader(file, validate_crcs=True)
            session = RecordedSession(_read_notes(reader, path))
            _read_messages(reader, session)
        except msgspec.ValidationError as error:
            raise BadArgumentError(
                f"{path} was recorded by another version of Pliant: {error}"
            ) from error
        except (*DAMAGE_ERRORS, msgspec.DecodeError, LookupError, EOFError) as error:
            reason = str(error) or "it ends too early"
            raise DamagedError(
                f"{path} is no whole recording ({reason}); `pliant recover {path}` may repair it"
            ) from error
    return session


def _read_notes(reader: McapReader, path: Path) -> dict[str, str]:
    for record in reader.iter_metadata():
        if record.name == NAME:
            return dict(record.metadata)
    raise BadArgumentError(f"{path} was not recorded by Pliant")


def _read_messages(reader: McapReader, session: RecordedSession) -> None:
    """Add the messages to the session, in the order in which they were written."""
    for _, channel, message in reader.iter_messages(log_time_order=False):
        time = message.log_time / NANOSECONDS
        data = message.data
        if channel.topic == "/trial":
            start = msgspec.json.decode(data, type=TrialStart)
            session.trials.append(RecordedTrial(start))
        elif channel.topic == "/again" and session.trials:
            session.trials[-1].again += 1
        elif channel.topic == "/decision" and session.trials:
            decision = msgspec.json.decode(data, type=Decision)
            decision.time = time
            _add_decision(session.trials[-1], decision)
        elif channel.topic == "/belief" and session.trials:
            belief = msgspec.json.decode(data, type=_Belief)
            session.trials[-1].episodes[-1][-1].updates = belief.updates
        elif channel.topic == "/joints":
            _add_joints(session.joints, time, msgspec.json.decode(data, type=_Joints))
        elif channel.topic == "/setpoint":
            _add_joints(session.setpoints, time, msgspec.json.decode(data, type=_Joints))
        elif channel.topic == "/object":
            _add_object(session.object, time, msgspec.json.decode(data, type=_Object))


def _add_decision(trial: RecordedTrial, decision: Decision) -> None:
    """Add a decision; the first of an episode begins one."""
    if decision.tick == 0:
        trial.episodes.append([])
    if not trial.episodes:
        raise ValueError("the first decision of an episode is missing")
    episode = trial.episodes[-1]
    expected = len(episode)
    if decision.tick != expected:
        raise ValueError(f"decision {expected} of an episode is missing")
    episode.append(decision)


def _add_joints(track: Track, time: float, message: _Joints) -> None:
    track.times.append(time)
    positions = [joint.position for joint in message.joints]
    velocities = [joint.velocity for joint in message.joints]
    row = []
    for number in positions + velocities:
        if number is None:
            number = math.nan
        row.append(number)
    track.rows.append(row)


def _add_object(track: Track, time: float, message: _Object) -> None:
    position = message.pose.position
    quat = message.pose.orientation
    track.times.append(time)
    track.rows.append([position.x, position.y, position.z, quat.w, quat.x, quat.y, quat.z])
