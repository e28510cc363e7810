"""One self-contained HTML page of a run or a trial: it needs neither a network nor a server."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jinja2
import msgspec

from adaptation.reporting.figures import COLORS, LABELS, heldout_curve, learning_curve, loss_curves
from adaptation.reporting.metrics import describe_metric
from adaptation.reporting.trial_page import TrialHeader, find_run, read_header, trial_context
from adaptation.reporting.words import UNKNOWN
from adaptation.runs import checkpoint
from adaptation.runs.files import check_writable, replace_file
from adaptation.runs.log import read_log
from adaptation.runs.range_settings import range_settings
from adaptation.runs.records import REFERENCES, HeldoutProgress, TrainProgress
from adaptation.runs.run import Run
from policies.settings import flatten
from robots.errors import BadArgumentError

TEMPLATES = Path(__file__).parent / "templates"

Line = TypeVar("Line", bound=msgspec.Struct)  # of a log


def write_report(folder: Path, out: Path) -> Path:
    """Write the page of a run folder or a trial folder to ``out``.

    Returns:
        ``out``.

    Raises:
        BadArgumentError: the folder is neither, or holds a trial that has not ended; or the page
            cannot be written, see ``check_writable``.
    """
    check_writable(out, (".html",))
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
    context = _empty_context(header.run)
    context["run_note"] = "Its training is not shown: the run is gone, or has other weights by now."
    return context


def run_context(path: Path) -> dict[str, Any]:
    """What the page shows of a run."""
    context = _empty_context(path.name)
    run = Run.open(path)
    logs = _read_logs(run, Run.log_path, TrainProgress)
    heldout = _read_logs(run, Run.heldout_path, HeldoutProgress)
    context["run_config"] = run.config
    context["config"] = (path / "config.json").read_text(encoding="utf-8")
    context["trained"] = {policy: log[-1] for policy, log in logs.items()}
    context["settings"] = run_settings(run)
    context["reward"] = inspect.getdoc(run.family.reward)
    if logs:
        context["learning"] = learning_curve(logs)
        context["losses"] = loss_curves(logs)
    if heldout:
        context["heldout"] = heldout_curve(heldout)
    if "adapted" in heldout:
        context["heldout_cards"] = heldout_cards(heldout["adapted"][-1])
    return context


def _empty_context(run: str) -> dict[str, Any]:
    """What the page shows of a run of which only the name is known."""
    context: dict[str, Any] = {"run": run, "config": None, "trained": {}}
    context |= {"learning": None, "heldout": None, "losses": None, "heldout_cards": []}
    return context


class Card(NamedTuple):
    """A number in large letters, and what it is."""

    number: str
    text: str
    detail: str = ""


def heldout_cards(last: HeldoutProgress) -> list[Card]:
    """Success, median metrics and return at the last evaluation on held-out tasks."""
    result = last.result
    interval = result.success_interval[-1]
    detail = ""
    if interval is not None:
        low, high = interval
        detail = f"95 %: {100 * low:.0f} to {100 * high:.0f} %"
    success = f"{100 * result.success[-1]:.0f} %"
    cards = [Card(success, "success on held-out tasks, in the last episode of a trial", detail)]
    for name, medians in result.metric_medians.items():
        metric = describe_metric(name)
        first = metric.show(medians[0])
        final = metric.show(medians[-1])
        number = f"{first} → {final} {metric.unit}"
        cards.append(Card(number, f"median {metric.label}, first to last episode"))
    returns = result.returns[-1]
    if returns is not None:
        cards.append(Card(f"{returns:+.2f}", "return in the last episode"))
    return cards


def run_settings(run: Run) -> dict[str, str]:
    """Every setting of the run's method by name, and the ranges that were changed."""
    config = run.config
    changes = config.settings
    resolved = checkpoint.method_config(config.method, run.family, config.preset, changes)
    values = flatten(msgspec.to_builtins(resolved)) | range_settings(changes)
    return {name: str(value) for name, value in values.items()}


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
