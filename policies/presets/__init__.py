"""Tuned settings as data: FAMILY.toml has a table ``[METHOD.BUDGET]`` of each method tuned for it.

``inherit = "FAMILY"`` at the head of a file: every table starts from that family's table.
``inherit = "METHOD"`` in a table: it starts from the table of that method, same family and budget.
What no table sets follows from the problem (``Config.for_problem``).
"""

import tomllib
from importlib.resources import files
from typing import Any

from robots.errors import BadArgumentError

BUDGETS = ("cpu", "paper")  # minutes on a few CPU cores; the numbers of the method's paper
INHERIT = "inherit"


def load_preset(
    method: str,
    family: str,
    budget: str = "cpu",
) -> dict[str, Any] | None:
    """Settings of a method on a family, nested as its config is; None where it was not tuned.

    Raises:
        BadArgumentError: there is no such budget.
    """
    if budget not in BUDGETS:
        raise BadArgumentError(f"no preset named {budget!r}; there are: {', '.join(BUDGETS)}")
    tables = _read_tables(family)
    budgets = tables.get(method, {})
    if budget not in budgets:
        return None
    return _resolve(budgets[budget], tables, budget)


def _read_tables(family: str) -> dict[str, Any]:
    """The tables of a family by method and budget; none where the family has no file."""
    file = files(__name__) / f"{family}.toml"
    if not file.is_file():
        return {}
    own = tomllib.loads(file.read_text(encoding="utf-8"))
    parent = own.pop(INHERIT, None)
    tables = {} if parent is None else _read_tables(parent)
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
