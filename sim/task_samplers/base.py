"""The contract of a task sampler."""

from typing import Any, Protocol

import numpy as np

from robots.signals import Array
from robots.world import Family, Task


class TaskSampler(Protocol):
    """Draws a family's training tasks, and may learn from how a method did in them.

    Built as ``TaskSampler(family)``; BadArgumentError where the family does not suit it. It
    draws from the split ``"train"`` alone, never held-out tasks.

    A draw depends on nothing but the sampler's state and the generator that is passed, and changes
    neither: a training that was killed draws the same tasks again.

    Attributes:
        family: as it is declared.
    """

    family: Family

    def sample(self, rng: np.random.Generator, n: int) -> Task:
        """Draw n training tasks."""
        ...

    def learn(self, task: Task, returns: Array, success: Array) -> None:
        """Take note of how a method did in tasks that ``sample`` drew since the last ``learn``.

        Args:
            task: n tasks, as ``sample`` returned them.
            returns: (n,) undiscounted return of the trial's last episode; NaN where it is not
                known.
            success: (n,) from 0 to 1, of the same episode; NaN where it is not known.
        """
        ...

    def log(self) -> dict[str, float]:
        """What a line of the training's log tells about the sampler; empty where nothing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that ``learn`` has changed, as arrays, lists and numbers."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        ...
