"""What commands share: an option of theirs all, and how arguments are checked."""

import json
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from robots.errors import BadArgumentError
from robots.registry import Registry

Json = Annotated[bool, arg(name="json", help="Print one JSON object as the last line.")]
Pairs = Annotated[tuple[str, ...], UseAppendAction]  # NAME=VALUE, the option again for each


def known(table: Registry, name: str) -> None:
    """Refuse a name that is not in a registry, naming what is."""
    if name not in table:
        raise BadArgumentError(
            f"no {table.kind} named {name!r}; there are: {', '.join(sorted(table))}"
        )


def positive(**numbers: float | None) -> None:
    """Refuse a number that is not above zero."""
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise BadArgumentError(f"--{name.replace('_', '-')} must be above 0, got {value}")


def named_values(option: str, pairs: tuple[str, ...]) -> dict[str, Any]:
    """What an option was given as NAME=VALUE each, a value read as JSON where it is some."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadArgumentError(f"{option} takes NAME=VALUE, got {pair!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            found[name] = value
    return found
