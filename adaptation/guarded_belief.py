"""A belief that only sound updates change.

An update is rolled back if it raises, if its result is not finite, or if it predicts the latest
transitions worse than the prior does (for a method with ``Scores``): an arm does not stop because
its policy has ceased to learn.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from adaptation.belief_events import BeliefEvents
from adaptation.device_replica import Updater
from adaptation.rollout import Policy
from policies.belief import named_tensors
from policies.method import Scores, Transition, stack

RECENT = 16  # transitions of an episode by which a belief is compared with the prior

B = TypeVar("B")  # a belief


@dataclass(frozen=True)
class Update(Generic[B]):
    """One update of a belief."""

    apply: Callable[[B, Transition], B]  # (belief, ticks) -> belief
    ticks: Transition
    ends_episode: bool


class GuardedBelief(Generic[B]):
    """The last good belief of a trial.

    Attributes:
        belief: it.
        episode_belief: what it was after the last update at the end of an episode; else the prior.
        updater: computes the updates: at first the policy itself.
        events: BELIEF_NOT_FINITE (detail: how many numbers), BELIEF_WORSE (detail: by how much) and
            UPDATE_FAILED: an update was rolled back.
    """

    belief: B
    episode_belief: B
    _prior: B

    def __init__(self, policy: Policy[B]) -> None:
        self.updater: Updater[B] = policy
        self.events = BeliefEvents()
        self._policy = policy
        self._recent: deque[Transition] = deque(maxlen=RECENT)

    def begin(self, n: int, task: Tensor | None) -> B:
        """Begin a new trial in n worlds; returns the prior."""
        self._recent.clear()
        self._prior = self._policy.prior(n, task)
        self.belief = self._prior
        self.episode_belief = self._prior
        return self._prior

    def forget_episode(self) -> B:
        """Go back to the belief at the beginning of the episode; returns it."""
        self._recent.clear()
        self.belief = self.episode_belief
        return self.belief

    def after_tick(self, transition: Transition) -> Update[B]:
        """The update for a tick (n, ...), not applied yet."""
        return Update(self.updater.observe, transition, ends_episode=False)

    def after_episode(self, episode: Transition) -> Update[B]:
        """The update at the end of an episode (H, n, ...), not applied yet."""
        return Update(self.updater.adapt, episode, ends_episode=True)

    @torch.no_grad()
    def apply(self, update: Update[B]) -> bool:
        """Apply an update; whether it was good. If not, it is reported and the belief is kept."""
        try:
            belief = update.apply(self.belief, update.ticks)
            is_good = self._check(belief, update)
        except Exception as error:  # whatever it is, the policy goes on
            self.events.report_failure(error)
            is_good = False
        if is_good:
            self.belief = belief
        if update.ends_episode:
            self.episode_belief = self.belief
        return is_good

    def _check(self, belief: B, update: Update[B]) -> bool:
        """Whether a belief is good; if it is not, that is reported."""
        if update.ends_episode:
            self._recent.clear()
        elif update.ticks.valid.all():
            self._recent.append(update.ticks)
        broken = count_not_finite(belief, self._prior)
        if broken > 0:
            self.events.report("BELIEF_NOT_FINITE", broken)
            return False
        deficit = self._deficit(belief)
        if deficit > 0:
            self.events.report("BELIEF_WORSE", deficit)
            return False
        return True

    def _deficit(self, belief: B) -> float:
        """By how much the prior predicts the latest transitions better, at most over the worlds.

        Zero for a method without ``Scores``, and in worlds that the prior does not predict either.
        Infinite if the belief predicts no number where the prior does.
        """
        if not isinstance(self._policy, Scores) or not self._recent:
            return 0.0
        recent = stack(list(self._recent))
        prior_score = self._policy.score(self._prior, recent)
        score = self._policy.score(belief, recent)
        deficit = (prior_score - score).nan_to_num(nan=torch.inf, posinf=torch.inf)
        return float(deficit.where(prior_score.isfinite(), 0.0).max())


def count_not_finite(belief: B, prior: B) -> int:
    """How many numbers of a belief are not finite where those of the prior are."""
    before = named_tensors(prior)
    broken = 0
    for path, tensor in named_tensors(belief).items():
        was_finite = before[path].isfinite()
        is_broken = was_finite & ~tensor.isfinite()
        broken += int(is_broken.sum())
    return broken
