"""Automatic domain randomization: ranges widen as success grows (OpenAI, Akkaya et al. 2019).

Training begins with a narrow part in the middle of every range that a family declares. Half of the
tasks have one parameter at an end of its present part, each task an end of its own. Where tasks at
an end mostly succeed, it moves outward; where they mostly fail, inward. No end passes the declared
range. Success is that of training, with exploration: it is lower than what the method can do.

Values of a categorical parameter have no order, and a range of several intervals has gaps: both
stay as they are declared. So do the ranges of held-out tasks. Where a family divides one range
among both splits, as on a checkerboard, a narrower range is divided anew: until it has its declared
width again, a training task may lie where a held-out one does.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Family, Task
from sim.randomization import Parameter, Ranges, parameters_of, with_ranges

MIDDLE = 0.5  # share of a range; no end moves inward beyond it


@dataclass(frozen=True)
class WideningConfig:
    """Where ranges begin and when they move; shares are of the declared range."""

    width: float = 0.1  # share that training begins with (ours)
    step: float = 0.1  # share by which an end moves (ours)
    widen_from: float = 0.6  # success at an end, from which it moves outward (ours)
    narrow_below: float = 0.3  # success below which it moves inward (ours)
    tasks: int = 16  # at an end, over which success is averaged (ours)
    end_share: float = 0.5  # of tasks with a parameter at an end (the paper's)


@dataclass
class End:
    """One end of a parameter's present range."""

    parameter: Parameter  # as it is declared
    outward: int  # -1: the low end, 1: the high one
    share: float  # of the declared range, where it is now
    success: list[float] = field(default_factory=list)  # at this end since it moved

    @property
    def value(self) -> float:
        """Where the end is, in the parameter's unit."""
        declared = self.parameter.train
        low, high = declared.numbers
        value = float(declared.at(np.array(self.share)))
        return min(max(value, low), high)  # rounding may pass the declared range

    def move(self, config: WideningConfig) -> None:
        """Move by a step as the success at this end says, once it is over enough tasks."""
        if len(self.success) < config.tasks:
            return
        rate = np.mean(self.success)
        self.success.clear()
        steps = 0
        if rate >= config.widen_from:
            steps = self.outward
        elif rate < config.narrow_below:
            steps = -self.outward
        moved = self.share + steps * config.step
        outermost = max(0, self.outward)
        lowest = min(outermost, MIDDLE)
        highest = max(outermost, MIDDLE)
        self.share = min(max(moved, lowest), highest)


@dataclass(frozen=True)
class TaskAtEnd(Task):
    """n tasks, some of which have one parameter at an end of its present range."""

    end: NDArray[np.int64]  # (n,) which one, as an index into ``WideningRanges.ends``; -1: none


class WideningRanges:
    """Draws a family's training tasks from ranges that follow success.

    Attributes:
        family: as it is declared.
        ends: low and high end of every range that moves.
    """

    def __init__(self, family: Family, config: WideningConfig | None = None) -> None:
        """Begin with narrow ranges.

        Raises:
            BadArgumentError: the family has no range that could be widened.
        """
        self.family = family
        self.config = config or WideningConfig()
        self.ends: list[End] = []
        half = self.config.width / 2
        for parameter in filter(_can_widen, parameters_of(family)):
            self.ends.append(End(parameter, -1, MIDDLE - half))
            self.ends.append(End(parameter, 1, MIDDLE + half))
        if not self.ends:
            raise BadArgumentError(f"{family.name} declares no range that could be widened")

    @property
    def ranges(self) -> Ranges:
        """The present ranges by the parameter's name."""
        present = {}
        for low, high in self._pairs():
            present[low.parameter.name] = (low.value, high.value)
        return present

    @property
    def width(self) -> float:
        """The present ranges' share of the declared ones, from 0 to 1; their mean."""
        return float(np.mean([high.share - low.share for low, high in self._pairs()]))

    def sample(self, rng: np.random.Generator, n: int) -> TaskAtEnd:
        """Draw n training tasks, some of them with one parameter at one end of its range."""
        is_at_end = rng.random(n) < self.config.end_share
        end = np.where(is_at_end, rng.integers(len(self.ends), size=n), -1)
        family = with_ranges(self.family, self.ranges)
        task = family.sample(rng, n)
        values = task.values.copy()
        for number in np.unique(end[is_at_end]):
            rows = np.flatnonzero(end == number)
            at_end = self.ends[number]
            fixed = {at_end.parameter.name: (at_end.value,)}
            drawn = with_ranges(family, fixed).sample(rng, len(rows))
            values[rows] = drawn.values
        return TaskAtEnd(task.names, values, task.ids, end)

    def learn(self, task: Task, returns: Array, success: Array) -> None:
        """Move the ends that tasks were drawn at; NaN is left out.

        Raises:
            BadArgumentError: ``sample`` did not draw these tasks, or success is not of them.
        """
        if not isinstance(task, TaskAtEnd) or success.shape != (len(task),):
            raise BadArgumentError(f"success must be of the tasks that were drawn, got {success!r}")
        is_known = ~np.isnan(success)
        for number, end in enumerate(self.ends):
            is_here = is_known & (task.end == number)
            end.success += success[is_here].tolist()
            end.move(self.config)

    def log(self) -> dict[str, float]:
        """How far the ranges have widened: 1 where they are as they are declared."""
        return {"width": self.width}

    def state_dict(self) -> dict[str, Any]:
        """Where every end is, and the success there since it moved."""
        return {
            "share": [end.share for end in self.ends],
            "success": [list(end.success) for end in self.ends],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        for end, share, success in zip(self.ends, state["share"], state["success"], strict=True):
            end.share = share
            end.success = list(success)

    def _pairs(self) -> list[tuple[End, End]]:
        """The low and the high end of every range that moves."""
        return list(zip(self.ends[::2], self.ends[1::2], strict=True))


def _can_widen(parameter: Parameter) -> bool:
    """Whether a range has two ends that are apart."""
    numbers = parameter.train.numbers
    is_interval = parameter.train.distribution != "categorical" and len(numbers) == 2
    return is_interval and numbers[0] < numbers[1]
