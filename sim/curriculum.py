"""Automatic domain randomization: ranges widen as success grows (OpenAI, Akkaya et al. 2019).

Training begins with a narrow part in the middle of every range that a family declares. Half of the
tasks have one parameter at an end of its present part. Where such tasks mostly succeed, the end
moves outward; where they mostly fail, it moves inward. No end passes the declared range.

    curriculum = Curriculum(family)
    task = curriculum.sample(rng, n)
    ...                               # any method acts in these tasks
    curriculum.learn(success)

Values of a categorical parameter have no order, and a range of several intervals has gaps: both
stay as they are declared. So do the ranges of held-out tasks.
"""

from dataclasses import dataclass, field

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array, Mask
from robots.world import Family, Task
from sim.randomization import Parameter, Ranges, parameters_of, with_ranges

MIDDLE = 0.5  # share of a range; no end moves inward beyond it


@dataclass(frozen=True)
class CurriculumConfig:
    """Where ranges begin and when they move; shares are of the declared range."""

    width: float = 0.1  # share that training begins with (ours)
    step: float = 0.05  # share by which an end moves (ours)
    widen_from: float = 0.8  # success at an end, from which it moves outward (ours)
    narrow_below: float = 0.4  # success below which it moves inward (ours)
    tasks: int = 32  # at an end, over which success is averaged (ours)
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

    def move(self, config: CurriculumConfig) -> None:
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


class Curriculum:
    """Draws a family's training tasks from ranges that follow success.

    Attributes:
        ends: low and high end of every range that moves.
    """

    def __init__(self, family: Family, config: CurriculumConfig | None = None) -> None:
        """Begin with narrow ranges.

        Raises:
            BadArgumentError: the family has no range that could be widened.
        """
        self.declared = family
        self.config = config or CurriculumConfig()
        self.ends: list[End] = []
        half = self.config.width / 2
        for parameter in filter(_can_widen, parameters_of(family)):
            self.ends.append(End(parameter, -1, MIDDLE - half))
            self.ends.append(End(parameter, 1, MIDDLE + half))
        if not self.ends:
            raise BadArgumentError(f"{family.name} declares no range that could be widened")
        self._asked = self.ends[0]
        self._at_end: Mask = np.zeros(0, dtype=bool)

    @property
    def ranges(self) -> Ranges:
        """The present ranges by the parameter's name."""
        lows = self.ends[::2]
        highs = self.ends[1::2]
        present = {}
        for low, high in zip(lows, highs, strict=True):
            present[low.parameter.name] = (low.value, high.value)
        return present

    @property
    def family(self) -> Family:
        """The family with its present ranges."""
        return with_ranges(self.declared, self.ranges)

    def sample(self, rng: np.random.Generator, n: int) -> Task:
        """Draw n training tasks, some of them with one parameter at one end of its range."""
        self._asked = self.ends[rng.integers(len(self.ends))]
        self._at_end = rng.random(n) < self.config.end_share
        family = self.family
        task = family.sample(rng, n)
        fixed = {self._asked.parameter.name: (self._asked.value,)}
        at_end = with_ranges(family, fixed).sample(rng, n)
        values = np.where(self._at_end[:, None], at_end.values, task.values)
        return Task(task.names, values, task.ids)

    def learn(self, success: Array) -> None:
        """Move the end that the last tasks were drawn at.

        Args:
            success: (n,) of the tasks of the last ``sample``, from 0 to 1.

        Raises:
            BadArgumentError: it is not of these tasks, or not finite.
        """
        if success.shape != self._at_end.shape or not np.isfinite(success).all():
            raise BadArgumentError(
                f"success must be {len(self._at_end)} finite numbers, got {success!r}"
            )
        self._asked.success += success[self._at_end].tolist()
        self._asked.move(self.config)


def _can_widen(parameter: Parameter) -> bool:
    """Whether a range has two ends that are apart."""
    numbers = parameter.train.numbers
    is_interval = parameter.train.distribution != "categorical" and len(numbers) == 2
    return is_interval and numbers[0] < numbers[1]
