"""The tables of a suite's page, as Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.cell_records import CellResult
from adaptation.reporting.bench_results import EngineResults, MethodResults, methods_of
from adaptation.reporting.metrics import describe_metric
from adaptation.reporting.table import percent
from adaptation.reporting.words import UNKNOWN
from adaptation.runs.records import (
    REFERENCES,
    Estimate,
    GapClosed,
    PolicyResult,
)

MISSING_MARK = "*"  # of a method of which a training is missing or unfinished
OLDER_MARK = "†"  # of a method of which a training is of earlier code or settings
SMALLEST_P = 0.001  # a smaller p-value is shown as this
COMMIT_LENGTH = 9

Row = dict[str, str]  # cells by column


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows of the same columns as a table; empty without rows."""
    if not rows:
        return ""
    header = list(rows[0])
    lines = [header, ["---"] * len(header)]
    lines += [list(row.values()) for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def result_rows(results: EngineResults) -> list[Row]:
    """The results of each method, then the gain from adaptation, a row for each method."""
    return [_result_row(one) for one in results.methods]


def _result_row(one: MethodResults) -> Row:
    comparison = one.comparison
    row = {"method": f"`{one.method}`", "seeds": str(comparison.seeds)}
    row |= _outcome_cells(comparison.adapted)
    is_reference = one.method in REFERENCES
    row["adapted − no_adaptation"] = UNKNOWN if is_reference else _estimate(comparison.adaptation)
    row["adapted − blind"] = UNKNOWN if is_reference else _estimate(comparison.over_blind)
    row["gap closed, %"] = UNKNOWN if is_reference else _gap(comparison.gap_closed)
    return row


def _outcome_cells(result: PolicyResult) -> Row:
    """Success in every episode, and metrics and return in the last one."""
    cells = {}
    for number, rate in enumerate(result.success):
        interval = result.success_interval[number]
        cells[f"success, %: episode {number + 1}"] = percent(rate, interval)
    for name, medians in result.metric_medians.items():
        metric = describe_metric(name)
        unit = f", {metric.unit}" if metric.unit else ""
        cells[f"{metric.label}{unit} (median)"] = metric.show(medians[-1])
    last = result.returns[-1]
    cells["return"] = UNKNOWN if last is None else f"{last:.2f}"
    return cells


def _estimate(estimate: Estimate | None) -> str:
    """A difference of returns with its interval, and of success with McNemar's p."""
    if estimate is None or estimate.value is None:
        return UNKNOWN
    text = f"{estimate.value:+.2f}"
    if estimate.interval is not None:
        low, high = estimate.interval
        text += f" [{low:+.2f}, {high:+.2f}]"
    text += f"; success {100 * estimate.success:+.0f} %"
    if estimate.mcnemar_p is not None:
        text += f", {_p_value(estimate.mcnemar_p)}"
    return text


def _p_value(p: float) -> str:
    return f"p < {SMALLEST_P}" if p < SMALLEST_P else f"p = {p:.2g}"


def _gap(gap: GapClosed) -> str:
    """The share in percent; a dash if there is none, and a note gives the reason."""
    if gap.value is None:
        return UNKNOWN
    return percent(gap.value, gap.interval)


def summary_rows(
    engine: EngineResults, family: str, missing: frozenset[str], older: frozenset[str]
) -> list[Row]:
    """Success in the last episode of every method and its references.

    Args:
        engine: the results.
        family: they are of.
        missing: methods with a missing or unfinished training. Their rows are marked, and so are
            those that are compared with them.
        older: methods of which a training is of earlier code or settings; marked likewise.
    """
    rows = []
    for one in engine.methods:
        if one.method in REFERENCES:
            continue
        results = one.comparison
        compared = (one.method, *REFERENCES)
        words = [f"`{one.method}`"]
        if missing.intersection(compared):
            words.append(MISSING_MARK)
        if older.intersection(compared):
            words.append(OLDER_MARK)
        row = {"family": f"`{family}`", "method": " ".join(words)}
        row["seeds"] = str(results.seeds)
        row["blind"] = _last_success(results.blind)
        row["no adaptation"] = _last_success(results.no_adaptation)
        row["adapted"] = percent(results.adapted.success[-1], results.adapted.success_interval[-1])
        row["oracle"] = _last_success(results.oracle)
        rows.append(row)
    return rows


def best_row(rows: Sequence[Row]) -> Row:
    """The row of a summary with the highest adapted success; the first of equal ones."""
    return max(rows, key=lambda row: float(row["adapted"].split()[0]))


def _last_success(result: PolicyResult | None) -> str:
    return UNKNOWN if result is None else f"{100 * result.success[-1]:.0f}"


def budget_rows(statuses: Sequence[CellStatus]) -> list[Row]:
    """The budgets of the trainings of each method, as means over seeds."""
    rows = []
    for method, results in methods_of(statuses).items():
        steps = np.mean([result.steps for result in results])
        gradient_steps = np.mean([result.gradient_steps for result in results])
        minutes = np.mean([result.seconds for result in results]) / 60
        rows.append(
            {
                "method": f"`{method}`",
                "seeds": _seeds(results),
                "environment steps": f"{steps:,.0f}",
                "gradient steps": f"{gradient_steps:,.0f}",
                "CPU minutes": _cpu_minutes(results),
                "minutes": f"{minutes:.1f}",
            }
        )
    return rows


def _cpu_minutes(results: Sequence[CellResult]) -> str:
    """The mean over the trainings for which it was measured."""
    seconds = [result.cpu_seconds for result in results if result.cpu_seconds is not None]
    return f"{np.mean(seconds) / 60:.1f}" if seconds else UNKNOWN


def _seeds(results: Sequence[CellResult]) -> str:
    return ", ".join(str(result.cell.training.seed) for result in results)


def cell_rows(statuses: Sequence[CellStatus], machines: Mapping[str, int]) -> list[Row]:
    """A row for each cell: the origin of its numbers.

    Args:
        statuses: the cells.
        machines: number of each machine, by its description.
    """
    rows = []
    for status in statuses:
        result = status.result
        if result is None:
            continue
        commit = result.commit or "unknown"
        rows.append(
            {
                "cell": f"`{status.cell.name}`",
                "environment steps": f"{result.steps:,}",
                "gradient steps": f"{result.gradient_steps:,}",
                "CPU minutes": _cpu_minutes([result]),
                "minutes": f"{result.seconds / 60:.1f}",
                "commit": f"`{commit[:COMMIT_LENGTH]}`",
                "hash": f"`{result.hash}`",
                "machine": str(machines[describe_machine(result)]),
            }
        )
    return rows


def describe_machine(result: CellResult) -> str:
    """The machine and the versions that a result was computed with, as one line."""
    machine = result.machine
    versions = [f"{name} {version}" for name, version in result.fingerprint.versions.items()]
    parts = [
        machine.processor,
        f"{machine.cores} cores",
        machine.system,
        f"Python {machine.python}",
        *versions,
    ]
    return ", ".join(parts)
