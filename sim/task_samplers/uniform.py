"""Every training task is drawn as the family declares it."""

from typing import Any

import numpy as np

from robots.signals import Array
from robots.world import Family, Task


class UniformTasks:
    """Draws the family's own tasks and learns nothing."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def sample(self, rng: np.random.Generator, n: int) -> Task:
        """Draw n training tasks."""
        return self.family.sample(rng, n)

    def learn(self, task: Task, returns: Array, success: Array) -> None:
        """Nothing is learned."""

    def log(self) -> dict[str, float]:
        """Nothing to tell."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """There is no state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is no state."""
