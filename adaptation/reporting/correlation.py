"""Correlation of two outcomes across tasks, with bootstrap intervals.

Axes: n trials, R resamples. A weight is the number of times that a resample has drawn a trial.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adaptation.reporting.estimators import Resamples, percentile_interval
from adaptation.runs.gap_records import Correlation
from adaptation.runs.records import finite
from robots.signals import Array

Weights = NDArray[np.int64]
Coefficient = Callable[[Array, Array, Weights], Array]  # of each resample, (R,)
ROUNDING = 1e-12  # a deviation below this share of the largest value counts as 0


def correlate(x: Array, y: Array, task_of: NDArray[np.int64]) -> tuple[Correlation, Correlation]:
    """Pearson's coefficient and Spearman's, of the trials in which both outcomes are finite.

    Args:
        x: (n,) an outcome.
        y: (n,) the other one.
        task_of: (n,) the number of each trial's task, from 0. Intervals are over tasks.
    """
    is_known = np.isfinite(x) & np.isfinite(y)
    x = x[is_known]
    y = y[is_known]
    _, task_of = np.unique(task_of[is_known], return_inverse=True)
    return _estimate(pearson_r, x, y, task_of), _estimate(spearman_r, x, y, task_of)


def _estimate(coefficient: Coefficient, x: Array, y: Array, task_of: Weights) -> Correlation:
    """A coefficient of two outcomes (n,), with its interval over tasks if there are several."""
    once = np.ones((1, len(x)), dtype=np.int64)
    value = finite(coefficient(x, y, once)[0])
    tasks = len(np.unique(task_of))
    if value is None or tasks < 2:
        return Correlation(value, None)
    drawn = Resamples.draw(1, tasks).tasks[:, task_of]
    resampled = coefficient(x, y, drawn)
    return Correlation(value, percentile_interval(resampled))


def pearson_r(x: Array, y: Array, weights: Weights) -> Array:
    """Pearson's correlation coefficient of each resample, (R,); NaN where a value is constant.

    Args:
        x: (n,) or, where it differs between resamples, (R, n).
        y: likewise.
        weights: (R, n).
    """
    dx = _deviations(x, weights)
    dy = _deviations(y, weights)
    products = (weights * dx * dy).sum(-1)
    squares = (weights * dx**2).sum(-1) * (weights * dy**2).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        coefficient: Array = products / np.sqrt(squares)
    return np.clip(coefficient, -1.0, 1.0)


def _deviations(x: Array, weights: Weights) -> Array:
    """Deviations from the mean of each resample, (R, n)."""
    if x.shape[-1] == 0:
        return np.zeros(weights.shape)
    mean = (weights * x).sum(-1) / weights.sum(-1)
    deviation: Array = x - mean[:, None]
    scale = np.abs(x).max(-1, keepdims=True)
    return np.where(np.abs(deviation) <= ROUNDING * scale, 0.0, deviation)


def spearman_r(x: Array, y: Array, weights: Weights) -> Array:
    """Spearman's: Pearson's coefficient of the ranks within each resample, (R,)."""
    return pearson_r(average_ranks(x, weights), average_ranks(y, weights), weights)


def average_ranks(x: Array, weights: Weights) -> Array:
    """The rank of each value (n,) within each resample, (R, n); equal values share their mean rank.

    A value's rank is the number of smaller values that were drawn, plus the mean of 1 and the
    number of equal ones. The rank of a value that was not drawn has no meaning.
    """
    if len(x) == 0:
        return np.zeros(weights.shape)
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    is_new = np.diff(ordered, prepend=-np.inf) != 0
    starts = np.flatnonzero(is_new)
    equal = np.add.reduceat(weights[:, order], starts, axis=1)  # (R, different values)
    smaller = np.cumsum(equal, 1) - equal
    rank_of_value = smaller + (equal + 1) / 2
    ranks = np.empty(weights.shape)
    ranks[:, order] = rank_of_value[:, np.cumsum(is_new) - 1]
    return ranks
