"""The page of a suite's results, with its figures; made from the cells' ``result.json`` alone."""

import os
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import jinja2

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.cell_records import Cell
from adaptation.reporting.bench_figures import draw_family
from adaptation.reporting.bench_results import (
    EngineResults,
    engine_results,
    engines_of,
    families_of,
    methods_of,
)
from adaptation.reporting.bench_tables import (
    MISSING_MARK,
    OLDER_MARK,
    Row,
    best_row,
    budget_rows,
    cell_rows,
    describe_machine,
    markdown_table,
    result_rows,
    summary_rows,
)
from adaptation.reporting.curves import method_styles
from adaptation.reporting.earlier_page import (
    KEPT,
    MACHINES,
    count_trainings,
    earlier_rows,
    listed_machines,
    mark_as_earlier,
    read_sections,
)
from adaptation.runs.files import replace_file
from adaptation.runs.records import REFERENCES
from adaptation.suites import Suite
from robots.errors import BadArgumentError

TEMPLATES = Path(__file__).parent / "templates"
BEGIN = "<!-- results: written by `make results` -->\n"
END = "<!-- /results -->"
FOOTNOTES = {
    MISSING_MARK: "\\* A training of the method, or of blind or oracle, is missing or unfinished.",
    OLDER_MARK: "† One of them is of earlier code or settings; the results page names its commit.",
}


def write_page(
    name: str,
    suite: Suite,
    statuses: Sequence[CellStatus],
    page: Path,
    kept: Path | None = None,
) -> None:
    """Write the page, and its figures into a folder of the same name next to it.

    An existing section of the page is kept if it has more trainings than there are results now.

    Args:
        name: of the suite, as the user gave it.
        suite: its content.
        statuses: what is known of its cells.
        page: a Markdown file; it is replaced.
        kept: folder of the results that are kept with the code, for the command on the page.
    """
    figures = page.with_suffix("")
    figures.mkdir(parents=True, exist_ok=True)
    earlier = read_sections(page)
    machines = _number_machines(statuses, listed_machines(earlier.get(MACHINES, "")))
    # A method has the same color in all figures.
    styles = method_styles([status.cell.training.method for status in statuses])
    sections: list[dict[str, Any]] = []
    for family, cells in families_of(statuses).items():
        results = sum(1 for status in cells if status.result is not None)
        earlier_section = earlier.get(family, "")
        if count_trainings(earlier_section) > results:
            sections.append({"name": family, "earlier": mark_as_earlier(earlier_section)})
            continue
        engines = [engine_results(cells, engine) for engine in engines_of(cells)]
        section = _family_section(family, cells, engines)
        section["tasks"] = suite.families[family].tasks
        section["cells"] = markdown_table(cell_rows(cells, machines))
        section["figures"] = draw_family(family, cells, engines, figures, styles)
        sections.append(section)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template("bench.md").render(
        suite=name,
        path=_portable(page),
        kept=None if kept is None else _portable(kept),
        folder=figures.name,
        finished=sum(1 for status in statuses if status.result is not None),
        cells=len(statuses),
        families=sections,
        machines=list(machines),
    )
    replace_file(page, text.encode())


def _portable(path: Path) -> str:
    """A path as it may stand on a page: without the folders of this machine."""
    return path.name if path.is_absolute() else path.as_posix()


def _family_section(
    family: str, cells: Sequence[CellStatus], engines: Sequence[EngineResults]
) -> dict[str, Any]:
    """What the template shows of a family."""
    tables = {one.engine: markdown_table(result_rows(one)) for one in engines}
    notes = [note for one in engines for note in _notes(one)]
    notes += _reference_notes(cells)
    notes += cell_notes(cells, attrgetter("name"))
    return {
        "name": family,
        "earlier": None,
        "tables": tables,
        "budgets": markdown_table(budget_rows(cells)),
        "notes": notes,
    }


def _notes(results: EngineResults) -> list[str]:
    """What could not be compared, and why a method has no share of the gap."""
    notes = [f"{results.engine}: {note}" for note in results.notes]
    for one in results.methods:
        for role, seeds in one.missing.items():
            names = ", ".join(str(seed) for seed in seeds)
            notes.append(
                f"{results.engine}, `{one.method}`: not compared with `{role}`, which has no result"
                f" for seed {names}."
            )
        if one.missing:  # the reason why there is no share of the gap
            continue
        note = one.comparison.gap_closed.note
        if note is not None and one.method not in REFERENCES:
            notes.append(f"{results.engine}, `{one.method}`: no share of the gap: {note}.")
    return notes


def _reference_notes(cells: Sequence[CellStatus]) -> list[str]:
    """References of which a training took fewer steps than one of a method beside them."""
    methods = methods_of(cells)
    environment_steps = {}
    gradient_steps = {}
    for method, results in methods.items():
        environment_steps[method] = [one.steps for one in results]
        gradient_steps[method] = [one.gradient_steps for one in results]
    notes = _shorter_references("environment steps", environment_steps)
    return notes + _shorter_references("gradient steps", gradient_steps)


def _shorter_references(unit: str, steps: Mapping[str, Sequence[int]]) -> list[str]:
    """Notes on references whose shortest training is shorter than the longest of a method.

    Args:
        unit: what is counted.
        steps: of each training of a method, by the method's name.
    """
    notes = []
    for role in REFERENCES:
        if role not in steps:
            continue
        least = min(steps[role])
        longer = []
        for method, own in steps.items():
            if method not in REFERENCES and max(own) > least:
                longer.append(f"`{method}`")
        if longer:
            notes.append(f"`{role}` took fewer {unit} than {', '.join(longer)}.")
    return notes


def cell_notes(cells: Sequence[CellStatus], name_of: Callable[[Cell], str]) -> list[str]:
    """Cells without a result or with one of other code, and engines that were left out."""
    names: dict[str, list[str]] = {}  # of the cells that each note is about
    for status in cells:
        for note in _problems(status):
            names.setdefault(note, []).append(f"`{name_of(status.cell)}`")
    return [f"{note}: {', '.join(about)}." for note, about in names.items()]


def _problems(status: CellStatus) -> list[str]:
    """What is to be said of a cell before its name."""
    if status.error is not None:
        return [f"Failed ({status.error.strip().splitlines()[-1]})"]
    result = status.result
    if result is None:
        return ["Not trained yet"]
    problems = list(result.notes)
    if not result.is_finished:
        problems.append("Judged before the end of the training")
    if not status.is_of_this_code:
        problems.append("Trained by other code or versions than those that wrote this page")
    return problems


def _number_machines(statuses: Sequence[CellStatus], earlier: Sequence[str]) -> dict[str, int]:
    """The machines that results come from, numbered from 1; first those of the earlier page."""
    machines = {machine: number for number, machine in enumerate(earlier, start=1)}
    for status in statuses:
        if status.result is not None:
            machines.setdefault(describe_machine(status.result), len(machines) + 1)
    return machines


def write_summary(statuses: Sequence[CellStatus], page: Path, readme: Path) -> None:
    """Write success in the last episode between the marks in a file, of each family's best method.

    Where the page has kept an earlier section on a family, its row is kept too.

    Raises:
        BadArgumentError: see ``check_marks``.
    """
    text = check_marks(readme)
    before, rest = text.split(BEGIN)
    summary, after = rest.split(END)
    sections = read_sections(page)
    rows = []
    for family, cells in families_of(statuses).items():
        if KEPT in sections.get(family, ""):
            of_family = earlier_rows(summary, family)
        else:
            of_family = _family_rows(family, cells)
        if of_family:
            rows.append(best_row(of_family))
    link = Path(os.path.relpath(page, readme.parent)).as_posix()
    title = "Success (%) in the last episode, on held-out tasks, of the most successful method on"
    title += f" each family\n([all methods]({link})). The best of several is flattered by chance:"
    summary = f"{title}\n\n{markdown_table(rows)}"
    for mark, footnote in FOOTNOTES.items():
        if any(mark in row["method"] for row in rows):
            summary += f"\n{footnote}\n"
    replace_file(readme, (before + BEGIN + summary + END + after).encode())


def _family_rows(family: str, cells: Sequence[CellStatus]) -> list[Row]:
    """The summary's rows of all methods on a family, in its first engine."""
    missing = {one.cell.training.method for one in cells if not _is_finished(one)}
    older = {one.cell.training.method for one in cells if _is_older(one)}
    rows = []
    for engine in engines_of(cells)[:1]:
        results = engine_results(cells, engine)
        rows += summary_rows(results, family, frozenset(missing), frozenset(older))
    return rows


def _is_finished(status: CellStatus) -> bool:
    """Whether a cell has a result of a whole training, by this code or by earlier code."""
    return status.result is not None and status.result.is_finished


def _is_older(status: CellStatus) -> bool:
    """Whether a cell has a result of a whole training by earlier code or settings."""
    return _is_finished(status) and not status.is_current


def check_marks(readme: Path) -> str:
    """The text of a file that has the marks between which a summary is written.

    Raises:
        BadArgumentError: it cannot be read, or has no such marks.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgumentError(f"{readme} cannot be read: {error}") from error
    if BEGIN not in text or END not in text:
        raise BadArgumentError(f"{readme} has no marks {BEGIN.strip()} and {END}")
    return text
