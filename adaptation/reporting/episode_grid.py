"""The results of policies by episode and task, and whether they can be compared.

Axes: E episodes, n trials of a training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptation.reporting.estimators import number_rows
from robots.errors import BadArgumentError
from robots.signals import Array


@dataclass(frozen=True)
class EpisodeGrid:
    """The results of one policy of one training, by episode and trial."""

    returns: Array  # (E, n)
    success: Array  # (E, n) 0 or 1
    metrics: dict[str, Array]  # (E, n) each, NaN where not known
    # (n, p) numbers that tell tasks apart, such as their parameters: equal rows are one task, also
    # in another training. None: each trial has a task of its own, the same in every training.
    tasks: Array | None = None


Results = Mapping[str, EpisodeGrid]  # of one training, by policy; see ``POLICIES`` for the names


def check_alike(results: Sequence[Results]) -> None:
    """BadArgumentError where the results of trainings cannot be compared."""
    if not results:
        raise BadArgumentError("there is no training to compare")
    for one in results:
        if set(one) != set(results[0]):
            raise BadArgumentError(
                "every training needs the same policies: "
                f"one has {', '.join(results[0])}, another one {', '.join(one)}"
            )
        adapted = one["adapted"]
        for name, grid in one.items():
            same_shape = grid.returns.shape == adapted.returns.shape
            if not same_shape or not _same_tasks(grid, adapted):
                raise BadArgumentError(f"{name} was judged on other tasks than adapted")
    episodes = {len(one["adapted"].returns) for one in results}
    if len(episodes) > 1:
        raise BadArgumentError(f"trainings were judged after {sorted(episodes)} episodes")


def _same_tasks(a: EpisodeGrid, b: EpisodeGrid) -> bool:
    if a.tasks is None or b.tasks is None:
        return a.tasks is b.tasks
    return np.array_equal(a.tasks, b.tasks, equal_nan=True)


def number_tasks(grids: Sequence[EpisodeGrid]) -> list[NDArray[np.int64]]:
    """The number, from 0, of each trial's task, (n,) for each training."""
    rows = []
    for grid in grids:
        trial_number = np.arange(grid.returns.shape[1], dtype=np.float64)
        own_task = trial_number[:, None]
        rows.append(own_task if grid.tasks is None else grid.tasks)
    return number_rows(rows)
