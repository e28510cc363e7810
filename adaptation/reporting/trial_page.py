"""The report's part on a trial: its result, every object, the control loop, a 3-D playback."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adaptation.jobs.object_labels import kept_labels, label_of
from adaptation.jobs.trial_folder import read_episodes, skipped_objects
from adaptation.reporting.metrics import describe_metric
from adaptation.reporting.playback import render_playback
from adaptation.reporting.trial_grids import episode_grids
from adaptation.reporting.trial_results import result_context
from adaptation.reporting.words import PHYSICS, VERDICTS
from adaptation.runs.files import read_record
from adaptation.runs.records import EpisodeRecord, Row, TrialResult
from adaptation.runs.run import Run
from robots.catalog import ARMS
from robots.errors import BadArgumentError, DamagedError, PliantError
from robots.mesh_object import MeshObject
from robots.scene import FLAT_OBJECT, SceneObject
from robots.signals import Array
from sim.outlines import SHAPES
from sim.rendering import Clip


class TrialHeader(msgspec.Struct, frozen=True):
    """The part of ``trial.json`` that the page shows."""

    run: str
    arm: str
    driver: str
    objects: int
    clock: str
    seed: int
    fingerprints: dict[str, str] = {}  # of the run's weights by role
    own_objects: tuple[MeshObject, ...] = ()  # of a user


@dataclass(frozen=True)
class ObjectRow:
    """One object of a trial: its shape, its parameters, and every episode with it."""

    number: int  # from 1
    shape: str
    task: Mapping[str, float | None]
    label: str = ""  # of the person who tried it
    photo: str | None = None  # as a URL that holds the picture
    policies: dict[str, list[EpisodeRecord]] = field(default_factory=dict)  # by episode


def read_header(folder: Path) -> TrialHeader:
    """Read a trial's run, arm, driver, objects, clock and seed."""
    return read_record(folder / "trial.json", TrialHeader)


def find_run(folder: Path, header: TrialHeader) -> Path | None:
    """The folder of a trial's run; None if it is gone, or holds other weights by now."""
    path = (folder / header.run).resolve()
    try:
        trained = Run.open(path).fingerprint("method")
    except (OSError, PliantError):
        return None
    return path if trained == header.fingerprints.get("method") else None


def trial_context(folder: Path, header: TrialHeader) -> dict[str, Any]:
    """The template's variables for a trial.

    Raises:
        BadArgumentError: the trial has not ended.
        DamagedError: a file of it cannot be read, or episodes are missing.
    """
    if not (folder / "result.json").exists():
        raise BadArgumentError(
            f"{folder} holds a trial that has not ended: start it again to resume it"
        )
    result = read_record(folder / "result.json", TrialResult)
    records = read_episodes(folder)
    compared = [record for record in records if record.clock == header.clock]
    timed = [record for record in records if record.timing is not None]
    skipped = skipped_objects(folder)
    grids = episode_grids(compared, header.clock, folder, skipped)
    if "adapted" not in grids:
        raise DamagedError(f"{folder} holds no episode of the adapted policy")
    rows = _object_rows(compared, folder)
    clips = _choose_clips(rows)
    shown = result_context(result, grids)
    return shown | {
        "trial": header,
        "objects": rows,
        "skipped": [_skipped_name(folder, number) for number in skipped],
        "physics": _known_physics(compared),
        "timing": timed[-1].timing if timed else None,
        "most_stale": max((record.most_stale for record in timed), default=0),
        "events": [event for record in records for event in record.events],
        "meanings": VERDICTS,
        "ticks": sum(record.ticks for record in records),
        "clips": [clip.title for clip in clips],
        "playback": _encoded_playback(header, clips),
    }


def _object_rows(records: Sequence[EpisodeRecord], folder: Path) -> list[ObjectRow]:
    """One row for each object, in their order."""
    labels = kept_labels(folder)
    rows: dict[int, ObjectRow] = {}
    for record in sorted(records, key=attrgetter("object", "episode")):
        number = record.object
        if number not in rows:
            shape = _shape_name(record)
            label = label_of(labels, number)
            photo = None if label.photo is None else _photo_url(folder / label.photo)
            rows[number] = ObjectRow(number + 1, shape, record.task, str(label), photo)
        episodes = rows[number].policies.setdefault(record.policy, [])
        episodes.append(record)
    return list(rows.values())


def _photo_url(path: Path) -> str | None:
    """A photo as a URL that holds it; None if it is gone."""
    if not path.is_file():
        return None
    picture = base64.b64encode(path.read_bytes()).decode()
    return f"data:image/jpeg;base64,{picture}"


def _skipped_name(folder: Path, number: int) -> str:
    """An object that was skipped: its number from 1, and its label."""
    label = str(label_of(kept_labels(folder), number))
    return f"{number + 1} ({label})" if label else str(number + 1)


def _shape_name(record: EpisodeRecord) -> str:
    if record.object_name is not None:
        return record.object_name
    code = record.task.get("object.shape")
    return "unknown" if code is None else SHAPES[int(code)]


def _known_physics(records: Sequence[EpisodeRecord]) -> dict[str, str]:
    """Headings of the task parameters that are known of at least one object."""
    return {
        name: heading
        for name, heading in PHYSICS.items()
        if any(record.task.get(name) is not None for record in records)
    }


# ---- 3-D playback ----


def _choose_clips(rows: Sequence[ObjectRow]) -> list[Clip]:
    """All episodes of the object that adaptation helped most, and the last one of the worst object.

    The list is empty if an object or its target was not measured.
    """
    adapted = [row.policies["adapted"] for row in rows]
    if not all(_is_visible(record) for episodes in adapted for record in episodes):
        return []
    best = max(adapted, key=_success_and_improvement)
    worst = min(adapted, key=_last_return)
    shown = [*best, worst[-1]]
    return [_clip(record) for record in shown]


def _success_and_improvement(records: Sequence[EpisodeRecord]) -> tuple[bool, float]:
    improvement = _return_of(records[-1]) - _return_of(records[0])
    return records[-1].success, improvement


def _last_return(records: Sequence[EpisodeRecord]) -> float:
    return _return_of(records[-1])


def _return_of(record: EpisodeRecord) -> float:
    return -math.inf if record.returns is None else record.returns


def _is_visible(record: EpisodeRecord) -> bool:
    """Whether the object and its target were measured at the end of the episode."""
    if not record.trace.object_pos:
        return False
    on_table = [*record.trace.object_pos[-1][:2], *record.trace.marker[-1][:2]]
    return all(value is not None for value in on_table)


def _clip(record: EpisodeRecord) -> Clip:
    trace = record.trace
    return Clip(
        title=_clip_title(record),
        task={name: value for name, value in record.task.items() if value is not None},
        t=np.array(trace.t, dtype=np.float64),
        q=_array(trace.q),
        object_pos=_array(trace.object_pos),
        object_quat=_array(trace.object_quat),
        marker=_array(trace.marker)[0],
    )


def _clip_title(record: EpisodeRecord) -> str:
    title = f"object {record.object + 1} ({_shape_name(record)})"
    title = f"{title}, episode {record.episode + 1}"
    if record.success:
        return f"{title}: success"
    if not record.metrics:
        return f"{title}: no success"
    name = next(iter(record.metrics))
    metric = describe_metric(name)
    return f"{title}: {metric.label} {metric.show(record.metrics[name])} {metric.unit}"


def _array(rows: Sequence[Row]) -> Array:
    """Measurements (T, k), NaN where one is missing."""
    return np.array(rows, dtype=np.float64)


def _encoded_playback(header: TrialHeader, clips: Sequence[Clip]) -> str | None:
    """The playback's page in base64; None without a clip."""
    if not clips:
        return None
    item = FLAT_OBJECT
    if header.own_objects:
        item = SceneObject(item.name, "meshes", (), choices=header.own_objects)
    page = render_playback(ARMS[header.arm], clips, item=item)
    return base64.b64encode(page.encode()).decode()
