"""Compare policies on the same tasks: success, metrics, gain from adaptation, share of the gap.

Axes: E episodes, n trials of a training, s trainings (seeds), t different tasks, R resamples. Every
policy acted in the same tasks under the same seeds, so comparisons are paired by task.

Intervals are bootstrap intervals over trainings and tasks, so they hold for another training and
other tasks. With one training only tasks are resampled. A task that is repeated from other starts
is still one task: more starts give no information about other tasks.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np

from adaptation.reporting.episode_grid import EpisodeGrid, Results, check_alike, number_tasks
from adaptation.reporting.estimators import (
    Resamples,
    aggregate,
    effective_trials,
    iqm,
    known_mean,
    known_median,
    mcnemar_p,
    percentile_interval,
    plain_mean,
    wilson_interval,
)
from adaptation.runs.records import (
    POLICIES,
    Comparison,
    Estimate,
    GapClosed,
    Interval,
    PolicyResult,
    SeedComparison,
    finite,
)
from robots.signals import Array


def compare_policies(results: Results) -> Comparison:
    """Compare the policies of one training; the fields of the job (seconds, run, commit) are empty.

    Args:
        results: what each policy reached, ``adapted`` at least; a name that is not in ``POLICIES``
            is a rival's.

    Raises:
        BadArgumentError: policies were judged on different tasks.
    """
    judged = compare_seeds([results])
    return Comparison(**msgspec.structs.asdict(judged))


def compare_seeds(results: Sequence[Results]) -> SeedComparison:
    """Compare policies of trainings that differ in their seed: the last episode, 95 % intervals.

    Metrics and returns are interquartile means over trainings; of one, two or three trainings that
    is the mean (see ``estimators.iqm``). Differences and the share of the gap are those of these
    aggregated numbers. With few trainings an interval is rough and too narrow: of three it covers
    the truth about 75 times in 100, of ten about 93 times.

    Args:
        results: for each training, what each policy reached; ``adapted`` at least.

    Raises:
        BadArgumentError: there is no training, trainings differ in their policies or episodes, or
            policies were judged on different tasks.
    """
    sample = _Sample(results)
    judged = {name: sample.policy_result(name) for name in sample.policies}
    estimates = {name: sample.estimate(name) for name in sample.policies if name != "adapted"}
    rivals = [name for name in sample.policies if name not in POLICIES]
    return SeedComparison(
        adapted=judged["adapted"],
        no_adaptation=judged.get("no_adaptation"),
        blind=judged.get("blind"),
        oracle=judged.get("oracle"),
        rivals={name: judged[name] for name in rivals},
        adaptation=estimates.get("no_adaptation"),
        over_blind=estimates.get("blind"),
        over_rivals={name: estimates[name] for name in rivals},
        gap_closed=_gap_closed(sample),
        interval_over=sample.interval_over,
        seeds=sample.trainings,
        tasks=sample.tasks_each,
        trials=sample.trials,
        episodes=sample.episodes,
    )


def policy_result(grid: EpisodeGrid) -> PolicyResult:
    """What one policy of one training reached."""
    return _Sample([{"adapted": grid}]).policy_result("adapted")


class _Sample:
    """The results of all trainings, arranged by training and task."""

    def __init__(self, results: Sequence[Results]) -> None:
        check_alike(results)
        self._results = results
        grids = [one["adapted"] for one in results]
        self.policies = list(results[0])
        self.trainings = len(results)
        self.episodes, self.trials = grids[0].returns.shape
        self._task_of = number_tasks(grids)  # (n,) of each training
        every_task = np.concatenate(self._task_of)
        self.tasks = len(np.unique(every_task))  # t
        different = [len(np.unique(numbers)) for numbers in self._task_of]
        self.tasks_each = min(different)
        ones = [np.ones(len(numbers)) for numbers in self._task_of]
        self._counts = self._by_task(ones)  # (s, t)

    @property
    def interval_over(self) -> str | None:
        """What intervals are over, in words; None with a single task, which is no sample."""
        if self.tasks == 1:
            return None
        if self.trainings == 1:
            return "tasks of one training"
        return f"{self.trainings} trainings and their tasks"

    @cached_property
    def _resamples(self) -> Resamples:
        return Resamples.draw(self.trainings, self.tasks)

    def _by_task(self, values: Sequence[Array]) -> Array:
        """Sums over the trials of each task, (s, t), of numbers (n,) of each training."""
        sums = []
        for task_of, numbers in zip(self._task_of, values, strict=True):
            sums.append(np.bincount(task_of, numbers, self.tasks))
        return np.stack(sums)

    def _last_returns(self, policy: str) -> Array:
        """Returns of the last episode, summed by training and task, (s, t)."""
        return self._by_task([one[policy].returns[-1] for one in self._results])

    def mean_return(self, policy: str) -> Array:
        """Interquartile mean over trainings of the mean return in the last episode, a scalar."""
        sums = self._last_returns(policy).sum(1)
        by_training: Array = sums / self._counts.sum(1)
        return iqm(by_training)

    def resampled_return(self, policy: str) -> Array:
        """The same of every resample, (R,)."""
        return self._resamples.iqm(self._last_returns(policy), self._counts)

    def policy_result(self, policy: str) -> PolicyResult:
        """Success, metrics and returns of a policy by episode."""
        grids = [one[policy] for one in self._results]
        rates = np.stack([grid.success.mean(1) for grid in grids])  # (s, E)
        names = grids[0].metrics
        metrics = {name: [grid.metrics[name] for grid in grids] for name in names}
        return PolicyResult(
            success=rates.mean(0).tolist(),
            success_interval=[self._success_interval(episode) for episode in rates.T],
            metrics={name: aggregate(values, known_mean) for name, values in metrics.items()},
            metric_medians={
                name: aggregate(values, known_median) for name, values in metrics.items()
            },
            returns=aggregate([grid.returns for grid in grids], plain_mean),
        )

    def _success_interval(self, rates: Array) -> Interval | None:
        """Of the mean of the trainings' success rates (s,); None with a single task."""
        if self.tasks == 1:
            return None
        trials = effective_trials(rates, self.tasks)
        return wilson_interval(float(rates.mean()), trials)

    def estimate(self, baseline: str) -> Estimate:
        """Adapted minus another policy in the last episode."""
        value = self.mean_return("adapted") - self.mean_return(baseline)
        resampled = self.resampled_return("adapted") - self.resampled_return(baseline)
        success = self._success_rate("adapted") - self._success_rate(baseline)
        successes = self._successes("adapted") - self._successes(baseline)  # (t,)
        gained = int((successes > 0).sum())
        lost = int((successes < 0).sum())
        return Estimate(
            success=success,
            gained=gained,
            lost=lost,
            mcnemar_p=None if self.tasks == 1 or self.trainings > 1 else mcnemar_p(gained, lost),
            value=finite(value),
            interval=self.interval(value, resampled),
        )

    def _success_rate(self, policy: str) -> float:
        """Success in the last episode: the mean over trainings."""
        return float(np.mean([one[policy].success[-1].mean() for one in self._results]))

    def _successes(self, policy: str) -> Array:
        """In how many trials of each task, over all trainings, the last episode succeeds, (t,)."""
        by_training = self._by_task([one[policy].success[-1] for one in self._results])
        total: Array = by_training.sum(0)
        return total

    def interval(self, value: Array, resampled: Array) -> Interval | None:
        """The middle 95 % of resampled values (R,).

        None with a single task, or where the value itself is not finite.
        """
        is_estimate = self.tasks > 1 and np.isfinite(value)
        return percentile_interval(resampled) if is_estimate else None


def _gap_closed(sample: _Sample) -> GapClosed:
    """(adapted − blind) / (oracle − blind) of aggregated returns, or why there is none."""
    note = _no_share(sample)
    if note is not None:
        return GapClosed(None, None, note)
    blind = sample.mean_return("blind")
    share = (sample.mean_return("adapted") - blind) / (sample.mean_return("oracle") - blind)
    if not np.isfinite(share):
        return GapClosed(None, None, "a return is not finite")
    floor = sample.resampled_return("blind")
    gap = sample.resampled_return("oracle") - floor
    is_gap = gap > 0
    gained = sample.resampled_return("adapted") - floor
    interval = sample.interval(share, gained[is_gap] / gap[is_gap])
    return GapClosed(finite(share), interval, None)


def _no_share(sample: _Sample) -> str | None:
    """Why no share of the gap is given; None if there is one."""
    missing = [name for name in ("blind", "oracle") if name not in sample.policies]
    if missing:
        return f"there is no {' and no '.join(missing)} to compare with"
    if sample.tasks == 1:
        return "one task is no sample"
    oracle = sample.mean_return("oracle")
    if oracle <= sample.mean_return("blind"):
        return (
            "the oracle is not above blind: it is under-trained, or to know the task is worth"
            " nothing here"
        )
    gap = sample.resampled_return("oracle") - sample.resampled_return("blind")
    interval = percentile_interval(gap)
    if interval is None or interval[0] <= 0:
        return "the oracle is not clearly above blind: it is under-trained, or tasks are too few"
    if sample.mean_return("adapted") > oracle:
        return "adapted is above the oracle: no gap is left; more training may lift the oracle"
    return None
