"""Which worlds need fine time steps: those whose tool is about to touch its object, or does.

At 1 m/s a tool travels 2 mm in a step of 2 ms. The phase of the first contact within a step is
random, and with it the impact: the same strike would scatter by centimeters. So a scene may ask for
a finer ``contact_timestep`` during an impact. Axes: n worlds, p parts of an object.
"""

import numpy as np
from numpy.typing import NDArray

from robots.bodies import make_kinematics
from robots.rotations import rotate_back
from robots.scene import Scene
from robots.signals import Array, Mask, ObjectMotion
from sim.contact_spring import STRIKE_TIME
from sim.objects import Parts, part_kinds

STRIKE_FREQUENCY = np.pi / STRIKE_TIME  # ω, 1/s, of the contact's spring

TIP = 0.02  # m, radius of the ball around the tool's point
# m between tool and object, within which they count as touching: for tools that are no such ball
TOUCH = 0.005
NOWHERE = 1e6  # m², square of the distance to a part that an object lacks
LOOKAHEAD = 2.0  # ticks within which a tool that approaches the object could touch it
# m/s, of an impact that the usual steps resolve: a tenth of the fastest one, at ten times the step
SLOW = 0.1


def impact_is_due(gap: Array, last_gap: Array, dt: float) -> Mask:
    """Whether tool and object touch, or could touch soon, in an impact that needs fine steps.

    An impact at the speed v presses the contact's spring in by v/ω: where they close or part at the
    speed v at the depth d, it began at the speed √(v² + (ω·d)²). Where a tool pushes an object
    along, that is small.

    Args:
        gap: (n,) m between tool and object; negative where they touch.
        last_gap: (n,) m, a tick earlier; NaN in the first tick, when nothing is known of speeds.
        dt: s of a tick.
    """
    approach = last_gap - gap
    is_first = np.isnan(approach)
    reach = TOUCH + np.maximum(LOOKAHEAD * approach, 0.0)
    depth = np.maximum(-gap, 0.0)
    speed = np.hypot(approach / dt, STRIKE_FREQUENCY * depth)
    is_due = (gap < reach) & (speed > SLOW)
    return np.where(is_first, gap < TOUCH, is_due)


class ContactSteps:
    """The objects of n worlds, and how soon the tool touches one of them."""

    def __init__(self, scene: Scene, n: int) -> None:
        """Prepare n worlds; without a tool each always needs fine steps."""
        self._kinematics = make_kinematics(scene.body)
        self._outlines = [_Outline(n, len(part_kinds(item))) for item in scene.objects]
        # m from the tool's ball to each object when the last tick began; NaN in a first one
        self._gap = np.full((n, len(scene.objects)), np.nan)

    def describe(self, parts: list[Parts], rows: NDArray[np.int64]) -> None:
        """Take the geometry of each object in some worlds, one row of its ``parts`` for each."""
        for outline, described in zip(self._outlines, parts, strict=True):
            outline.half_extent[rows] = described.half_extent()
            outline.pos[rows] = described.pos
            outline.used[rows] = described.used

    def begin(self, rows: NDArray[np.int64]) -> None:
        """Begin an episode in some worlds."""
        self._gap[rows] = np.nan

    def needed(self, q: Array, objects: list[ObjectMotion], dt: float) -> Mask:
        """The worlds that need fine steps in the tick that begins, (n,).

        Args:
            q: (n, j) rad.
            objects: where they are.
            dt: s of a tick.
        """
        if self._kinematics is None:
            return np.ones(len(q), dtype=bool)
        tool = self._kinematics.position(q)
        last_gap = self._gap
        distances = []
        for outline, motion in zip(self._outlines, objects, strict=True):
            distances.append(outline.distance(tool, motion))
        self._gap = np.stack(distances, -1) - TIP
        is_due = impact_is_due(self._gap, last_gap, dt)
        return np.asarray(is_due.any(-1))


class _Outline:
    """The bounding boxes of one object's p parts in n worlds, along the object's axes."""

    def __init__(self, n: int, p: int) -> None:
        self.half_extent = np.zeros((n, p, 3))
        self.pos = np.zeros((n, p, 3))
        self.used = np.zeros((n, p), dtype=bool)

    def distance(self, tool: Array, motion: ObjectMotion) -> Array:
        """From points (n, 3) m to the object, (n,) m."""
        in_object = rotate_back(tool - motion.pos, motion.quat)
        # from the tool to each part, along the axes of the object
        outside = np.abs(in_object[:, None] - self.pos) - self.half_extent
        outside = np.maximum(outside, 0.0)
        squares = (outside**2).sum(-1)
        squares = np.where(self.used, squares, NOWHERE)
        distance: Array = np.sqrt(squares.min(1))
        return distance
