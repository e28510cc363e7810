"""Slow adaptation beside a real-time loop: a thread updates the belief while the loop acts.

Beliefs are immutable, so a new one is published by replacing a reference. ``Background`` wraps a
policy and is used in its place: an update that is quick enough is finished within its tick, any
other is used from the tick after it is finished. Updates run on the GPU if the machine has one.

Every new belief is checked. One that is not finite, or that predicts the latest transitions worse
than the prior does (for a method with ``Scores``), is dropped and the last good one is kept.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor

from adaptation.device_replica import Updater, accelerator, make_updater
from adaptation.rollout import Policy
from adaptation.runs.records import Event
from policies.belief import named_tensors
from policies.method import Scores, Transition, stack

RECENT = 16  # transitions of an episode by which a belief is compared with the prior
BACKLOG = 32  # updates that may wait for the worker; further ticks are not learned from
LONGEST_WAIT = 1e6  # s; ``Condition.wait_for`` does not take infinity


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
        events: what went wrong; repetitions in a row are reported once. BELIEF_NOT_FINITE (detail:
            how many numbers) and BELIEF_WORSE (detail: by how much): the update was rolled back.
            BELIEF_STALE (detail: how many updates wait): a tick was left out. UPDATES_ON_CPU: the
            GPU had no memory for them, or failed, before the first trial.
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
        self.events: list[Event] = []
        self.behind = 0
        self.most_stale = 0
        self._started = time.monotonic()
        self._last_problem = ""  # kind of the last event, while it lasts
        self._updater: Updater[B] = policy
        try:
            self._updater = make_updater(policy, accelerator())
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            # the device never changes during a trial: an update that fails then fails the loop
            self._report("UPDATES_ON_CPU", 0.0)
        self._recent: deque[Transition] = deque(maxlen=RECENT)
        self._error: Exception | None = None
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
        """Finish the update that is running, drop those that wait, and end the worker."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """Begin a new trial; updates of the last one that still wait are dropped."""
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(self._is_idle)
            self._recent.clear()
            self._prior = self.policy.prior(n, task)
            self._published = self._prior
        return self._published

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Act under the newest belief, which may be newer than the one the loop has."""
        return self.policy.act(obs, self._newest(), explore)

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
                self._report("BELIEF_STALE", len(self._waiting))
            self._changed.wait_for(self._is_idle, self.patience)
            self.behind = len(self._waiting) + self._busy
            self.most_stale = max(self.most_stale, self.behind)
        return self._newest()

    def _newest(self) -> B:
        if self._error is not None:
            raise self._error
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
            except Exception as error:  # raised again in the loop: a failed update is a fault
                self._error = error
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
            self._report("BELIEF_NOT_FINITE", broken)
            return
        deficit = self._deficit(belief)
        if deficit > 0:
            self._report("BELIEF_WORSE", deficit)
            return
        self._published = belief
        if not self._waiting:
            self._last_problem = ""

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

    def _report(self, kind: str, detail: float) -> None:
        if kind == self._last_problem:
            return
        self._last_problem = kind
        stamp = time.monotonic() - self._started
        self.events.append(Event(len(self.events), kind, stamp, float(detail)))


def count_not_finite(belief: B, prior: B) -> int:
    """How many numbers of a belief are not finite where those of the prior are."""
    before = named_tensors(prior)
    broken = 0
    for path, tensor in named_tensors(belief).items():
        broken += int((~tensor.isfinite() & before[path].isfinite()).sum())
    return broken
