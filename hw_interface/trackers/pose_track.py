"""From measured poses to published ones: jumps are refused, and velocities computed."""

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hw_interface.trackers.config_entries import TrackLimits
from robots.rotations import CONJUGATE, angle_between, multiply, rotation_vectors
from robots.signals import Array, ObjectState

CERTAIN = 3.0  # standard deviations of a pose that count as possible


class MeasuredPose(Protocol):
    """A pose of the object in the base frame of the arm."""

    @property
    def pos(self) -> Array:
        """(3,) m."""
        ...

    @property
    def quat(self) -> Array:
        """(4,) w x y z."""
        ...

    @property
    def covariance(self) -> Array:
        """(6, 6) of the errors of position m and rotation vector rad, along the base axes."""
        ...


@dataclass(frozen=True)
class TimedPose:
    """A pose and when it was seen."""

    stamp: float  # s
    pose: MeasuredPose


class Track:
    """The poses of one object over time.

    A pose that is farther from the last one than the object can have moved is refused, until
    several in a row agree with each other. Nothing is predicted: a frame without a believed pose
    publishes nothing, so that the newest stamp grows old.
    """

    def __init__(self, limits: TrackLimits) -> None:
        """Begin without a pose."""
        self._limits = limits
        self._accepted: deque[TimedPose] = deque()  # the newest ``window`` s
        self._refused: list[TimedPose] = []  # in a row, that agree with each other
        self.refused = 0  # poses, in all

    def recent(self, stamp: float) -> Array | None:
        """The quaternion (4,) of the last believed pose; None if it is older than the window."""
        if not self._accepted:
            return None
        last = self._accepted[-1]
        is_recent = stamp - last.stamp <= self._limits.window
        return last.pose.quat if is_recent else None

    def take(self, stamp: float, pose: MeasuredPose | None) -> ObjectState | None:
        """Add a frame; returns what to publish.

        Args:
            stamp: s, of the frame. A stamp that does not advance is left out.
            pose: what was measured in it; None if the object was not seen.

        Returns:
            The pose and its velocity; None if the pose is missing or not believed, or if there is
            no second pose within the window from which the velocity could be computed.
        """
        if pose is None:
            return None
        new = TimedPose(stamp, pose)
        if self._accepted and stamp <= self._accepted[-1].stamp:
            return None

        if self._accepted and not self._can_follow(new, self._accepted[-1]):
            self.refused += 1
            if not self._is_confirmed(new):
                return None
            self._accepted.clear()  # no velocity across a jump
        self._refused.clear()
        self._accepted.append(new)
        while self._accepted[0].stamp < stamp - self._limits.window:
            self._accepted.popleft()
        if len(self._accepted) < 2:
            return None
        return ObjectState(pose.pos, pose.quat, self._velocity(), stamp)

    def _can_follow(self, new: TimedPose, old: TimedPose) -> bool:
        """Whether the object can have moved from one pose to the other."""
        limits = self._limits
        elapsed = new.stamp - old.stamp
        variances = np.diag(new.pose.covariance) + np.diag(old.pose.covariance)
        reach = limits.jump + limits.speed * elapsed
        reach += CERTAIN * float(np.sqrt(variances[:3].sum()))
        reach_angle = limits.jump_angle + limits.turn_rate * elapsed
        reach_angle += CERTAIN * float(np.sqrt(variances[3:].sum()))

        distance = float(np.linalg.norm(new.pose.pos - old.pose.pos))
        angle = float(angle_between(new.pose.quat, old.pose.quat))
        return distance <= reach and angle <= reach_angle

    def _is_confirmed(self, new: TimedPose) -> bool:
        """Whether so many refused poses in a row agree that the object has really jumped."""
        if self._refused and not self._can_follow(new, self._refused[-1]):
            self._refused.clear()
        self._refused.append(new)
        return len(self._refused) >= self._limits.confirmations

    def _velocity(self) -> Array:
        """Velocity (6,) m/s and rad/s: the slope of a line through the poses in the window.

        Rotations enter as rotation vectors from the newest pose, which are small within a window.
        """
        positions = np.array([timed.pose.pos for timed in self._accepted])
        turned = np.array([timed.pose.quat for timed in self._accepted])
        newest = turned[-1:] * CONJUGATE
        motions = np.hstack([positions, rotation_vectors(multiply(turned, newest))])

        times = np.array([timed.stamp for timed in self._accepted])
        times -= times.mean()
        slope: Array = times @ (motions - motions[-1]) / (times @ times)
        return slope
