"""A trial's folder: its configuration, and its results so far.

It holds ``trial.json`` (its ``TrialHeader``), ``episodes-*.jsonl`` (an ``EpisodeRecord`` per line,
on disk before the next object), ``skipped.jsonl`` (objects that the operator left), and
``result.json`` (a ``TrialResult``).
"""

from os.path import relpath
from pathlib import Path
from typing import Any

import msgspec

from adaptation.runs.files import read_record, write_json
from adaptation.runs.log import read_log
from adaptation.runs.records import EpisodeRecord
from adaptation.runs.run import Run
from robots.errors import BadArgumentError
from robots.mesh_object import MeshObject


class TrialConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that determines what a trial does."""

    run: str  # the run folder
    arm: str
    driver: str = "twin"
    objects: int = 20
    episodes: int | None = None  # per object; None: the family's number
    clock: str = "lockstep"  # or realtime
    realtime_episodes: int = 0  # further episodes, in real time, after a trial in lockstep
    seed: int = 0
    latency: float = 0.0  # s, of the arm, which the policies expect
    own_objects: tuple[MeshObject, ...] = ()  # of a user, of which objects are taken; (): the run's
    # How to connect to the arm and the tracker; this may differ when a trial is resumed.
    options: dict[str, Any] = {}  # of the driver
    tracker: str | None = None
    tracker_options: dict[str, Any] = {}
    park: bool = False  # whether the arm is brought to its rest pose at the end


class TrialHeader(TrialConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of ``trial.json``: the config, and the identity of the training."""

    fingerprints: dict[str, str]  # ``Run.fingerprints``


SKIPPED = "skipped.jsonl"

# The run folder may be moved: its fingerprints identify the run.
MAY_CHANGE = ("run", "options", "tracker", "tracker_options", "park")


def open_or_resume(run: Run, config: TrialConfig, folder: Path) -> None:
    """Create the trial folder, or check that it holds this trial.

    ``trial.json`` names the run relative to the folder.

    Raises:
        BadArgumentError: it holds another trial, or a trial of the run before further training;
            the message names the differences.
        DamagedError: ``trial.json`` cannot be read.
    """
    path = folder / "trial.json"
    own = config.own_objects or run.config.objects
    config = msgspec.structs.replace(config, own_objects=own)
    header = TrialHeader(**msgspec.structs.asdict(config), fingerprints=run.fingerprints())
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        header = msgspec.structs.replace(header, run=relpath(run.path.resolve(), folder.resolve()))
        write_json(path, header)
        return
    earlier = read_record(path, TrialHeader)
    if earlier.fingerprints != header.fingerprints:
        raise BadArgumentError(
            f"{folder} holds a trial of other weights: {run.path} was trained since, or is another "
            "run. Name a new folder with --out, or remove the old one"
        )
    different = []
    if earlier.own_objects != header.own_objects:
        different.append("other objects of yours, or the same ones with other numbers")
    was = msgspec.to_builtins(earlier)
    for name, value in msgspec.to_builtins(header).items():
        if name not in (*MAY_CHANGE, "own_objects") and was[name] != value:
            different.append(f"{name} {was[name]!r}, not {value!r}")
    if different:
        raise BadArgumentError(
            f"{folder} holds another trial ({'; '.join(different)}): name another with --out"
        )


class SkippedObject(msgspec.Struct, frozen=True):
    """An object that the operator left: a line of ``skipped.jsonl``."""

    object: int  # index among the trial's objects, from 0


def skipped_objects(folder: Path) -> list[int]:
    """The objects that the operator left, in order; they do not count."""
    lines = read_log(folder / SKIPPED, SkippedObject)
    return sorted({line.object for line in lines})


def read_episodes(folder: Path) -> list[EpisodeRecord]:
    """All episodes of a trial so far, without those of objects that were skipped."""
    skipped = skipped_objects(folder)
    records: list[EpisodeRecord] = []
    for path in sorted(folder.glob("episodes-*.jsonl")):
        records += read_log(path, EpisodeRecord)
    return [record for record in records if record.object not in skipped]
