"""Reads an existing page and its summary, to keep what the present results do not cover.

Result files are large, and may be gone or on another machine. A page that is written without them
keeps its sections on their families, and a summary keeps its rows.
"""

import re
from pathlib import Path

import msgspec

from adaptation.reporting.words import UNKNOWN
from adaptation.runs.records import REFERENCES, Interval
from robots.errors import DamagedError

KEPT = "*Of an earlier page: not all of its results are at hand.*"
MACHINES = "Machines"  # heading of the last section
HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)
NUMBERED = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
TRAINING = re.compile(r"^\| `\S+-\d+` \|", re.MULTILINE)  # METHOD-FAMILY-SEED, in a table's row
FAMILY = re.compile(r"^\| `([^`]+)` \|")
# the engine and the table of results in it
JUDGED = re.compile(r"judged in `([^`]+)`:\n\n((?:\|.*\n)+)")
RATE = re.compile(r"(\d+)(?: \[(\d+), (\d+)\])?")  # percent, with its interval


class ReferenceRow(msgspec.Struct, frozen=True):
    """The result of blind or oracle in the last episode, as read from a page."""

    seeds: int
    success: float  # rate in [0, 1], in whole percent
    interval: Interval | None
    metric: str  # such as "distance, cm (median)"
    value: float | None


def read_sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level; none of a page that cannot be read."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    # the text before the first heading, then headings and texts in turn
    _, *parts = HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def count_trainings(section: str) -> int:
    """How many trainings a section on a family is of."""
    return len(TRAINING.findall(section))


def mark_as_earlier(section: str) -> str:
    """A section without its heading, marked once as one of an earlier page."""
    body = section.replace(KEPT, "").strip()
    return f"{KEPT}\n\n{body}\n"


def listed_machines(section: str) -> list[str]:
    """The machines that a page's last section lists, in the order of their numbers, from 1."""
    return NUMBERED.findall(section)


def earlier_rows(summary: str, family: str) -> list[dict[str, str]]:
    """The rows of a summary's table on a family, by column.

    Args:
        summary: Markdown with one table, whose first column names the family.
        family: whose rows are asked for.
    """
    lines = [line for line in summary.splitlines() if line.startswith("|")]
    rows = []
    for line in lines:
        found = FAMILY.match(line)
        if found is not None and found[1] == family:
            rows.append(dict(zip(_cells(lines[0]), _cells(line), strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def reference_rows(section: str) -> tuple[str | None, dict[str, ReferenceRow]]:
    """The references' results in the first engine that a section has a table of.

    Args:
        section: of a family, as ``read_sections`` gives it.

    Returns:
        The engine, and the rows by reference; None and no rows where there is no such table.

    Raises:
        DamagedError: the table is not as ``pliant bench`` writes it.
    """
    found = JUDGED.search(section)
    if found is None:
        return None, {}
    header, _, *lines = found[2].splitlines()
    rows = {}
    try:
        for line in lines:
            row = dict(zip(_cells(header), _cells(line), strict=True))
            method = row["method"].strip("`")
            if method in REFERENCES:
                rows[method] = _reference_row(row)
    except (KeyError, ValueError) as error:
        raise DamagedError(f"a table of results cannot be read: {error}") from error
    return found[1], rows


def _reference_row(row: dict[str, str]) -> ReferenceRow:
    """A row of a table of results; ValueError if it has no success or no metric."""
    *_, last_success = [cell for name, cell in row.items() if name.startswith("success")]
    metric, *_ = [name for name in row if name.endswith("(median)")]
    rate = RATE.fullmatch(last_success)
    if rate is None:
        raise ValueError(f"{last_success!r} is no success rate")
    percent, low, high = rate.groups()
    value = row[metric]
    return ReferenceRow(
        seeds=int(row["seeds"]),
        success=int(percent) / 100,
        interval=None if low is None else (int(low) / 100, int(high) / 100),
        metric=metric,
        value=None if value == UNKNOWN else float(value),
    )
