"""A recorded trial as a world, and a policy whose belief is updated as late as it was recorded."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
from torch import Tensor

from adaptation.guarded_belief import GuardedBelief, Update
from adaptation.rollout import Policy
from hw_interface.recording.reading import Decision, RecordedTrial
from policies.method import Transition
from robots.signals import Array
from robots.world import Family, Step, Task

WIDEST = 2.0  # between two actions in [-1, 1]; also where only one of them is finite

B = TypeVar("B")  # a belief


class RecordedWorld:
    """A world in which everything happens as recorded, whatever the policy does.

    Attributes:
        differences: of every action of the policy from the recorded one, the largest column.
    """

    n = 1

    def __init__(self, family: Family, trial: RecordedTrial) -> None:
        """``family`` as it was when the trial was recorded."""
        self.family = family
        self.dt = family.dt
        self.differences: list[float] = []
        self._next: Decision | None = None
        self._episodes = iter(trial.episodes)
        nothing: list[Decision] = []
        self._decisions = iter(nothing)

    def reset(self, task: Task) -> Array:
        """The first observation (1, o) of the next episode."""
        self._decisions = iter(next(self._episodes))
        self._next = next(self._decisions)
        return row(self._next.observation)

    def step(self, action: Array) -> Step:
        """What followed the recorded action; the last decision of an episode ends it."""
        decision = self._next
        assert decision is not None, "the episode is over"
        self._next = next(self._decisions, None)
        self.differences.append(_difference(action, row(decision.action)))
        is_last = self._next is None
        return Step(
            obs=row(decision.next_observation),
            reward=row([decision.reward])[0],
            terminated=np.array([decision.terminated]),
            truncated=np.array([decision.truncated or is_last]),
            success=np.array([decision.success]),
            applied=row(decision.applied),
            verdict=np.array([decision.verdict]),
            stamp=np.array([decision.time]),
        )

    def close(self) -> None:
        """Nothing is open."""


class DelayedUpdates(Generic[B]):
    """A policy whose belief is updated as late as it was in real time, see ``Background``."""

    def __init__(self, policy: Policy[B], updates: Sequence[int | None]) -> None:
        """Prepare a trial.

        Args:
            policy: what acts.
            updates: per decision of the trial, how many the acting belief had; None: all.
        """
        self.privileged = policy.privileged
        self._policy = policy
        self._guarded = GuardedBelief(policy)
        self._due = iter(updates)
        self._waiting: list[Update[B]] = []
        self._applied = 0

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """Begin the trial."""
        return self._guarded.begin(n, task)

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Act under the belief that had as many updates then."""
        due = next(self._due)
        while self._waiting:
            if self._applied == due:
                break
            oldest = self._waiting.pop(0)
            self._guarded.apply(oldest)
            self._applied += 1
        return self._policy.act(obs, self._guarded.belief, explore)

    def observe(self, belief: B, transition: Transition) -> B:
        """Request the update for a tick."""
        update = self._guarded.after_tick(transition)
        self._waiting.append(update)
        return self._guarded.belief

    def adapt(self, belief: B, episode: Transition) -> B:
        """Request the update at the end of an episode."""
        update = self._guarded.after_episode(episode)
        self._waiting.append(update)
        return self._guarded.belief


def _difference(action: Array, recorded: Array) -> float:
    """The largest difference of two actions (1, a); two numbers that are not finite are equal."""
    difference = np.abs(action - recorded)
    both_broken = ~np.isfinite(action) & ~np.isfinite(recorded)
    difference = np.where(np.isfinite(difference), difference, WIDEST)
    return float(np.where(both_broken, 0.0, difference).max())


def row(numbers: Sequence[float | None]) -> Array:
    """Numbers as (1, k); those that were not finite are NaN."""
    return np.array([numbers], dtype=np.float64)
