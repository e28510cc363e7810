"""The episodes of a trial, arranged as ``statistics`` compares them."""

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path

import numpy as np

from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.runs.records import POLICIES, EpisodeRecord
from robots.errors import DamagedError
from robots.signals import Array


def episode_grids(
    records: Iterable[EpisodeRecord],
    clock: str,
    folder: Path,
    skipped: Sequence[int] = (),
) -> dict[str, EpisodeGrid]:
    """Arrange the episodes of one clock by policy: ``POLICIES`` in their order, then others.

    Args:
        records: of a trial.
        clock: lockstep or realtime.
        folder: that they were read from.
        skipped: objects, counted from 0, of which there are no records.

    Raises:
        DamagedError: a policy that has episodes lacks one; the message names the ``folder`` that
            they were read from.
    """
    chosen = [record for record in records if record.clock == clock]
    if not chosen:
        return {}
    last_episode = max(record.episode for record in chosen)
    last_object = max(record.object for record in chosen)
    episodes = range(last_episode + 1)
    objects = [number for number in range(last_object + 1) if number not in skipped]
    found = {record.policy for record in chosen}
    names = [name for name in POLICIES if name in found]
    names += sorted(found - set(POLICIES))
    grids = {}
    for name in names:
        own = {}
        for record in chosen:
            if record.policy == name:
                own[record.episode, record.object] = record
        if len(own) < len(episodes) * len(objects):
            problem = f"lacks episodes of {name}: a file of it was cut short"
            raise DamagedError(f"the trial in {folder} {problem}")
        rows = []
        for episode in episodes:
            rows.append([own[episode, number] for number in objects])
        grids[name] = _grid(rows)
    return grids


def _grid(rows: list[list[EpisodeRecord]]) -> EpisodeGrid:
    """The grid of one policy, from its records by episode and object."""
    metrics = {}
    for name in rows[0][0].metrics:

        def metric(record: EpisodeRecord, name: str = name) -> float | None:
            return record.metrics[name]

        metrics[name] = _numbers(rows, metric)
    parameters = [list(record.task.values()) for record in rows[0]]
    tasks = np.array(parameters, dtype=np.float64)
    is_known = bool(np.isfinite(tasks).all())  # on a real arm every object is a task of its own
    return EpisodeGrid(
        returns=_numbers(rows, attrgetter("returns")),
        success=_numbers(rows, attrgetter("success")),
        metrics=metrics,
        tasks=tasks if is_known else None,
    )


def _numbers(
    rows: list[list[EpisodeRecord]], number_of: Callable[[EpisodeRecord], float | None]
) -> Array:
    """One number of every record, (E, n); NaN where it is not known."""
    numbers = []
    for row in rows:
        numbers.append([number_of(record) for record in row])
    return np.array(numbers, dtype=np.float64)
