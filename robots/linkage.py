"""How a rotating servo moves the fingers of a gripper."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SAMPLES = 200  # angles at which the largest ratio is looked for


class Linkage(Protocol):
    """A mechanism between a servo's horn and two fingers; its angle grows as the fingers open."""

    def position(self, angle: float) -> float:
        """The distance of each finger from the middle, m, at an angle of the servo, rad."""
        ...

    def angle(self, position: float) -> float:
        """The servo's angle, rad, at a position of the fingers, m; or the nearest one."""
        ...

    def ratio(self, angle: float) -> float:
        """How far each finger moves per angle of the servo, m/rad, at an angle, rad.

        Without friction, a torque τ of the servo is the force τ / ratio of both fingers together.
        """
        ...


@dataclass(frozen=True)
class Crank:
    """A crank pulls two fingers on a rail towards its axis, and pushes them away, by two rods.

    At angle 0 the crank is at right angles to the rail. Source of the geometry: Interbotix,
    interbotix_xs_sdk, ``robot_convert_angular_position_to_linear`` and its inverse.
    """

    radius: float  # m, of the crank
    rod: float  # m, its length; longer than the radius
    inset: float  # m, of a finger's inner face from the end of its rod, towards the middle

    def position(self, angle: float) -> float:
        """See ``Linkage``."""
        along = self.radius * math.sin(angle)
        return along + self._reach(angle) - self.inset

    def angle(self, position: float) -> float:
        """See ``Linkage``; by the law of cosines."""
        end = max(position + self.inset, self.rod - self.radius)
        sine = (self.radius**2 + end**2 - self.rod**2) / (2 * self.radius * end)
        return math.asin(min(max(sine, -1.0), 1.0))

    def ratio(self, angle: float) -> float:
        """See ``Linkage``."""
        along = self.radius * math.sin(angle)
        return self.radius * math.cos(angle) * (1 + along / self._reach(angle))

    def _reach(self, angle: float) -> float:
        """The rod's extent along the rail, m."""
        across = self.radius * math.cos(angle)
        return math.sqrt(self.rod**2 - across**2)


@dataclass(frozen=True)
class Hinge:
    """Two jaws that open like scissors, from the angle 0 at which their tips touch.

    Each tip is at ``radius`` from the hinge, and its position is half of the distance between them.
    """

    radius: float  # m

    def position(self, angle: float) -> float:
        """See ``Linkage``."""
        return self.radius * math.sin(angle / 2)

    def angle(self, position: float) -> float:
        """See ``Linkage``."""
        sine = position / self.radius
        return 2 * math.asin(min(max(sine, -1.0), 1.0))

    def ratio(self, angle: float) -> float:
        """See ``Linkage``."""
        return self.radius / 2 * math.cos(angle / 2)


def largest_ratio(linkage: Linkage, closed: float, opened: float) -> float:
    """The largest ratio, m/rad, between two positions of the fingers, m."""
    angles = np.linspace(linkage.angle(closed), linkage.angle(opened), SAMPLES)
    return max(linkage.ratio(float(angle)) for angle in angles)
