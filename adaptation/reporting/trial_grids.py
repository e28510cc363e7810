"""The episodes of a trial, arranged as ``statistics`` compares them."""

from collections.abc import Iterable

import numpy as np

from adaptation.reporting.statistics import EpisodeGrid
from adaptation.runs.records import POLICIES, EpisodeRecord


def episode_grids(records: Iterable[EpisodeRecord], clock: str) -> dict[str, EpisodeGrid]:
    """Arrange the episodes of one clock by policy: ``POLICIES`` in their order, then others.

    Raises:
        KeyError: a policy that has episodes lacks one.
    """
    chosen = [record for record in records if record.clock == clock]
    episodes = 1 + max(record.episode for record in chosen)
    objects = 1 + max(record.object for record in chosen)
    found = {record.policy for record in chosen}
    names = [name for name in POLICIES if name in found]
    names += sorted(found - set(POLICIES))
    grids = {}
    for name in names:
        own = {}
        for record in chosen:
            if record.policy == name:
                own[record.episode, record.object] = record
        rows = []
        for episode in range(episodes):
            rows.append([own[episode, number] for number in range(objects)])
        grids[name] = _grid(rows)
    return grids


def _grid(rows: list[list[EpisodeRecord]]) -> EpisodeGrid:
    returns = [[record.returns for record in row] for row in rows]
    success = [[record.success for record in row] for row in rows]
    metrics = {}
    for name in rows[0][0].metrics:
        values = [[record.metrics[name] for record in row] for row in rows]
        metrics[name] = np.array(values, dtype=np.float64)
    parameters = [list(record.task.values()) for record in rows[0]]
    tasks = np.array(parameters, dtype=np.float64)
    is_known = bool(np.isfinite(tasks).all())  # on a real arm every object is a task of its own
    return EpisodeGrid(
        returns=np.array(returns, dtype=np.float64),
        success=np.array(success, dtype=np.float64),
        metrics=metrics,
        tasks=tasks if is_known else None,
    )
