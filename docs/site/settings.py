"""A page for each method: every setting, its default, its presets, its range and its meaning."""

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

from adaptation.commands.listing import format_value
from adaptation.problem import problem_of
from docs.site.markdown import join_lines, table
from policies.fields import Field, config_in, declared_fields, describe_type
from policies.method import Problem
from policies.methods import METHODS
from policies.presets import BUDGETS, load_preset
from policies.settings import Configurable, default_values, list_settings
from sim.families import FAMILIES

HEADINGS = ("setting", "default", "for a family")
EXPLANATION = """\
Under each setting stand its meaning and, *in italics*, what it may be. *Default* is what the config
in the source has. *For a family* is what a training has instead, because its preset says so or
because it follows from the family's shapes and horizon. Where a family has no preset,
`pliant settings {method} --family FAMILY` shows what follows. `--set NAME=VALUE` changes any of
them."""
INTRODUCTION = """\
Every number of every method. `pliant settings METHOD --family FAMILY` prints those of one family,
and `pliant train METHOD --family FAMILY --set NAME=VALUE` changes them."""


@dataclass(frozen=True)
class Tuned:
    """A method's values for one family and budget that it has a preset for."""

    label: str
    values: dict[str, Any]  # by the setting's dotted name


def settings_index() -> str:
    """The page that leads to those of all methods."""
    links = [f"- [`{name}`]({name}.md): {_summary(name)}" for name in METHODS]
    return join_lines("# Settings", INTRODUCTION, "\n".join(links))


def settings_page(method: str) -> str:
    """The page of one method, as Markdown."""
    kind: type[Configurable] = METHODS[method].Config
    defaults = default_values(kind)
    tuned = tuned_values(method)
    rows = []
    for name, field in declared_fields(kind).items():
        rows.append(_row(name, field, defaults.get(name), tuned))
    labels = ", ".join(f"`{entry.label}`" for entry in tuned) or "no family"
    return join_lines(
        f"# {method}",
        _summary(method),
        f"[How it works, and when to choose it](../methods/{method}.md). Presets: {labels}.",
        EXPLANATION.format(method=method),
        table(HEADINGS, rows),
    )


def _summary(method: str) -> str:
    """What the file that holds a method says of it, and what its class says of its cost."""
    kind = METHODS[method]
    sentences = [_first_paragraph(inspect.getmodule(kind)), _first_paragraph(kind)]
    return " ".join(sentences)


def _first_paragraph(part: object) -> str:
    text = inspect.getdoc(part) or ""
    paragraph = text.split("\n\n")[0]
    return paragraph.replace("\n", " ").replace("``", "`")


@cache
def problem(family: str) -> Problem:
    """What a method is told of a family."""
    return problem_of(FAMILIES[family]())


def tuned_values(method: str) -> list[Tuned]:
    """The values of a method for each family that it is tuned for; budget cpu is not named."""
    kind: type[Configurable] = METHODS[method].Config
    found = []
    for family in FAMILIES:
        for budget in BUDGETS:
            preset = load_preset(method, family, budget)
            if preset is None:
                continue
            settings = list_settings(kind, problem(family), preset, {})
            values = {setting.name: setting.value for setting in settings}
            label = family if budget == BUDGETS[0] else f"{family}, {budget}"
            found.append(Tuned(label, values))
    return found


def _row(name: str, field: Field, default: object, tuned: list[Tuned]) -> tuple[str, ...]:
    """One setting as the cells of the table."""
    is_config = config_in(field.annotation) is not None  # one that may be left out as a whole
    allowed = "none, or the settings below" if is_config else describe_type(field.annotation)
    unit = f" [{field.unit}]" if field.unit else ""
    description = f"`{name}`{unit}<br>{field.meaning}<br>*{allowed}*"
    absent = "the settings below" if is_config else default
    values = {entry.label: entry.values.get(name, absent) for entry in tuned}
    return (
        description,
        f"`{format_value(default)}`",
        _differing(values, default),
    )


def _differing(values: dict[str, object], default: object) -> str:
    """The values that are not the default, each once with the families that have it."""
    labels: dict[str, list[str]] = {}  # of families, by value
    for label, value in values.items():
        if value != default:
            shown = format_value(value)
            labels.setdefault(shown, []).append(label)
    lines = []
    for shown, families in labels.items():
        names = ", ".join(families)
        lines.append(f"`{shown}`: {names}")
    return "<br>".join(lines)
