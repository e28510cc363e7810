"""Estimators and intervals for results over trainings and tasks: pure functions of arrays.

Axes: s trainings (seeds), t tasks, R resamples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
from numpy.typing import NDArray

from adaptation.runs.records import Interval, Row, finite
from robots.signals import Array

RESAMPLES = 10_000
TRIMMED = 0.25  # share of the values that an interquartile mean leaves out at each end
NORMAL_975 = 1.959964  # 97.5th percentile of the standard normal distribution


def wilson_interval(rate: float, trials: float) -> Interval:
    """The 95 % score interval of a success rate (Wilson 1927).

    Unlike the normal interval of a mean it stays within [0, 1], and it has a positive width if all
    trials succeed, or none.

    Args:
        rate: share of successes.
        trials: how many independent trials; an effective number need not be whole.
    """
    z = NORMAL_975
    weight = z**2 / trials  # of a rate of one half, toward which small samples are shrunk
    scale = 1 + weight
    center = (rate + weight / 2) / scale
    variance = rate * (1 - rate) / trials
    variance_of_half = weight / (4 * trials)
    spread = sqrt(variance + variance_of_half)
    half_width = z * spread / scale
    low = center - half_width
    high = center + half_width
    return max(0.0, low), min(1.0, high)


def mcnemar_p(gained: int, lost: int) -> float:
    """Two-sided exact p-value of McNemar's test for paired successes.

    Pairs in which both or neither succeed carry no information. If the two policies are equally
    good, each other pair is a toss of a fair coin. This holds for one training only: the successes
    of a training are correlated, so counts over several would be called significant far too often.

    Args:
        gained: pairs in which only the first succeeds.
        lost: pairs in which only the second succeeds.
    """
    pairs = gained + lost
    rarer = min(gained, lost)
    outcomes = 2**pairs
    as_rare = 0
    for heads in range(rarer + 1):
        as_rare += comb(pairs, heads)
    p: float = 2 * as_rare / outcomes  # both tails, which overlap where both are equally rare
    return min(1.0, p)


def iqm(values: Array) -> Array:
    """Interquartile mean over the last axis (Agarwal et al. 2021): the mean of the middle half.

    Of s values, the int(s / 4) lowest and as many highest are left out: none if s is at most 3, one
    at each end if s is 4 to 7.
    """
    count = values.shape[-1]
    cut = int(TRIMMED * count)
    end = count - cut
    ordered = np.sort(values, -1)
    middle = ordered[..., cut:end]
    mean: Array = middle.mean(-1)
    return mean


def number_rows(tables: Sequence[Array]) -> list[NDArray[np.int64]]:
    """A number, from 0, for each row (p,) of each table (n, p): equal rows have the same one."""
    every_row = np.concatenate(tables)
    _, inverse = np.unique(
        every_row,
        axis=0,
        return_inverse=True,
    )
    numbers: NDArray[np.int64] = inverse.reshape(-1)
    parts = []
    start = 0
    for table in tables:
        end = start + len(table)
        parts.append(numbers[start:end])
        start = end
    return parts


def aggregate(values: Sequence[Array], statistic: Callable[[Array], Array]) -> Row:
    """Interquartile means over trainings of a statistic of each training's trials, by episode.

    Args:
        values: (E, n) of each training.
        statistic: of the last axis.
    """
    by_training = np.stack([statistic(trials) for trials in values], -1)  # (E, s)
    return [finite(value) for value in iqm(by_training)]


def plain_mean(values: Array) -> Array:
    """Mean over the last axis; not finite where one of its numbers is not."""
    mean: Array = values.mean(-1)
    return mean


def known_mean(values: Array) -> Array:
    """Mean over trials of (E, n), of the numbers that are finite; NaN where none is."""
    return _of_known(values, np.mean)


def known_median(values: Array) -> Array:
    """Median over trials of (E, n), of the numbers that are finite; NaN where none is."""
    return _of_known(values, np.median)


def _of_known(values: Array, statistic: Callable[[Array], np.floating]) -> Array:
    result = []
    for row in values:
        is_known = np.isfinite(row)
        if is_known.any():
            result.append(float(statistic(row[is_known])))
        else:
            result.append(np.nan)
    return np.array(result)


def effective_trials(rates: Array, tasks: int) -> float:
    """The number of independent trials whose success rate has the variance of the trainings' mean.

    Successes of one training are correlated. The variance of the mean over s trainings is estimated
    from their spread. The result is at least the number of trainings, and at most the number of
    different tasks: more trainings on the same tasks give no information about other tasks.

    Args:
        rates: (s,) success rate of each training.
        tasks: how many different tasks there are over all trainings.
    """
    trainings = len(rates)
    if trainings == 1:
        return float(tasks)
    rate = rates.mean()
    variance_of_mean = rates.var(ddof=1) / trainings
    if variance_of_mean == 0:
        return float(tasks)
    trials = rate * (1 - rate) / variance_of_mean
    at_least = max(float(trials), float(trainings))
    return min(at_least, float(tasks))


@dataclass(frozen=True)
class Resamples:
    """Bootstrap draws, with replacement, of trainings and of tasks.

    All policies that are compared share them, so comparisons are paired by task and by training.
    """

    trainings: NDArray[np.int64]  # (R, s) which trainings were drawn
    tasks: NDArray[np.int64]  # (R, t) how often each task was drawn

    @classmethod
    def draw(cls, trainings: int, tasks: int) -> "Resamples":
        """The same draws every time, so that a result can be repeated."""
        rng = np.random.default_rng(0)
        equal = np.full(tasks, 1 / tasks)
        return cls(
            trainings=rng.integers(trainings, size=(RESAMPLES, trainings)),
            tasks=rng.multinomial(tasks, equal, size=RESAMPLES),
        )

    def iqm(self, sums: Array, counts: Array) -> Array:
        """The interquartile mean over trainings of the mean over tasks, of each resample (R,).

        A task that several trainings were judged on is drawn for all of them together, so that its
        difficulty is not averaged out as if it were independent noise.

        Args:
            sums: (s, t) sum over the starts of a task; 0 where a training has none of it.
            counts: (s, t) how many starts those are.
        """
        drawn_sums = self.tasks @ sums.T  # (R, s)
        drawn_counts = self.tasks @ counts.T
        with np.errstate(invalid="ignore"):
            means = drawn_sums / drawn_counts  # NaN where none of a training's tasks was drawn
        chosen = np.take_along_axis(means, self.trainings, 1)
        return iqm(chosen)


def percentile_interval(resampled: Array) -> Interval | None:
    """The middle 95 % of resampled values (R,); None without a finite one.

    A resample in which a training has none of its tasks is NaN, and left out.
    """
    is_finite = np.isfinite(resampled)
    finite_ones = resampled[is_finite]
    if len(finite_ones) == 0:
        return None
    low, high = np.percentile(finite_ones, (2.5, 97.5))
    return float(low), float(high)


def mean_band(values: Array, tasks: NDArray[np.int64]) -> tuple[Array, Array]:
    """Ends of the 95 % interval over tasks of each episode's mean, (E,) each.

    Args:
        values: (E, n) of trials, NaN where one is not known.
        tasks: (n,) the number of each trial's task; of a single task the ends are NaN.
    """
    count = 1 + int(tasks.max())
    low = np.full(len(values), np.nan)
    high = np.full(len(values), np.nan)
    if count == 1:
        return low, high
    resamples = Resamples.draw(1, count)
    for episode, trials in enumerate(values):
        is_known = np.isfinite(trials)
        task_of = tasks[is_known]
        known = trials[is_known]
        sums = np.zeros((1, count))
        counts = np.zeros((1, count))
        np.add.at(sums[0], task_of, known)
        np.add.at(counts[0], task_of, 1.0)
        means = resamples.iqm(sums, counts)
        interval = percentile_interval(means)
        if interval is not None:
            low[episode], high[episode] = interval
    return low, high
