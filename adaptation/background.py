"""Slow adaptation beside a loop that may not wait: a worker finds the next belief while the last one is acted under.

Beliefs are immutable, so that publishing one is handing over a reference, at the beginning or the end of a tick.
``Background`` stands for the method it wraps, and ``live`` does not notice: what is quick enough is done in the tick it
belongs to, the rest when it is done; on the GPU where there is one. What comes out is watched. A belief that is not
finite, or that predicts the latest transitions worse than the prior does, where the method can tell, is dropped for the
last good one.
"""

import threading
import time
from collections import deque
from typing import Any

import torch
from torch import Tensor

from adaptation.device_replica import accelerator, make_updater
from policies.belief import named_tensors
from policies.method import Method, Transition, stack

RECENT = 16  # transitions of an episode by which a belief is compared with the prior
BACKLOG = 32  # ticks that may wait for the worker; beyond them the newest are not learnt from


class Background:
    """One trial's belief, updated by a thread; a method for ``live``, with a context around it.

    Args:
        patience: how long a tick waits for its own update, s; a part of the control period. Without bound, the
            loop is the synchronous one.

    Attributes:
        events: what went wrong, as the watchdog has them: ``number``, ``event``, ``stamp`` (s since the beginning),
            ``detail``. BELIEF_NOT_FINITE (so many numbers) and BELIEF_WORSE (by so much) were rolled back; at
            BELIEF_STALE (so many updates are waiting) the newest is left out. Each is said once in a row.
        most_stale: how many updates the belief has been behind at the end of a tick, at most.
    """

    def __init__(self, method: Method, patience: float) -> None:
        self.method, self.patience, self.privileged = method, patience, method.privileged
        self._updates = make_updater(method, accelerator())
        self.events: list[dict[str, Any]] = []
        self.most_stale = 0
        self._began, self._wrong = time.monotonic(), ""
        self._jobs: deque[tuple[str, Transition]] = deque()
        self._recent: deque[Transition] = deque(maxlen=RECENT)
        self._prior: Any = None
        self._good: Any = None  # the belief that is published
        self._busy = self._over = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, *_: object) -> None:
        """What is not begun is left undone."""
        with self._changed:
            self._over = True
            self._jobs.clear()
            self._changed.notify_all()
        self._thread.join()

    def prior(self, n: int, task: Tensor | None = None) -> Any:
        """A new trial: what is left of the last one is dropped."""
        with self._changed:
            self._jobs.clear()
            self._changed.wait_for(lambda: not self._busy)
            self._recent.clear()
            self._prior = self._good = self.method.prior(n, task)
        return self._good

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        """By the newest belief, which may be newer than the one the loop has."""
        return self.method.act(obs, self._newest(), explore)

    def observe(self, belief: Any, transition: Transition) -> Any:
        """Ask for an update, and give the newest belief there is."""
        return self._ask("observe", transition)

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """The same at the end of an episode."""
        return self._ask("adapt", episode)

    def _ask(self, verb: str, ticks: Transition) -> Any:
        with self._changed:
            if verb == "adapt" or len(self._jobs) < BACKLOG:
                self._jobs.append((verb, ticks))
                self._changed.notify_all()
            else:
                self._say("BELIEF_STALE", len(self._jobs))
            finished = self._changed.wait_for(
                lambda: not (self._jobs or self._busy), min(self.patience, 1e6)
            )
            self.most_stale = max(self.most_stale, 0 if finished else len(self._jobs) + self._busy)
        return self._newest()

    def _newest(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._good

    @torch.no_grad()
    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._over)
                if self._over:
                    return
                (verb, ticks), self._busy = self._jobs.popleft(), True
            try:
                self._judge(getattr(self._updates, verb)(self._good, ticks), verb, ticks)
            except (
                Exception
            ) as error:  # the loop raises it: an adaptation that fails is a fault, and no news
                self._error = error
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _judge(self, belief: Any, verb: str, ticks: Transition) -> None:
        """Publish a belief, or leave the last good one."""
        if verb == "adapt":
            self._recent.clear()
        elif ticks.valid.all():
            self._recent.append(ticks)
        if broken := not_finite(belief, self._prior):
            self._say("BELIEF_NOT_FINITE", broken)
        elif (worse := self._worse(belief)) > 0:
            self._say("BELIEF_WORSE", worse)
        else:
            self._good = belief
            self._wrong = self._wrong if self._jobs else ""

    def _worse(self, belief: Any) -> float:
        """By how much the prior predicts the latest transitions better, in the world where it does most."""
        score = getattr(self.method, "score", None)
        if score is None or not self._recent:
            return 0.0
        seen = stack(list(self._recent))
        return float((score(self._prior, seen) - score(belief, seen)).max())

    def _say(self, event: str, detail: float) -> None:
        if event != self._wrong:
            self._wrong, stamp = event, time.monotonic() - self._began
            self.events.append(
                {
                    "number": len(self.events),
                    "event": event,
                    "stamp": stamp,
                    "detail": float(detail),
                }
            )


def not_finite(belief: Any, prior: Any) -> int:
    """How many numbers of a belief are not finite, but for those that the prior has none for either."""
    before = named_tensors(prior)
    return sum(
        int((~x.isfinite() & before[path].isfinite()).sum())
        for path, x in named_tensors(belief).items()
    )
