"""The settings that change a family's ranges, apart from those that change a method's config."""

from collections.abc import Mapping
from typing import Any

from robots.errors import BadArgumentError
from sim.randomization import PREFIX

NumbersByName = dict[str, tuple[float, ...]]


def split_ranges(settings: Mapping[str, Any]) -> tuple[NumbersByName, dict[str, Any]]:
    """The numbers of the ranges among settings, by name without the prefix; and the other settings.

    A range is given as ``"range.NAME"``, or in a table ``"range"`` as of a TOML file; as numbers,
    or as a text such as ``"0.05,0.2"``. Of two of the same name the later one counts.

    Raises:
        BadArgumentError: a range is not numbers.
    """
    ranges: NumbersByName = {}
    others = {}
    for name, value in settings.items():
        if name == PREFIX or name.startswith(f"{PREFIX}."):
            ranges.update(_read_ranges(name, value))
        else:
            others[name] = value
    return ranges, others


def range_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The ranges among settings as settings, by name with the prefix."""
    return {f"{PREFIX}.{name}": numbers for name, numbers in ranges_in(settings).items()}


def ranges_in(settings: Mapping[str, Any]) -> NumbersByName:
    """The ranges alone, as ``split_ranges`` gives them."""
    ranges, _ = split_ranges(settings)
    return ranges


def _read_ranges(name: str, value: Any) -> NumbersByName:
    """The numbers of one range, or of each in a table, by name without the prefix."""
    if isinstance(value, Mapping):
        found: NumbersByName = {}
        for child, nested in value.items():
            found.update(_read_ranges(f"{name}.{child}", nested))
        return found
    _, _, short_name = name.partition(".")
    return {short_name: _read_numbers(name, value)}


def _read_numbers(name: str, value: Any) -> tuple[float, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, int | float):
        parts = [parts]
    try:
        return tuple(float(part) for part in parts)
    except (TypeError, ValueError) as error:
        message = f"{name}={value!r} is not allowed: give numbers, such as 0.05,0.2"
        raise BadArgumentError(message) from error
