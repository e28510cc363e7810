"""What adaptation gains, the share of the gap between blind and oracle that it closes, intervals.

Axes: E episodes, n tasks. Every policy acted in the same tasks under the same seeds, so comparisons
are paired by task.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from adaptation.runs.records import (
    POLICIES,
    Comparison,
    EpisodeRecord,
    Estimate,
    GapClosed,
    Interval,
    PolicyResult,
    Row,
    finite,
)
from robots.signals import Array

RESAMPLES = 10_000
NO_GAP = 1e-9  # a gap between blind and oracle below this has no share

Means = Mapping[str, Array]  # mean return in the last episode, a number or one per resample


@dataclass(frozen=True)
class EpisodeGrid:
    """What one policy reached, by episode and task."""

    returns: Array  # (E, n)
    success: Array  # (E, n) 0 or 1
    metrics: dict[str, Array]  # (E, n) each, NaN where not known


def episode_grids(records: Iterable[EpisodeRecord], clock: str) -> dict[str, EpisodeGrid]:
    """Arrange the episodes of one clock by policy, in the order of ``POLICIES``.

    Raises:
        KeyError: a policy that has episodes lacks one.
    """
    chosen = [record for record in records if record.clock == clock]
    episodes = 1 + max(record.episode for record in chosen)
    objects = 1 + max(record.object for record in chosen)
    grids = {}
    for policy in POLICIES:
        own = {(r.episode, r.object): r for r in chosen if r.policy == policy}
        if own:
            rows = [[own[e, k] for k in range(objects)] for e in range(episodes)]
            grids[policy] = _grid(rows)
    return grids


def _grid(rows: list[list[EpisodeRecord]]) -> EpisodeGrid:
    returns = [[record.returns for record in row] for row in rows]
    success = [[record.success for record in row] for row in rows]
    metrics = {}
    for name in rows[0][0].metrics:
        values = [[record.metrics[name] for record in row] for row in rows]
        metrics[name] = np.array(values, dtype=np.float64)
    return EpisodeGrid(
        returns=np.array(returns, dtype=np.float64),
        success=np.array(success, dtype=np.float64),
        metrics=metrics,
    )


def compare_policies(results: Mapping[str, EpisodeGrid]) -> Comparison:
    """Compare policies in the last episode, with 95 % intervals of a paired bootstrap over tasks.

    Args:
        results: what each policy reached, ``adapted`` at least; see ``POLICIES`` for the names.

    Returns:
        The comparison, without the fields that belong to the job: seconds, run and commit.
    """
    last = {name: np.asarray(grid.returns, float)[-1] for name, grid in results.items()}  # (n,)
    episodes, tasks = np.shape(results["adapted"].returns)
    rows = np.random.default_rng(0).integers(tasks, size=(RESAMPLES, tasks))
    resampled = {name: returns[rows].mean(1) for name, returns in last.items()}  # (RESAMPLES,)
    mean = {name: np.asarray(returns.mean()) for name, returns in last.items()}

    def estimate(baseline: str) -> Estimate | None:
        if baseline not in last:
            return None
        value = mean["adapted"] - mean[baseline]
        interval = _interval(resampled["adapted"] - resampled[baseline], tasks)
        return Estimate(finite(value), interval)

    def result(name: str) -> PolicyResult | None:
        return policy_result(results[name]) if name in results else None

    return Comparison(
        adapted=policy_result(results["adapted"]),
        no_adaptation=result("no_adaptation"),
        blind=result("blind"),
        oracle=result("oracle"),
        adaptation=estimate("no_adaptation"),
        over_blind=estimate("blind"),
        gap_closed=_gap_closed(mean, resampled, tasks),
        tasks=tasks,
        episodes=episodes,
    )


def _gap_closed(mean: Means, resampled: Means, tasks: int) -> GapClosed:
    missing = [name for name in ("blind", "oracle") if name not in mean]
    if missing:
        note = f"there is no {' and no '.join(missing)} to compare with"
    elif tasks == 1:
        note = "one task is no sample"
    elif mean["oracle"] <= mean["blind"]:
        note = "the oracle is not above blind: knowing the task is worth nothing here"
    elif _may_be_absent(resampled["oracle"] - resampled["blind"]):
        note = "the oracle is not clearly above blind: more tasks may tell"
    elif mean["adapted"] > mean["oracle"]:
        note = "adapted is above the oracle, which is under-trained"
    else:
        value = share_of_gap(mean)
        return GapClosed(finite(value), _interval(share_of_gap(resampled), tasks), None)
    return GapClosed(None, None, note)


def _may_be_absent(gap: Array) -> bool:
    """Whether a gap, resampled (RESAMPLES,), may be zero: its 95 % interval begins at or below it.

    A share of such a gap says nothing: the gap is divided by, and may have either sign.
    """
    return bool(np.percentile(gap, 2.5) <= 0)


def share_of_gap(mean: Means) -> Array:
    """(adapted − blind) / (oracle − blind); 0 for a resample that has no gap."""
    gap = mean["oracle"] - mean["blind"]
    return (mean["adapted"] - mean["blind"]) / np.where(np.abs(gap) > NO_GAP, gap, np.inf)


def _interval(resampled: Array, tasks: int) -> Interval | None:
    """The middle 95 % of resampled values (RESAMPLES,); None where there is none."""
    if tasks == 1 or not np.isfinite(resampled).all():
        return None
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


def policy_result(grid: EpisodeGrid) -> PolicyResult:
    """The means over tasks of every episode."""
    return PolicyResult(
        returns=_means(grid.returns),
        success=np.asarray(grid.success, float).mean(1).tolist(),
        metrics={name: _means(_known(values)) for name, values in grid.metrics.items()},
    )


def _known(values: Array) -> list[Array]:
    """The numbers of each episode that are known, from (E, n)."""
    return [row[np.isfinite(row)] for row in values]


def _means(rows: Array | list[Array]) -> Row:
    """The mean of each episode's numbers; None where there is none."""
    return [finite(np.mean(row)) if len(row) else None for row in rows]


def table(comparison: Comparison) -> str:
    """The comparison as a few lines for a person: success and metrics before returns."""
    results = {name: getattr(comparison, name) for name in POLICIES}
    present = {name: result for name, result in results.items() if result is not None}
    lines = _rows("success", {name: r.success for name, r in present.items()}, "{:9.0%}")
    for metric in comparison.adapted.metrics:
        values = {name: r.metrics[metric] for name, r in present.items()}
        lines += _rows(metric, values, "{:9.3f}")
    lines += _rows("return", {name: r.returns for name, r in present.items()}, "{:9.3f}")
    differences = {
        "adapted − no_adaptation": comparison.adaptation,
        "adapted − blind": comparison.over_blind,
        "gap closed": comparison.gap_closed,
    }
    for label, difference in differences.items():
        if difference is not None:
            lines.append(f"{label:<24}{_show(difference)}")
    tasks = "1 task" if comparison.tasks == 1 else f"{comparison.tasks} tasks"
    lines.append(f"{tasks}, {comparison.seconds:.1f} s")
    return "\n".join(lines)


def _rows(title: str, values: Mapping[str, Row], form: str) -> list[str]:
    """A heading with the numbers of the episodes, and a line for each policy."""
    heading = f"{title} per episode"
    numbers = range(1, 1 + len(values["adapted"]))
    columns = [f"{number:>9}" for number in numbers]
    lines = [f"{heading:<24}" + "".join(columns)]
    for name, row in values.items():
        cells = [_cell(value, form) for value in row]
        lines.append(f"  {name:<22}" + "".join(cells))
    return lines


def _cell(value: float | None, form: str) -> str:
    """A number in nine characters."""
    if value is None:
        return f"{'–':>9}"
    return form.format(value)


def _show(difference: Estimate | GapClosed) -> str:
    if difference.value is None:
        return difference.note or "" if isinstance(difference, GapClosed) else "–"
    text = f"{difference.value:+.3f}"
    if difference.interval is not None:
        low, high = difference.interval
        text += f"  [{low:+.3f}, {high:+.3f}] (95 %)"
    return text
