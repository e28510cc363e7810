"""A comparison as a few lines for a person: success, metrics, returns, then what adapting gains."""

from collections.abc import Mapping, Sequence

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

LABEL = 31  # characters of a line's first column
CELL = 14  # characters of the others
UNKNOWN = "–"


def table(comparison: Comparison) -> str:
    """The table of an evaluation or a trial."""
    lines = result_lines(comparison)
    lines.append(f"{_describe_sample(comparison)}, {comparison.seconds:.1f} s")
    return "\n".join(lines)


def result_lines(comparison: SeedComparison) -> list[str]:
    """All numbers of a comparison, in the order in which they are to be read."""
    policies = present_policies(comparison)
    lines = _rows("success, %", {name: _rates(result) for name, result in policies.items()})
    for metric in comparison.adapted.metrics:
        means = {name: result.metrics[metric] for name, result in policies.items()}
        medians = {name: result.metric_medians[metric] for name, result in policies.items()}
        lines += _rows(f"{metric}, mean", _numbers(means))
        lines += _rows(f"{metric}, median", _numbers(medians))
    returns = {name: result.returns for name, result in policies.items()}
    lines += _rows("return", _numbers(returns))
    differences = {"no_adaptation": comparison.adaptation, "blind": comparison.over_blind}
    differences |= comparison.over_rivals
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


def _rows(title: str, cells: Mapping[str, Sequence[str]]) -> list[str]:
    """A heading with the numbers of the episodes, and a line for each policy."""
    episodes = len(cells["adapted"])
    numbers = [str(number) for number in range(1, 1 + episodes)]
    lines = [_line(f"{title}, by episode", numbers)]
    for name, row in cells.items():
        lines.append(_line(f"  {name}", row))
    return lines


def _line(label: str, cells: Sequence[str]) -> str:
    """A label, and cells aligned to the right."""
    aligned = [cell.rjust(CELL) for cell in cells]
    return label.ljust(LABEL) + "".join(aligned)


def _rates(result: PolicyResult) -> list[str]:
    """Success in percent, with its interval."""
    cells = []
    for rate, interval in zip(result.success, result.success_interval, strict=True):
        cells.append(f"{100 * rate:.0f}" + _percent_interval(interval))
    return cells


def _percent_interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    low, high = interval
    return f" [{100 * low:.0f}, {100 * high:.0f}]"


def _numbers(rows: Mapping[str, Row]) -> dict[str, list[str]]:
    return {name: [_number(value) for value in row] for name, row in rows.items()}


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def describe_estimate(label: str, estimate: Estimate) -> list[str]:
    """A line for the difference of returns, and one for that of success."""
    returns = "return "
    returns += UNKNOWN if estimate.value is None else f"{estimate.value:+.3f}"
    if estimate.interval is not None:
        low, high = estimate.interval
        returns += f"  [{low:+.3f}, {high:+.3f}]"
    success = f"success {100 * estimate.success:+.0f} points, "
    success += f"{estimate.gained} tasks gained, {estimate.lost} lost"
    if estimate.mcnemar_p is not None:
        success += f", McNemar p = {estimate.mcnemar_p:.2g}"
    indent = " " * LABEL
    return [label.ljust(LABEL) + returns, indent + success]


def _share(gap: GapClosed) -> str:
    if gap.value is None:
        return f"none: {gap.note}"
    return f"{100 * gap.value:.0f} %" + _percent_interval(gap.interval)


def _describe_sample(comparison: SeedComparison) -> str:
    """How many tasks, and what intervals are over."""
    tasks = "1 task" if comparison.tasks == 1 else f"{comparison.tasks} tasks"
    if comparison.trials > comparison.tasks:
        tasks += f" in {comparison.trials} trials"
    if comparison.interval_over is None:
        return f"{tasks}: one task is no sample, so there are no intervals"
    return f"{tasks}; intervals (95 %) over {comparison.interval_over}"
