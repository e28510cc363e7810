"""What a page and a summary already say of families, where fewer results are at hand now.

Results are large files and may be gone, or lie on another machine. A page that is written without
them keeps its sections on their families, and a summary its rows.
"""

import re
from pathlib import Path

KEPT = "*Of an earlier page: not all of its results are at hand.*"
MACHINES = "Machines"  # heading of the last section
HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)
NUMBERED = re.compile(r"^\d+\. (.+)$", re.MULTILINE)
TRAINING = re.compile(r"^\| `\S+-\d+` \|", re.MULTILINE)  # METHOD-FAMILY-SEED, in a table's row
FAMILY = re.compile(r"^\| `([^`]+)` \|")


def earlier_sections(page: Path) -> dict[str, str]:
    """The sections of a page that were not made anew, without their headings, by family."""
    return {name: text for name, text in _sections(page).items() if KEPT in text}


def richer_section(page: Path, family: str, results: int) -> str | None:
    """A page's section on a family if it is of more trainings than there are ``results``.

    Returns:
        The section without its heading; it says that it is an earlier one.
    """
    text = _sections(page).get(family, "")
    if len(TRAINING.findall(text)) <= results:
        return None
    body = text.replace(KEPT, "").strip()
    return f"{KEPT}\n\n{body}\n"


def earlier_machines(page: Path) -> list[str]:
    """The machines that a page lists, in the order of their numbers, from 1."""
    return NUMBERED.findall(_sections(page).get(MACHINES, ""))


def _sections(page: Path) -> dict[str, str]:
    """The text below each heading of the second level; none of a page that cannot be read."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    # the text before the first heading, then headings and texts in turn
    _, *parts = HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


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
