"""Tuned settings as data: FAMILY.toml has a table ``[METHOD.BUDGET]`` of each method tuned for it.

Families with a slash in their name share the file of what stands before it: ``metaworld.toml``.
``inherit = "FAMILY"`` at the head of a file: every table starts from that family's table.
``inherit = "METHOD"`` in a table: it starts from the table of that method, same family and budget.
Settings that no table sets are derived from the problem (``Config.for_problem``).

Another package can provide FAMILY.toml by an entry point of the group ``pliant.presets``: its name
is the family's, its value the package that contains the file.
"""

import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from robots.errors import BadArgumentError

BUDGETS = ("cpu", "paper")  # minutes on a few CPU cores; the numbers of the method's paper
INHERIT = "inherit"
SUFFIX = ".toml"
GROUP = "pliant.presets"  # entry points of other packages


def load_preset(
    method: str,
    family: str,
    budget: str = "cpu",
) -> dict[str, Any] | None:
    """Settings of a method on a family, nested like its config; None if it was not tuned.

    Raises:
        BadArgumentError: there is no such budget.
    """
    if budget not in BUDGETS:
        allowed = f"{', '.join(BUDGETS)}, and files that end in {SUFFIX}"
        raise BadArgumentError(f"no preset named {budget!r}; there are: {allowed}")
    file = _find_file(family)
    if file is None:
        return None
    tables = _read_tables(file)
    budgets = tables.get(method, {})
    if budget not in budgets:
        return None
    return _resolve(budgets[budget], tables, budget)


def resolve_preset(
    method: str,
    preset: str,
    changes: dict[str, Any],
) -> tuple[str, dict[str, Any]]:
    """The budget and the changes to it that a user's choice of preset stands for.

    Args:
        method: the method's name.
        preset: a budget, or the path of a file like FAMILY.toml, which changes budget cpu.
        changes: further changes by dotted name; they win over the file.

    Raises:
        BadArgumentError: the file cannot be read, or has no table for the method.
    """
    if not preset.endswith(SUFFIX):
        return preset, changes
    file = Path(preset)
    if not file.is_file():
        raise BadArgumentError(f"no preset file {file}")
    budget = BUDGETS[0]
    tables = _read_tables(file)
    if budget not in tables.get(method, {}):
        known = ", ".join(f"[{name}.{budget}]" for name in tables if budget in tables[name])
        raise BadArgumentError(f"{file} has no table [{method}.{budget}]; it has: {known}")
    table = _resolve(tables[method][budget], tables, budget)
    return budget, {**table, **changes}


def _parse(file: Traversable) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no TOML
        raise BadArgumentError(f"preset file {file}: {error}") from error


def _find_file(family: str) -> Traversable | None:
    """The file of a family: Pliant's own, else that of an installed package."""
    family = family.partition("/")[0]
    own = files(__name__) / f"{family}{SUFFIX}"
    if own.is_file():
        return own
    for point in entry_points(group=GROUP, name=family):
        return files(point.value) / f"{family}{SUFFIX}"
    return None


def _read_tables(file: Traversable) -> dict[str, Any]:
    """The tables of a file by method and budget, with those of the family that it inherits from.

    Raises:
        BadArgumentError: it cannot be read, or inherits from a family without a file.
    """
    own = _parse(file)
    tables: dict[str, Any] = {}
    if INHERIT in own:
        family = own.pop(INHERIT)
        parent = _find_file(family)
        if parent is None:
            raise BadArgumentError(f"{file} inherits from {family!r}, which has no presets")
        tables = _read_tables(parent)
    for method, budgets in own.items():
        inherited = tables.setdefault(method, {})
        for budget, table in budgets.items():
            inherited[budget] = {**inherited.get(budget, {}), **table}
    return tables


def _resolve(
    table: dict[str, Any],
    tables: dict[str, Any],
    budget: str,
) -> dict[str, Any]:
    """A table, and the tables within it, with the settings that each inherits."""
    resolved: dict[str, Any] = {}
    if INHERIT in table:
        parent = tables[table[INHERIT]]
        resolved = _resolve(parent[budget], tables, budget)
    for name, value in table.items():
        if isinstance(value, dict):
            resolved[name] = _resolve(value, tables, budget)
        elif name != INHERIT:
            resolved[name] = value
    return resolved
