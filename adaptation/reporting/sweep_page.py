"""The results of a sweep: a row group for each point of the grid, and the best with its lead."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.grid import describe_cell
from adaptation.reporting.bench_page import cell_notes
from adaptation.reporting.bench_results import (
    MethodResults,
    engine_results,
    engines_of,
    families_of,
)
from adaptation.reporting.bench_tables import Row, markdown_table, result_rows
from adaptation.reporting.statistics import compare_seeds
from adaptation.reporting.words import UNKNOWN
from adaptation.runs.files import replace_file
from adaptation.runs.records import REFERENCES
from robots.errors import BadArgumentError

NEXT = "next"  # name of the second best point beside the best, where they are compared
CAUTION = (
    "The best of several points is flattered by chance, the more so the more points there are: "
    "train it again with other seeds (`--seeds`) before its numbers are relied on."
)


@dataclass(frozen=True)
class PointStatuses:
    """What is known of the cells of one point of a grid."""

    name: str  # the point in words
    statuses: list[CellStatus]


def write_sweep_page(
    command: str,
    points: Sequence[PointStatuses],
    references: Sequence[CellStatus],
    page: Path,
) -> None:
    """Write the tables of a sweep as a Markdown page; see ``sweep_tables``."""
    head = (
        "# Sweep\n\nWritten by `pliant bench`; no number is typed by hand. This command trains what"
        f" is missing and writes the page again:\n\n    {command}\n\n"
    )
    replace_file(page, (head + sweep_tables(points, references)).encode())


def sweep_tables(points: Sequence[PointStatuses], references: Sequence[CellStatus]) -> str:
    """The results of a sweep as Markdown, family by family and engine by engine.

    Args:
        points: the points of the grid, in its order.
        references: blind and oracle of the same suite, if the grid does not vary them: every point
            is compared with them.
    """
    every = [status for point in points for status in point.statuses]
    parts = []
    for family, statuses in families_of(every).items():
        parts.append(f"## {family}\n")
        own = [_of_family(point, family) for point in points]
        shared = [one for one in references if one.cell.training.family == family]
        for engine in engines_of(statuses):
            tasks = statuses[0].cell.judging.tasks
            parts.append(f"{tasks} held-out tasks, judged in `{engine}`:\n")
            parts += _engine_parts(own, shared, engine)
        notes = cell_notes(statuses, describe_cell)
        if notes:
            parts.append("".join(f"- {note}\n" for note in notes))
    return "\n".join([*parts, f"{CAUTION}\n"])


def _of_family(point: PointStatuses, family: str) -> PointStatuses:
    own = [status for status in point.statuses if status.cell.training.family == family]
    return PointStatuses(point.name, own)


def _engine_parts(
    points: Sequence[PointStatuses], references: Sequence[CellStatus], engine: str
) -> list[str]:
    """The table of one family in one engine, and the best point of each method."""
    rows: list[Row] = []
    by_method: dict[str, dict[str, MethodResults]] = {}  # then by point
    notes = []
    varied = {status.cell.training.method for point in points for status in point.statuses}
    for point in points:
        results = engine_results([*point.statuses, *references], engine)
        notes += [f"- `{point.name}`: {note}\n" for note in results.notes]
        for one, row in zip(results.methods, result_rows(results), strict=True):
            if one.method in varied:
                rows.append({"point": f"`{point.name}`"} | row)
                by_method.setdefault(one.method, {})[point.name] = one
    best = [_describe_best(method, found) for method, found in by_method.items()]
    return [markdown_table(_known_columns(rows)), *notes, *[f"{text}\n" for text in best if text]]


def _known_columns(rows: Sequence[Row]) -> list[Row]:
    """The rows without columns in which nothing is known, such as a difference to no reference."""
    known = {name for row in rows for name, text in row.items() if text != UNKNOWN}
    return [{name: text for name, text in row.items() if name in known} for row in rows]


def _describe_best(method: str, points: dict[str, MethodResults]) -> str:
    """The point with the highest return in the last episode, with its lead on the next.

    A best point is named only together with the interval of its lead: without one there is none.
    """
    returns = {}
    for name, one in points.items():
        last = one.comparison.adapted.returns[-1]
        if last is not None:
            returns[name] = last
    if len(returns) < 2:
        return ""
    first, second, *_ = sorted(returns, key=returns.__getitem__, reverse=True)
    lead = _lead(points[first], points[second])
    if lead is None:
        return f"No best point of `{method}` is named: there is no interval of its lead."
    value, low, high = lead
    text = (
        f"Best for `{method}` by return: `{first}`, {returns[first]:.2f}, ahead of the next,"
        f" `{second}`, by {value:+.2f} [{low:+.2f}, {high:+.2f}]."
    )
    if low <= 0:
        text += " The interval holds 0: the two cannot be told apart."
    return text


def _lead(best: MethodResults, other: MethodResults) -> tuple[float, float, float] | None:
    """The difference of returns with its interval, paired by task and seed; None without one."""
    adapted = dict(zip(best.seeds, best.trainings, strict=True))
    others = dict(zip(other.seeds, other.trainings, strict=True))
    common = [seed for seed in adapted if seed in others]
    pairs = []
    for seed in common:
        pairs.append({"adapted": adapted[seed]["adapted"], NEXT: others[seed]["adapted"]})
    try:
        estimate = compare_seeds(pairs).over_rivals[NEXT]
    except BadArgumentError:  # no common seed, or judged on other tasks by other code
        return None
    if estimate.value is None or estimate.interval is None:
        return None
    return (estimate.value, *estimate.interval)


def unvaried_references(suite: Sequence[CellStatus], varied: Collection[str]) -> list[CellStatus]:
    """The results of blind and oracle that a sweep shares: of those that it does not vary."""
    roles = [role for role in REFERENCES if role not in varied]
    return [status for status in suite if status.cell.training.method in roles]
