"""A family whose reward goes wrong in one world."""

from typing import Any

import numpy as np

from robots.signals import ArrayLike
from sim.families.point import Point


class Poisoned(Point):
    """``point``; one call of its reward in simulation gives ``poison`` in the second world.

    Attributes:
        poison: what it gives there.
        at_call: which call that is, from 1; 0: none.
        calls: of the reward in simulation so far.
    """

    poison = np.nan
    at_call = 0
    calls = 0

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> Any:
        reward = super().reward(obs, applied, next_obs, task)
        if isinstance(reward, np.ndarray) and reward.shape == (2,):
            self.calls += 1
            if self.calls == self.at_call:
                reward = np.array([reward[0], self.poison])
        return reward
