"""The form of a reward: a function of what was observed and done."""

from typing import Protocol

from robots.signals import ArrayLike


class RewardFunction(Protocol):
    """The form of ``Family.reward``."""

    def __call__(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Rewards (...,) of transitions (..., k) and task parameters (..., p)."""
        ...
