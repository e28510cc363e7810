"""Sweeps: the cells of a suite, once for each point of a grid over settings of their methods."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import msgspec

from adaptation.jobs.cell_records import Cell
from adaptation.runs import checkpoint
from adaptation.runs.run_config import check_config
from policies.fields import Field, convert, declared_fields
from robots.errors import BadArgumentError

MOST_POINTS = 1000  # of a grid; more are a slip of the hand

Axes = Mapping[str, Sequence[Any]]  # the values of each setting, by its dotted name
Point = dict[str, Any]  # one value for each setting


@dataclass(frozen=True)
class PointCells:
    """The cells that are trained with one point's values."""

    point: Point
    cells: list[Cell]

    @property
    def name(self) -> str:
        """The point in words."""
        return describe_settings(self.point)


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """The axes of a grid.

    Args:
        texts: one for each setting, as ``sac.lr=1e-4,3e-4``. Values that hold commas are given as a
            JSON list: ``sac.hidden=[[64,64],[256,256]]``.

    Raises:
        BadArgumentError: one is of another form, a setting or a value is named twice, or there are
            too many points.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            raise BadArgumentError(f"--grid takes SETTING=VALUE,VALUE, got {text!r}")
        if name in axes:
            raise BadArgumentError(f"--grid names {name!r} twice: give all its values at once")
        axes[name] = _read_values(values)
        if not axes[name]:
            raise BadArgumentError(f"--grid has no value for {name!r}")
    points = prod(len(values) for values in axes.values())
    if points > MOST_POINTS:
        raise BadArgumentError(f"--grid has {points} points, at most {MOST_POINTS} are allowed")
    return axes


def _read_values(text: str) -> list[Any]:
    """Values from a JSON list, or between commas, each as JSON or else as a text."""
    if text.startswith("["):
        try:
            values: list[Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise BadArgumentError(f"--grid: {text!r} is no JSON list: {error}") from error
        return values
    return [_read_value(part.strip()) for part in text.split(",")]


def _read_value(text: str) -> object:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError:
        return text
    return value


def grid_points(axes: Axes) -> list[Point]:
    """Every combination of the axes' values; the last axis changes fastest."""
    combinations = product(*axes.values())
    return [dict(zip(axes, values, strict=True)) for values in combinations]


def sweep(cells: Sequence[Cell], axes: Axes) -> list[PointCells]:
    """The cells of each point of a grid, without those whose method lacks one of the settings.

    Args:
        cells: of a suite.
        axes: settings of methods, and their values; they replace a suite's own value.

    Raises:
        BadArgumentError: no cell's method has these settings, a value is not allowed, or two values
            of a setting are the same.
        UnknownNameError: a cell names something that does not exist.
    """
    swept = [cell for cell in cells if _has_settings(cell, axes)]
    if not swept:
        raise _unknown(cells, axes)
    for method in {cell.training.method for cell in swept}:
        _check_values(axes, _settings_of(method))
    points = []
    for point in grid_points(axes):
        own = [_with_settings(cell, point) for cell in swept]
        for cell in own:
            check_config(cell.training)
        points.append(PointCells(point, own))
    return points


def left_out(cells: Sequence[Cell], axes: Axes) -> list[str]:
    """The methods of cells that lack one of a grid's settings."""
    methods = {cell.training.method for cell in cells if not _has_settings(cell, axes)}
    return sorted(methods)


def _settings_of(method: str) -> dict[str, Field]:
    kind: Any = checkpoint.method_class(method)
    return declared_fields(kind.Config)


def _has_settings(cell: Cell, axes: Axes) -> bool:
    known = _settings_of(cell.training.method)
    return all(name in known for name in axes)


def _unknown(cells: Sequence[Cell], axes: Axes) -> BadArgumentError:
    """The refusal of a grid that fits no cell; it names the settings that no method has."""
    if not cells:
        return BadArgumentError("no cell is left for --grid: --only fits no cell of the suite")
    methods = sorted({cell.training.method for cell in cells})
    known = {name for method in methods for name in _settings_of(method)}
    names = [name for name in axes if name not in known]
    if names:
        wrong = f"no setting {', '.join(map(repr, names))}"
    else:
        wrong = f"no method with all of {', '.join(map(repr, axes))}"
    return BadArgumentError(f"{wrong}; --grid is over settings of: {', '.join(methods)}")


def _check_values(axes: Axes, declared: Mapping[str, Field]) -> None:
    """Refuse values that are not allowed, and those that are the same once they are read."""
    for name, values in axes.items():
        annotation = declared[name].annotation
        converted = [convert(name, value, annotation) for value in values]
        for number, value in enumerate(converted):
            if value in converted[:number]:
                raise BadArgumentError(f"--grid names {name}={values[number]} twice")


def _with_settings(cell: Cell, point: Point) -> Cell:
    settings = {**cell.training.settings, **point}
    training = msgspec.structs.replace(cell.training, settings=settings)
    return msgspec.structs.replace(cell, training=training)


def describe_cell(cell: Cell) -> str:
    """A cell's name, with the settings that its training was given."""
    if not cell.training.settings:
        return cell.name
    return f"{cell.name} ({describe_settings(cell.training.settings)})"


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Settings in words: ``sac.lr=0.0001, sac.hidden=[64, 64]``."""
    words = []
    for name, value in settings.items():
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{name}={text}")
    return ", ".join(words)
