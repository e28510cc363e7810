"""The config that a checkpoint records, also where the method has got new settings since."""

import sys
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import msgspec

from policies.settings import flatten

C = TypeVar("C")


def read_config(recorded: dict[str, Any], kind: type[C]) -> C:
    """The config of a method; a setting that is not recorded has its default.

    Raises:
        msgspec.ValidationError: a value is not of its setting's type.
    """
    return _complete(msgspec.convert(recorded, kind))


def _complete(config: C) -> C:
    """The config with every field set on it; msgspec leaves out those that it was not given."""
    values: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        values[field.name] = _complete(value) if is_dataclass(value) else value
    return type(config)(**values)


def with_added(recorded: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    """A recorded config with the settings that only the present one has."""
    completed = dict(present)
    for name, value in recorded.items():
        now = present.get(name)
        if isinstance(value, dict) and isinstance(now, dict):
            value = with_added(value, now)
        completed[name] = value
    return completed


def report_added(recorded: dict[str, Any], config: Any, origin: str) -> None:
    """A note on standard error that names the settings that are not recorded, if there are any."""
    known = flatten(recorded)
    added = {name: value for name, value in flatten(config).items() if name not in known}
    if added:
        values = ", ".join(f"{name}={value}" for name, value in added.items())
        print(f"pliant: note: {origin}: from before these settings: {values}", file=sys.stderr)
