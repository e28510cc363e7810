"""Defaults that most families share."""

import numpy as np

from robots.signals import Array, ArrayLike
from robots.world import RewardFunction, Task


def never(obs: ArrayLike) -> ArrayLike:
    """False for every state (..., o), also for NaN; bool (...,) in NumPy or torch, as ``obs``."""
    return obs[..., 0] < obs[..., 0]


class BaseFamily:
    """Defaults of a ``Family``: no visible target, and episodes that end only at their horizon."""

    @property
    def training_reward(self) -> RewardFunction | None:
        """There is only the one reward."""
        return None

    def marker(self, task: Task) -> Array:
        """No target is visible: (n, 3) NaN."""
        return np.full((len(task), 3), np.nan)

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """Never."""
        return never(obs)
