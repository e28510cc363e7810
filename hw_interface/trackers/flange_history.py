"""Where the flange was when a picture was taken: measured poses, and between two of them."""

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

import numpy as np

from hw_interface.trackers.fiducial_config import rotation_of
from robots.rotations import transform
from robots.signals import Array

KEPT = 3.0  # s of measured poses
# s between two measured poses, above which nothing is said about the time between them: at
# 5 rad/s² a joint is then at most 1.6 mrad away from the line between the two
GAP = 0.05
PATIENCE = 0.1  # s to wait for a pose that was measured after the picture


@dataclass(frozen=True)
class FlangePose:
    """A measured pose of the flange in the base frame."""

    stamp: float  # s, on the clock ``time.monotonic``
    pos: Array  # (3,) m
    quat: Array  # (4,) w x y z


class FlangeHistory:
    """The measured poses of the last seconds; one thread adds to them, another asks."""

    def __init__(self) -> None:
        """Begin without a pose."""
        self._poses: deque[FlangePose] = deque()
        self._added = threading.Condition()

    def add(self, pose: FlangePose) -> None:
        """Add a pose; one that is not later than the last one is left out."""
        with self._added:
            if self._poses and pose.stamp <= self._poses[-1].stamp:
                return
            self._poses.append(pose)
            while self._poses[0].stamp < pose.stamp - KEPT:
                self._poses.popleft()
            self._added.notify_all()

    def at(self, stamp: float, patience: float = PATIENCE) -> Array | None:
        """The pose (4, 4) of the flange at a time; nothing is extrapolated.

        Args:
            stamp: s.
            patience: s to wait for a pose that was measured later than ``stamp``.

        Returns:
            None where the arm was not measured before and after ``stamp``, within ``GAP`` s.
        """
        with self._added:
            self._added.wait_for(lambda: self._reaches(stamp), patience)
            poses = list(self._poses)

        after = bisect_left(poses, stamp, key=lambda pose: pose.stamp)
        if after == len(poses):
            return None
        if poses[after].stamp == stamp:
            return transform(rotation_of(poses[after].quat), poses[after].pos)
        if after == 0 or poses[after].stamp - poses[after - 1].stamp > GAP:
            return None
        return _between(poses[after - 1], poses[after], stamp)

    def _reaches(self, stamp: float) -> bool:
        """Whether the arm was measured at this time or later."""
        return bool(self._poses) and self._poses[-1].stamp >= stamp


def _between(before: FlangePose, after: FlangePose, stamp: float) -> Array:
    """The pose (4, 4) at a time between two: a straight line, and the shorter way to turn."""
    share = (stamp - before.stamp) / (after.stamp - before.stamp)
    pos = (1 - share) * before.pos + share * after.pos
    same_side = 1.0 if before.quat @ after.quat >= 0 else -1.0  # q and -q are the same rotation
    quat = (1 - share) * before.quat + share * same_side * after.quat
    return transform(rotation_of(quat), np.asarray(pos))
