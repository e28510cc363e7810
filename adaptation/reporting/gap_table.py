"""The gap between two engines as a table for a person."""

from collections.abc import Sequence

from adaptation.reporting.metrics import describe_metric
from adaptation.reporting.table import LABEL, line, percent
from adaptation.reporting.words import UNKNOWN
from adaptation.runs.gap_records import Correlation, Divergence, EngineGap, OutcomeGap, SuccessGap
from adaptation.runs.records import Row
from robots.counting import counted


def gap_table(gap: EngineGap) -> str:
    """Distances of joints and objects over time, then the outcomes of the episodes."""
    first, second = gap.engines
    commands = "random commands"
    if gap.commands != "random":
        commands = f"the commands that {gap.commands} gave in {first}"
    tasks = counted(gap.tasks, "task")
    lines = [
        f"{gap.family} ({gap.body}) in {first} and in {second}: {tasks} of the split {gap.split},"
        f" from the same starts, {commands}",
        "",
        line("how far apart after, s", [f"{t:.3g}" for t in gap.times]),
    ]
    for divergence in gap.divergence:
        lines += _divergence_lines(divergence, first)
    if min(gap.counted) < gap.tasks:
        lines.append(line("tasks that have not ended", [str(count) for count in gap.counted]))
    lines += ["", line("at the end", [first, second, "Pearson", "", "Spearman"])]
    lines += [_outcome_line(outcome) for outcome in gap.outcomes]
    lines += _success_lines(gap.success, gap.engines)
    if gap.success.intervals is None:
        lines.append("one task is no sample, so there are no intervals")
    return "\n".join(lines)


def _divergence_lines(divergence: Divergence, first: str) -> list[str]:
    title = f"{divergence.quantity}, {divergence.unit}"
    return [
        line(f"{title}: median", _numbers(divergence.median)),
        line("  90 % are below", _numbers(divergence.p90)),
        line(f"  way since the start, {first}", _numbers(divergence.motion)),
    ]


def _numbers(row: Row) -> list[str]:
    return [UNKNOWN if value is None else f"{value:.2g}" for value in row]


def _outcome_line(outcome: OutcomeGap) -> str:
    """Medians in both engines, then both coefficients, each with its interval."""
    metric = describe_metric(outcome.name)
    unit = f", {metric.unit}" if metric.unit else ""
    cells = [metric.show(median) for median in outcome.medians]
    for correlation in (outcome.pearson, outcome.spearman):
        cells += _coefficient(correlation)
    return line(f"{metric.label}{unit} (median)", cells)


def _coefficient(correlation: Correlation) -> Sequence[str]:
    if correlation.value is None:
        return UNKNOWN, ""
    if correlation.interval is None:
        return f"{correlation.value:.3f}", ""
    low, high = correlation.interval
    return f"{correlation.value:.3f}", f"[{low:.2f}, {high:.2f}]"


def _success_lines(success: SuccessGap, engines: tuple[str, str]) -> list[str]:
    intervals = success.intervals or (None, None)
    rates = list(map(percent, success.rates, intervals))
    agreement = percent(success.agreement, success.agreement_interval, " %")
    first, second = engines
    return [
        line("success, %", rates),
        "the same outcome".ljust(LABEL)
        + f"{agreement}; success only in {first} {success.only_first}, only in {second}"
        + f" {counted(success.only_second, 'task')}{_p_value(success.mcnemar_p)}",
    ]


def _p_value(p: float | None) -> str:
    return "" if p is None else f", McNemar p = {p:.2g}"
