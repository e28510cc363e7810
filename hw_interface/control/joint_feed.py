"""The arm's joints for a tracker whose camera the arm carries."""

import contextlib

from robots.driver import NeedsJoints, Tracker
from robots.signals import JointState


class JointFeed:
    """Hands new readings of the arm to a tracker that needs them."""

    def __init__(self, tracker: Tracker | None) -> None:
        """Begin without a reading; any other tracker is left alone."""
        self._tracker = tracker if isinstance(tracker, NeedsJoints) else None
        self._newest: float | None = None  # s, stamp of the reading that was last handed on

    def tell(self, state: JointState) -> None:
        """Hand on the newest plausible reading, unless it is the one that was handed on before.

        A tracker that fails here is not told; its ``read`` reports what is wrong.
        """
        if self._tracker is None or state.stamp == self._newest:
            return
        self._newest = state.stamp
        with contextlib.suppress(Exception):
            self._tracker.take_joints(state.q)
