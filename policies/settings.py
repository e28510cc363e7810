"""Settings of a method by dotted name: allowed values, source and meaning of each.

A config is a frozen dataclass in which every field has a default; the settings of a config within
it are named ``sac.lr``. A setting's meaning is the comment on its field's line in the source. A
unit may come first: ``# [rad/s] largest speed``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, Protocol, Self, TypeVar, get_type_hints

from policies.config import MethodConfig, iteration_steps
from policies.fields import Field, config_in, convert, declared_fields
from policies.method import Problem
from robots.errors import BadArgumentError

Source = Literal["default", "derived", "preset", "set"]
Resolved = dict[str, tuple[Any, Source]]  # value and source by dotted name


class Configurable(Protocol):
    """A config that can be derived from a problem."""

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """The numbers that follow from the problem."""
        ...


C = TypeVar("C", bound=Configurable)


@dataclass(frozen=True)
class Setting:
    """One number of a config."""

    name: str  # dotted: "sac.lr"
    value: Any
    source: Source  # its default, derived from the problem, of the preset, or set by the user
    unit: str  # "" where it has none
    meaning: str  # "" where its line has no comment


def configure(
    kind: type[C],
    problem: Problem,
    preset: dict[str, Any] | None,
    changes: dict[str, Any],
) -> C:
    """Build a config; the later source wins: default, derived from the problem, preset, changes.

    Args:
        kind: the config's class.
        problem: what numbers are derived from.
        preset: nested tables of settings, as ``policies.presets.load_preset`` gives them.
        changes: values by dotted name; a text is read as the type that the setting has.

    Raises:
        BadArgumentError: a setting does not exist, or its value is not allowed. The message names
            the setting and what is possible.
    """
    values = {name: value for name, (value, _) in _resolve(kind, problem, preset, changes).items()}
    config: C = _build(kind, values)
    return config


def list_settings(
    kind: type[C],
    problem: Problem,
    preset: dict[str, Any] | None,
    changes: dict[str, Any],
) -> list[Setting]:
    """Every setting of the config that ``configure`` builds from the same arguments.

    Raises:
        BadArgumentError: as ``configure``.
    """
    resolved = _resolve(kind, problem, preset, changes)
    settings = []
    for name, field in declared_fields(kind).items():
        if name in resolved:
            value, source = resolved[name]
            settings.append(Setting(name, value, source, field.unit, field.meaning))
    return settings


def estimate(config: MethodConfig, problem: Problem) -> tuple[int, int]:
    """Environment steps and gradient steps of a full training."""
    schedule = config.schedule
    trials = schedule.random_trials + schedule.iterations
    environment_steps = trials * iteration_steps(problem, schedule)
    return environment_steps, schedule.iterations * config.optimizer_steps


# ---- values and their sources ----


def _resolve(
    kind: type[C],
    problem: Problem,
    preset: dict[str, Any] | None,
    changes: dict[str, Any],
) -> Resolved:
    """Value and source of every setting."""
    resolved = _derive(kind, problem)
    declared = declared_fields(kind)
    layers: list[tuple[Source, dict[str, Any]]] = [("preset", preset or {}), ("set", changes)]
    for source, layer in layers:
        for name, value in flatten(layer).items():
            if name not in declared:
                names = ", ".join(declared)
                hint = _suggest(name, declared)
                raise BadArgumentError(f"no setting {name!r}{hint}; there are: {names}")
            converted = convert(name, value, declared[name].annotation)
            _switch_on_parents(resolved, name, declared, problem)
            if converted is None:
                _remove_children(resolved, name)
            resolved[name] = (converted, source)
    return resolved


def _suggest(name: str, declared: Iterable[str]) -> str:
    """A hint at the settings whose names end as much like ``name`` as any; empty without one."""
    shared = {known: _shared_parts(name, known) for known in declared}
    most = max(shared.values())
    if most == 0:
        return ""
    similar = [known for known, parts in shared.items() if parts == most]
    return f" (did you mean {' or '.join(similar)}?)"


def _shared_parts(name: str, other: str) -> int:
    """How many of the last parts of two dotted names are the same."""
    backwards = zip(reversed(name.split(".")), reversed(other.split(".")), strict=False)
    is_same = [own == others for own, others in backwards]
    return is_same.index(False) if False in is_same else len(is_same)


def _derive(kind: type[C], problem: Problem) -> Resolved:
    """Value and source of every setting before presets and changes."""
    defaults = default_values(kind)
    resolved: Resolved = {}
    for name, value in flatten(kind.for_problem(problem)).items():
        is_default = name in defaults and defaults[name] == value
        resolved[name] = (value, "default" if is_default else "derived")
    return resolved


def default_values(kind: Any) -> dict[str, Any]:
    """The default of every setting, also of those within a config that is off by default."""
    defaults = flatten(kind())
    for name, field in declared_fields(kind).items():
        nested = config_in(field.annotation)
        if nested is not None:
            for child, value in flatten(nested()).items():
                defaults[f"{name}.{child}"] = value
    return defaults


def _switch_on_parents(
    resolved: Resolved,
    name: str,
    declared: dict[str, Field],
    problem: Problem,
) -> None:
    """Add the settings of an optional config that is off, if ``name`` is one of them."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        parent = ".".join(parts[:depth])
        if parent in resolved:
            del resolved[parent]
            nested = config_in(declared[parent].annotation)
            for child, value_and_source in _derive(nested, problem).items():
                resolved[f"{parent}.{child}"] = value_and_source


def _remove_children(resolved: Resolved, name: str) -> None:
    """Remove the settings within an optional config that is switched off."""
    children = [other for other in resolved if other.startswith(f"{name}.")]
    for child in children:
        del resolved[child]


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of nested configs or dicts by dotted name."""
    if is_dataclass(tree):
        tree = {field.name: getattr(tree, field.name) for field in fields(tree)}
    leaves = {}
    for name, value in tree.items():
        nested = is_dataclass(value) or isinstance(value, dict)
        if not nested:
            leaves[name] = value
            continue
        for child, leaf in flatten(value).items():
            leaves[f"{name}.{child}"] = leaf
    return leaves


def _build(
    kind: Any,
    values: dict[str, Any],
    prefix: str = "",
) -> Any:
    """A config from values by dotted name."""
    hints = get_type_hints(kind)
    arguments = {}
    for field in fields(kind):
        name = prefix + field.name
        if name in values:
            arguments[field.name] = values[name]
        else:
            nested = config_in(hints[field.name])
            arguments[field.name] = _build(nested, values, f"{name}.")
    return kind(**arguments)
