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
    """A section, without its heading, that says once that it is an earlier one."""
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
