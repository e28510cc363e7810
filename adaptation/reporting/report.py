"""One self-contained HTML page of a run or a trial: it needs neither a network nor a server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jinja2
import msgspec

from adaptation.reporting.figures import COLORS, LABELS, heldout_curve, learning_curve
from adaptation.reporting.trial_page import TrialHeader, find_run, read_header, trial_context
from adaptation.runs.files import replace_file
from adaptation.runs.log import read_log
from adaptation.runs.records import REFERENCES, HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from robots.errors import BadArgumentError

TEMPLATES = Path(__file__).parent / "templates"
UNKNOWN = "–"

Line = TypeVar("Line", bound=msgspec.Struct)  # of a log


def write_report(folder: Path, out: Path) -> Path:
    """Write the page of a run folder or a trial folder to ``out``.

    Returns:
        ``out``.

    Raises:
        BadArgumentError: the folder is neither, or holds a trial that has not ended.
    """
    page: dict[str, Any] = {"title": folder.name, "colors": COLORS, "labels": LABELS}
    if (folder / "trial.json").exists():
        header = read_header(folder)
        page |= trial_context(folder, header)
        run = find_run(folder, header)
        page |= no_run_context(header) if run is None else run_context(run)
    elif (folder / "config.json").exists():
        page |= run_context(folder)
    else:
        raise BadArgumentError(
            f"{folder} holds neither a run (config.json) nor a trial (trial.json)"
        )
    template = _environment().get_template("report.html")
    replace_file(out, template.render(page).encode())
    return out


def no_run_context(header: TrialHeader) -> dict[str, Any]:
    """What the page shows where the trial's run is gone, or was trained further."""
    context: dict[str, Any] = {"run": header.run, "config": None, "trained": {}}
    context |= {"learning": None, "heldout": None}
    context["run_note"] = "Its training is not shown: the run is gone, or has other weights by now."
    return context


def run_context(path: Path) -> dict[str, Any]:
    """What the page shows of a run."""
    context: dict[str, Any] = {"run": path.name, "config": None, "trained": {}}
    context |= {"learning": None, "heldout": None}
    run = Run.open(path)
    logs = _read_logs(run, Run.log_path, TrainProgress)
    heldout = _read_logs(run, Run.heldout_path, HeldoutProgress)
    context["run_config"] = run.config
    context["config"] = (path / "config.json").read_text(encoding="utf-8")
    context["trained"] = {policy: log[-1] for policy, log in logs.items()}
    if logs:
        context["learning"] = learning_curve(logs)
    if heldout:
        context["heldout"] = heldout_curve(heldout)
    return context


def _read_logs(
    run: Run, path_of: Callable[[Run, str], Path], kind: type[Line]
) -> dict[str, list[Line]]:
    """The lines of a log of every policy that was trained, by the policy's name."""
    logs = {"adapted": read_log(path_of(run, "method"), kind)}
    for reference in REFERENCES:
        logs[reference] = read_log(path_of(run, reference), kind)
    return {policy: log for policy, log in logs.items() if log}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = _format_number
    environment.filters["signed"] = _format_signed
    environment.filters["percent"] = _format_percent
    environment.filters["pvalue"] = _format_p_value
    return environment


def _format_number(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _format_signed(value: float | None, digits: int = 2) -> str:
    return UNKNOWN if value is None else f"{value:+.{digits}f}"


def _format_p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def _format_percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f}"
