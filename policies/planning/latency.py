"""Latency: an action has its effect some decisions after the observation that it answers.

The actions sent in between are known. The model predicts what they do, and the plan begins where
its first action takes effect. Without this a plan begins at a state that will have passed.

Axes: n worlds, P candidates, H steps, a action.
"""

import math

import torch
from torch import Tensor

Actions = tuple[Tensor, ...]  # (n, a) each, the oldest first


class Latency:
    """Turns the actions that are sent into those in effect.

    Attributes:
        steps: w, whole decisions of the latency.
        fraction: f, the rest of it. In each decision the older action is in effect for this share
            of the time, and the newer one after it.
    """

    def __init__(self, decisions: float) -> None:
        """A latency of so many decisions, 0 or more."""
        self.steps = math.floor(decisions)
        self.fraction = decisions - self.steps
        self._count = self.steps + 1 if decisions > 0 else 0

    def initial(self, standstill: Tensor) -> Actions:
        """The actions under way where only those of standing still (n, a) were sent."""
        return (standstill,) * self._count

    def send(self, under_way: Actions, action: Tensor) -> Actions:
        """The actions under way after one more (n, a) was sent."""
        sent = (*under_way, action)
        return sent[len(sent) - self._count :]

    def in_effect(self, under_way: Actions, candidates: Tensor) -> Tensor:
        """The mean action in effect in each of the next decisions, (n, P, w + H, a).

        With the action u(t) sent at decision t, it is (1 - f) · u(t - w) + f · u(t - w - 1).

        Args:
            under_way: the actions u(-w - 1) to u(-1).
            candidates: (n, P, H, a) the actions from u(0) on.
        """
        if not under_way:
            return candidates
        count = candidates.shape[1]
        known = torch.stack(under_way, 1)[:, None]
        repeated = known.expand(-1, count, -1, -1)
        actions = torch.cat([repeated, candidates], 2)
        older = actions[:, :, :-1]
        newer = actions[:, :, 1:]
        return newer.lerp(older, self.fraction)
