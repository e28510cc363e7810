"""Slow adaptation beside a real-time loop: a thread updates the belief while the loop acts.

Beliefs are immutable, so a new one is published by replacing a reference. ``Background`` wraps a
policy and is used in its place: an update that is quick enough is finished within its tick, any
other is used from the tick after it is finished. Updates run on the GPU if the machine has one.
"""

import threading
from collections import deque
from typing import Self, TypeVar

import torch
from torch import Tensor

from adaptation.device_replica import accelerator, make_updater
from adaptation.guarded_belief import GuardedBelief, Update
from adaptation.rollout import Forgets, Policy
from policies.method import Transition
from robots.errors import ArmError

BACKLOG = 32  # updates that may wait for the worker; further ticks are not learned from
LONGEST_WAIT = 1e6  # s; ``Condition.wait_for`` does not take infinity
HANG_TIMEOUT = 60.0  # s, after which an update of an earlier trial hangs; ours


B = TypeVar("B")


class Background(Forgets[B]):
    """A policy whose belief is updated by a thread; a context manager that ends the thread.

    Attributes:
        events: what went wrong: those of ``GuardedBelief``; BELIEF_STALE (detail: how many updates
            wait): a tick was left out; UPDATES_ON_CPU: the GPU had no memory for the updates, or
            failed, before the first trial.
        behind: how many updates the belief was behind at the end of the last tick.
        most_stale: the most that it was.
        acted_after: how many updates of this trial were finished when it last acted.
    """

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
        self._guarded = GuardedBelief(policy)
        self.events = self._guarded.events
        self.behind = 0
        self.most_stale = 0
        self.acted_after = 0
        self._finished = 0  # updates of this trial
        try:
            self._guarded.updater = make_updater(policy, accelerator())
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            # the device never changes during a trial: an update that fails then is left out
            self.events.report("UPDATES_ON_CPU", 0.0)
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
            self._wait_until_idle()
            self._finished = 0
            self._published = self._guarded.begin(n, task)
        return self._published

    def forget_episode(self, before: B) -> B:
        """Go back to the belief after the last update at the end of an episode.

        The loop's belief ``before`` may lack that update, which may not have been finished then.

        Raises:
            ArmError: an update does not end.
        """
        with self._changed:
            self._wait_until_idle()
            self._published = self._guarded.forget_episode()
        return self._published

    def _wait_until_idle(self) -> None:
        """Wait for the update that is running and those that wait; the condition is held."""
        if not self._changed.wait_for(self._is_idle, HANG_TIMEOUT):
            raise ArmError(f"an update of the belief has not ended for {HANG_TIMEOUT} s")

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Act under the newest belief, which may be newer than the one the loop has."""
        with self._changed:
            self.acted_after = self._finished
            newest = self._published
        return self.policy.act(obs, newest, explore)

    def observe(self, belief: B, transition: Transition) -> B:
        """Request the update for a tick and return the newest belief."""
        return self._request(self._guarded.after_tick(transition))

    def adapt(self, belief: B, episode: Transition) -> B:
        """Request the update at the end of an episode and return the newest belief."""
        return self._request(self._guarded.after_episode(episode))

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

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closing:
                    return
                update = self._waiting.popleft()
                self._busy = True
            is_good = self._guarded.apply(update)
            with self._changed:
                self._published = self._guarded.belief
                self._finished += 1
                self._busy = False
                if is_good and not self._waiting:
                    self.events.end_problem()
                self._changed.notify_all()
