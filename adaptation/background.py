"""Slow adaptation beside a real-time loop: a thread updates the belief while the loop acts.

Beliefs are immutable, so a new one is published by replacing a reference. ``Background`` wraps a
policy and is used in its place: an update that is quick enough is finished within its tick, any
other is used from the tick after it is finished. Updates run on the GPU if the machine has one.

Every new belief is checked. One that is not finite, or that predicts the latest transitions worse
than the prior does (for a method with ``Scores``), is dropped and the last good one is kept. So it
is where an update raises: an arm does not stop because its policy has ceased to learn.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from adaptation.belief_events import BeliefEvents
from adaptation.device_replica import Updater, accelerator, make_updater
from adaptation.rollout import Policy
from policies.belief import named_tensors
from policies.method import Scores, Transition, stack
from robots.errors import ArmError

RECENT = 16  # transitions of an episode by which a belief is compared with the prior
BACKLOG = 32  # updates that may wait for the worker; further ticks are not learned from
LONGEST_WAIT = 1e6  # s; ``Condition.wait_for`` does not take infinity
HANG_TIMEOUT = 60.0  # s, after which an update of an earlier trial hangs; ours


B = TypeVar("B")


@dataclass(frozen=True)
class Update(Generic[B]):
    """One update of the belief that waits for the worker."""

    apply: Callable[[B, Transition], B]  # (belief, ticks) -> belief
    ticks: Transition
    ends_episode: bool


class Background(Generic[B]):
    """A policy whose belief is updated by a thread; a context manager that ends the thread.

    Attributes:
        events: what went wrong. BELIEF_NOT_FINITE (detail: how many numbers), BELIEF_WORSE (detail:
            by how much) and UPDATE_FAILED: the update was rolled back. BELIEF_STALE (detail: how
            many updates wait): a tick was left out. UPDATES_ON_CPU: the GPU had no memory for them,
            or failed, before the first trial.
        behind: how many updates the belief was behind at the end of the last tick.
        most_stale: the most that it was.
    """

    _prior: B
    _published: B  # the last good belief

    def __init__(self, policy: Policy[B], patience: float) -> None:
        """Start the worker.

        Args:
            policy: what to act by.
            patience: how long a tick waits for its own update, s; a part of the control period.
                With infinite patience the loop is the synchronous one.
        """
        self.policy = policy
        self.patience = min(patience, LONGEST_WAIT)
        self.privileged = policy.privileged
        self.events = BeliefEvents()
        self.behind = 0
        self.most_stale = 0
        self._updater: Updater[B] = policy
        try:
            self._updater = make_updater(policy, accelerator())
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            # the device never changes during a trial: an update that fails then is left out
            self.events.report("UPDATES_ON_CPU", 0.0)
        self._recent: deque[Transition] = deque(maxlen=RECENT)
        # All below is guarded by the condition, which is notified at every change.
        self._changed = threading.Condition()
        self._waiting: deque[Update[B]] = deque()
        self._busy = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the update that is running, drop those that wait, and end the worker.

        A worker that hangs is left behind; it ends with the process.
        """
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(HANG_TIMEOUT)

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """Begin a new trial; updates of the last one that still wait are dropped.

        Raises:
            ArmError: the one that is running does not end.
        """
        with self._changed:
            self._waiting.clear()
            if not self._changed.wait_for(self._is_idle, HANG_TIMEOUT):
                raise ArmError(f"an update of the last trial has not ended for {HANG_TIMEOUT} s")
            self._recent.clear()
            self._prior = self.policy.prior(n, task)
            self._published = self._prior
        return self._published

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Act under the newest belief, which may be newer than the one the loop has."""
        return self.policy.act(obs, self._published, explore)

    def observe(self, belief: B, transition: Transition) -> B:
        """Request the update for a tick and return the newest belief."""
        update = Update(self._updater.observe, transition, ends_episode=False)
        return self._request(update)

    def adapt(self, belief: B, episode: Transition) -> B:
        """Request the update at the end of an episode and return the newest belief."""
        update = Update(self._updater.adapt, episode, ends_episode=True)
        return self._request(update)

    def _request(self, update: Update[B]) -> B:
        with self._changed:
            if update.ends_episode or len(self._waiting) < BACKLOG:
                self._waiting.append(update)
                self._changed.notify_all()
            else:
                self.events.report("BELIEF_STALE", len(self._waiting))
            self._changed.wait_for(self._is_idle, self.patience)
            self.behind = len(self._waiting) + self._busy
            self.most_stale = max(self.most_stale, self.behind)
        return self._published

    def _is_idle(self) -> bool:
        return not self._waiting and not self._busy

    def _has_work(self) -> bool:
        return bool(self._waiting) or self._closing

    @torch.no_grad()
    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closing:
                    return
                update = self._waiting.popleft()
                self._busy = True
            try:
                belief = update.apply(self._published, update.ticks)
                self._check(belief, update)
            except Exception as error:  # whatever it is, the policy goes on
                self.events.report_failure(error)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _check(self, belief: B, update: Update[B]) -> None:
        """Publish a belief, or report why the last good one is kept."""
        if update.ends_episode:
            self._recent.clear()
        elif update.ticks.valid.all():
            self._recent.append(update.ticks)
        broken = count_not_finite(belief, self._prior)
        if broken > 0:
            self.events.report("BELIEF_NOT_FINITE", broken)
            return
        deficit = self._deficit(belief)
        if deficit > 0:
            self.events.report("BELIEF_WORSE", deficit)
            return
        self._published = belief
        if not self._waiting:
            self.events.end_problem()

    def _deficit(self, belief: B) -> float:
        """By how much the prior predicts the latest transitions better, at most over the worlds.

        Zero for a method without ``Scores``.
        """
        if not isinstance(self.policy, Scores) or not self._recent:
            return 0.0
        recent = stack(list(self._recent))
        prior_score = self.policy.score(self._prior, recent)
        score = self.policy.score(belief, recent)
        return float((prior_score - score).max())


def count_not_finite(belief: B, prior: B) -> int:
    """How many numbers of a belief are not finite where those of the prior are."""
    before = named_tensors(prior)
    broken = 0
    for path, tensor in named_tensors(belief).items():
        broken += int((~tensor.isfinite() & before[path].isfinite()).sum())
    return broken
