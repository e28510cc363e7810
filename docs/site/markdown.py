"""Markdown from data."""

from collections.abc import Mapping, Sequence


def join_lines(*parts: str) -> str:
    """Paragraphs, headings and tables, with an empty line between two of them."""
    return "\n\n".join(part for part in parts if part) + "\n"


def bullets(texts: Mapping[str, str]) -> str:
    """A list of texts, each with its title."""
    return "\n".join(f"- **{title}**: {text}" for title, text in texts.items())


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; a bar within a cell is escaped."""
    dashes = ["---"] * len(headings)
    return "\n".join(_row(cells) for cells in [headings, dashes, *rows])


def _row(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
