"""Families whose success is not read from the last state of a trial's last episode."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from robots.signals import ArrayLike


@runtime_checkable
class JudgedByMean(Protocol):
    """A family whose episodes are judged by the mean of its metrics, not by their last state.

    Reports then show the means over the decisions of an episode. An episode that ends early is no
    success.
    """

    def episode_success(self, metrics: Mapping[str, ArrayLike]) -> ArrayLike:
        """Whether n episodes were a success, (n,) bool.

        Args:
            metrics: the mean of each of ``Family.metrics`` over an episode's decisions, (n,).
        """
        ...


@runtime_checkable
class EvaluatedSeveralTimes(Protocol):
    """A family whose trials end with several episodes of evaluation; those before explore."""

    @property
    def evaluation_episodes(self) -> int:
        """How many."""
        ...
