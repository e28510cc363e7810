"""A comparison as lines of text: success, metrics, returns, then the gain from adaptation."""

from collections.abc import Callable, Mapping

from adaptation.reporting.words import UNKNOWN
from adaptation.runs.records import (
    POLICIES,
    Comparison,
    Estimate,
    GapClosed,
    Interval,
    PolicyResult,
    Row,
    SeedComparison,
)
from robots.counting import counted

LABEL = 31  # characters of a line's first column
CELL = 14  # characters of the others

Cells = list[str]  # of a line, one per episode


def table(comparison: Comparison) -> str:
    """The table of an evaluation or a trial."""
    lines = result_lines(comparison)
    lines.append(f"{_describe_sample(comparison)}, {comparison.seconds:.1f} s")
    return "\n".join(lines)


def result_lines(comparison: SeedComparison) -> list[str]:
    """All numbers of a comparison, the most important ones first."""
    policies = present_policies(comparison)
    lines = _rows("success, %", policies, _rates)
    for metric in comparison.adapted.metrics:

        def means(result: PolicyResult, name: str = metric) -> Cells:
            return _numbers(result.metrics[name])

        def medians(result: PolicyResult, name: str = metric) -> Cells:
            return _numbers(result.metric_medians[name])

        lines += _rows(f"{metric}, mean", policies, means)
        lines += _rows(f"{metric}, median", policies, medians)
    lines += _rows("return", policies, _returns)
    differences = {
        "no_adaptation": comparison.adaptation,
        "blind": comparison.over_blind,
        **comparison.over_rivals,
    }
    for baseline, estimate in differences.items():
        if estimate is not None:
            lines += describe_estimate(f"adapted − {baseline}", estimate)
    share = _share(comparison.gap_closed)
    lines.append("gap closed".ljust(LABEL) + share)
    return lines


def present_policies(comparison: SeedComparison) -> dict[str, PolicyResult]:
    """The policies that took part: ``POLICIES`` in their order, then rivals."""
    results = {name: getattr(comparison, name) for name in POLICIES}
    present = {name: result for name, result in results.items() if result is not None}
    return present | comparison.rivals


def _rows(
    title: str,
    policies: Mapping[str, PolicyResult],
    cells_of: Callable[[PolicyResult], Cells],
) -> list[str]:
    """A heading with the numbers of the episodes, and a line for each policy."""
    lines = []
    for name, result in policies.items():
        cells = cells_of(result)
        lines.append(line(f"  {name}", cells))
    numbers = range(1, 1 + len(cells))
    heading = line(f"{title}, by episode", [str(number) for number in numbers])
    return [heading, *lines]


def line(label: str, cells: Cells) -> str:
    """A label, and cells aligned to the right."""
    aligned = [cell.rjust(CELL) for cell in cells]
    return label.ljust(LABEL) + "".join(aligned)


def _rates(result: PolicyResult) -> Cells:
    """Success in percent, with its interval."""
    return list(map(percent, result.success, result.success_interval))


def percent(share: float, interval: Interval | None, unit: str = "") -> str:
    """A share in percent with its unit, and the ends of its interval if it has one."""
    text = f"{100 * share:.0f}{unit}"
    if interval is None:
        return text
    low, high = interval
    return f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def _returns(result: PolicyResult) -> Cells:
    return _numbers(result.returns)


def _numbers(row: Row) -> Cells:
    """Three digits; a dash where a number is not known."""
    return [UNKNOWN if value is None else f"{value:.3f}" for value in row]


def describe_estimate(label: str, estimate: Estimate) -> list[str]:
    """A line for the difference of returns, and one for that of success."""
    returns = "return "
    returns += UNKNOWN if estimate.value is None else f"{estimate.value:+.3f}"
    if estimate.interval is not None:
        low, high = estimate.interval
        returns += f"  [{low:+.3f}, {high:+.3f}]"
    success = f"success {100 * estimate.success:+.0f} points, "
    success += f"{counted(estimate.gained, 'task')} gained, {estimate.lost} lost"
    if estimate.mcnemar_p is not None:
        success += f", McNemar p = {estimate.mcnemar_p:.2g}"
    indent = " " * LABEL
    return [label.ljust(LABEL) + returns, indent + success]


def _share(gap: GapClosed) -> str:
    if gap.value is None:
        return f"none: {gap.note}"
    return percent(gap.value, gap.interval, " %")


def _describe_sample(comparison: SeedComparison) -> str:
    """The number of tasks, and what the intervals are over."""
    tasks = counted(comparison.tasks, "task")
    if comparison.trials > comparison.tasks:
        tasks += f" in {counted(comparison.trials, 'trial')}"
    if comparison.interval_over is None:
        return f"{tasks}: one task is no sample, so there are no intervals"
    return f"{tasks}; intervals (95 %) over {comparison.interval_over}"
