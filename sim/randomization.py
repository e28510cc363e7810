"""Randomization as data: the parameters that differ between tasks, and their ranges.

A family declares a tuple of ``Parameter`` and draws from them in ``sample``. Users change a range
by the setting ``range.NAME``, such as ``--set range.object.friction=0.05,0.2``. If held-out tasks
have a range of their own, ``range.NAME.heldout`` changes it.

Axes: n tasks, p parameters, k intervals of a range.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError, UnknownNameError
from robots.signals import Array
from robots.world import Family
from sim.families.splits import heldout

Distribution = Literal["uniform", "log-uniform", "categorical"]
Ranges = Mapping[str, tuple[float, ...]]  # numbers of ranges by NAME or NAME.heldout
F = TypeVar("F", bound=Family)

PREFIX = "range"  # first part of the settings that change ranges
HELDOUT = ".heldout"  # ends the name of a range that is for held-out tasks only


@dataclass(frozen=True)
class Range:
    """The range of a number: intervals, or single values; all of them are equally likely."""

    distribution: Distribution
    numbers: tuple[float, ...]  # low, high, low, high, ... of the k intervals; or the values

    @property
    def intervals(self) -> Array:
        """Low and high of every interval, (k, 2)."""
        return np.array(self.numbers).reshape(-1, 2)

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Independent numbers, (n,)."""
        if self.distribution == "categorical":
            return rng.choice(np.array(self.numbers), n)
        count = len(self.intervals)
        if count == 1:
            return self.at(rng.random(n))
        interval = (count * rng.random(n)).astype(np.int64)
        share = rng.random((count, n))  # within each interval; only one of them is used
        return self._within(interval, share[interval, np.arange(n)])

    def at(self, share: Array) -> Array:
        """The numbers at shares (...,) in [0, 1] of a range of intervals, (...,)."""
        count = len(self.intervals)
        position = count * share
        interval = np.minimum(position.astype(np.int64), count - 1)
        return self._within(interval, position - interval)

    def _within(self, interval: NDArray[np.int64], share: Array) -> Array:
        """The numbers at shares of the intervals of these indices."""
        is_log = self.distribution == "log-uniform"
        bounds = np.log(self.intervals) if is_log else self.intervals
        low = bounds[interval, 0]
        high = bounds[interval, 1]
        values = low + (high - low) * share
        return np.exp(values) if is_log else np.asarray(values)


def uniform(*bounds: float) -> Range:
    """Evenly from the intervals low, high, low, high, ..."""
    return Range("uniform", bounds)


def log_uniform(*bounds: float) -> Range:
    """Evenly in the logarithm, from the intervals low, high, low, high, ... above zero."""
    return Range("log-uniform", bounds)


def categorical(*values: float) -> Range:
    """One of some values."""
    return Range("categorical", values)


@dataclass(frozen=True)
class Parameter:
    """A number that differs between tasks: its ranges, its unit and its meaning.

    Raises:
        BadArgumentError: a declared range is not allowed.
    """

    name: str  # dotted: "object.friction"
    train: Range  # of training tasks
    unit: str  # SI; "1" where it has none
    meaning: str
    # lowest and highest value that the physics allow; ignored where there are choices
    allowed: tuple[float, float] = (-inf, inf)
    choices: tuple[float, ...] = ()  # the only possible values; (): all allowed values
    heldout: Range | None = None  # of held-out tasks; None: from the same range as training

    def __post_init__(self) -> None:
        _check(self, self.name, self.train)
        if self.heldout is not None:
            _check(self, self.name + HELDOUT, self.heldout)

    def of(self, split: str) -> Range:
        """The range of a split; BadArgumentError where there is no such split."""
        if heldout(split) and self.heldout is not None:
            return self.heldout
        return self.train

    def change(self, name: str, numbers: tuple[float, ...]) -> "Parameter":
        """The parameter with other numbers in one of its ranges, by that range's name.

        Raises:
            BadArgumentError: the numbers are not allowed.
        """
        is_heldout = name.endswith(HELDOUT)
        changed = self.heldout if is_heldout else self.train
        assert changed is not None, "range_names lists the ranges that there are"
        if len(numbers) == 1 and changed.distribution != "categorical":
            numbers = numbers * 2  # a single number fixes the parameter
        new = replace(changed, numbers=numbers)
        return replace(self, heldout=new) if is_heldout else replace(self, train=new)


def draw(
    parameters: Iterable[Parameter], rng: np.random.Generator, n: int, split: str
) -> dict[str, Array]:
    """Independent numbers of every parameter by name, (n,) each, drawn in this order."""
    return {parameter.name: parameter.of(split).draw(rng, n) for parameter in parameters}


def values_at(parameters: Iterable[Parameter], share: Array) -> Array:
    """The values at shares (n, p) of the training ranges, (n, p).

    It is for families whose two splits share one range, such as by a checkerboard.
    """
    columns = zip(parameters, share.T, strict=True)
    return np.stack([parameter.train.at(column) for parameter, column in columns], -1)


# ---- ranges that a user changes ----


@runtime_checkable
class Randomized(Protocol):
    """A family that declares its parameters."""

    parameters: tuple[Parameter, ...]


def parameters_of(family: Family) -> tuple[Parameter, ...]:
    """The parameters that a family declares; none where it declares nothing."""
    return family.parameters if isinstance(family, Randomized) else ()


def range_names(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    """The parameters by the name of each of their ranges: NAME, and NAME.heldout."""
    names = {}
    for parameter in parameters:
        names[parameter.name] = parameter
        if parameter.heldout is not None:
            names[parameter.name + HELDOUT] = parameter
    return names


def with_ranges(family: F, ranges: Ranges) -> F:
    """The family with some ranges changed; the family itself where none are.

    Raises:
        UnknownNameError: it has no such range; the message lists those that it has.
        BadArgumentError: a range is reversed, not finite, or not what the physics allow.
    """
    if not ranges:
        return family
    current = {parameter.name: parameter for parameter in parameters_of(family)}
    for name, numbers in ranges.items():
        known = range_names(current.values())
        if name not in known:
            raise UnknownNameError(_unknown(family, name, known))
        parameter = known[name]
        current[parameter.name] = parameter.change(name, numbers)
    changed = copy(family)
    assert isinstance(changed, Randomized)
    changed.parameters = tuple(current.values())
    return changed


def _unknown(family: Family, name: str, known: Mapping[str, Parameter]) -> str:
    """The message that a range does not exist, with the ranges that do."""
    shared, _, _ = name.partition(HELDOUT)
    if name.endswith(HELDOUT) and shared in known:
        return (
            f"held-out tasks of {family.name} have no range of their own for {shared}: "
            f"{PREFIX}.{shared} is the range of both splits"
        )
    if not known:
        return f"{family.name} has no {PREFIX}.{name}: it declares no ranges"
    names = ", ".join(f"{PREFIX}.{other}" for other in known)
    return f"{family.name} has no {PREFIX}.{name}; there are: {names}"


def _check(parameter: Parameter, name: str, given: Range) -> None:
    """Refuse an invalid range, or one that the physics do not allow."""
    if not _is_allowed(parameter, given):
        numbers = ",".join(f"{number:g}" for number in given.numbers)
        allowed = f"LOW,HIGH in ascending order, {describe_allowed(parameter)}"
        if given.distribution == "categorical":
            allowed = f"one or more values {describe_allowed(parameter)}"
        elif given.distribution == "log-uniform" and parameter.allowed[0] <= 0:
            allowed += " and above 0"
        raise BadArgumentError(f"{PREFIX}.{name}={numbers} is not allowed: give {allowed}")


def _is_allowed(parameter: Parameter, given: Range) -> bool:
    numbers = given.numbers
    if not numbers or not all(map(isfinite, numbers)):
        return False
    if parameter.choices:
        return set(numbers) <= set(parameter.choices)
    low, high = parameter.allowed
    if min(numbers) < low or max(numbers) > high:
        return False
    if given.distribution == "categorical":
        return True
    is_above_zero = given.distribution == "uniform" or min(numbers) > 0
    is_ascending = list(numbers) == sorted(numbers)
    return len(numbers) % 2 == 0 and is_ascending and is_above_zero


def describe_allowed(parameter: Parameter) -> str:
    """The allowed numbers of a parameter's ranges, in words."""
    if parameter.choices:
        return "among " + ", ".join(f"{choice:g}" for choice in parameter.choices)
    low, high = parameter.allowed
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    return f"from {low:g} to {high:g}{unit}"
