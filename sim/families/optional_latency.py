"""A latency that tasks have only where its range is set, as by ``range.disturbance.latency``."""

from typing import Self

import numpy as np

from robots.signals import Array
from robots.world import Task
from sim.families.base import BaseFamily
from sim.randomization import Parameter, uniform

LATENCY = Parameter(
    "disturbance.latency",
    uniform(0.0, 0.0),
    "s",
    "from an action to its effect; not a parameter of tasks while it is 0",
    allowed=(0.0, 1.0),
)


class OptionalLatency(BaseFamily):
    """A family whose ``parameters`` end with ``LATENCY``.

    Tasks have the hidden latency as their last parameter if its range is more than 0. While it is 0
    they have no such parameter, and a policy that knows the task reads none.

    Attributes:
        own_names: parameters of a task besides the latency.
    """

    own_names: tuple[str, ...]
    _keeps_latency = False

    def __copy__(self) -> Self:
        """A copy whose tasks keep the latency, even if its range is fixed at 0 afterwards.

        Task samplers and fits mix tasks of such copies, which must have the same parameters.
        """
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new._keeps_latency = self._is_late
        return new

    @property
    def own_parameters(self) -> tuple[Parameter, ...]:
        """The declared parameters besides the latency."""
        return self.parameters[:-1]

    @property
    def task_names(self) -> tuple[str, ...]:
        """Parameters of a task, the latency last where there is one."""
        names = self.own_names
        return (*names, LATENCY.name) if self._is_late else names

    @property
    def _is_late(self) -> bool:
        return self._keeps_latency or any(self.parameters[-1].train.numbers)

    def make_tasks(self, rng: np.random.Generator, own: Array) -> Task:
        """Tasks with these values (n, p) of ``own_names``, of either split; draws the latency."""
        n = len(own)
        values = own
        if self._is_late:
            latency = self.parameters[-1].train.draw(rng, n)
            values = np.column_stack([own, latency])
        return Task(self.task_names, values, np.arange(n))
