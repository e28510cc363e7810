"""The actions in effect at the joints, where the arm follows its setpoints with a known latency."""

import math

from robots.signals import Array


class LateActions:
    """The mean action in effect in each decision, from those that were sent.

    In simulation ``Step.applied`` is the action in effect, and methods learn from it. With the
    action u(t) sent at decision t and a latency of w + f decisions, w whole and f a fraction, it is
    (1 - f) · u(t - w) + f · u(t - w - 1).
    """

    def __init__(self, decisions: float) -> None:
        """A latency of so many decisions, 0 or more."""
        self._steps = math.floor(decisions)
        self._fraction = decisions - self._steps
        self._sent: list[Array] = []  # the last w + 1, the oldest first

    def begin(self, standstill: Array) -> None:
        """Begin an episode, before which the action (1, a) of standing still was sent."""
        self._sent = [standstill] * (self._steps + 1)

    def send(self, action: Array) -> Array:
        """Add the mean action (1, a) sent in a decision; the one in effect during it, (1, a)."""
        self._sent.append(action)
        older = self._sent.pop(0)
        newer = self._sent[0]
        in_effect: Array = newer + self._fraction * (older - newer)
        return in_effect
