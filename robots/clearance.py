"""The distances of an arm's links from the table and from each other.

The links are covered by spheres, and all distances are between these. Axes: j joints, p spheres,
c constraints (heights of spheres over the table, then distances of pairs), n arms,
k configurations, m measured constraints.
"""

from functools import lru_cache

import numpy as np

from robots.kinematics import Kinematics
from robots.link_pairs import pairs_to_keep_apart
from robots.signals import Array, Indices
from robots.spheres import BASE, MovingSpheres

# m that spheres keep from the table and from each other. Ours: more than half of the path,
# which is not checked, of any part between two setpoints at the drivers' ticks (4 m/s for 3 ms).
MARGIN = 0.01
LEAD = 0.001  # m before the margin at which an arm is slowed to a stop, so that it need not brake


class Clearance:
    """The distances of an arm's links from the table and from each other.

    The table is at z = 0, or at the floor of the arm's boxes if that is lower. Links that touch or
    are close in the home pose or the rest pose may be 2 mm closer than they are there. A sphere
    that contains the tool's origin is kept off the table by the tool's box.
    """

    def __init__(self, kinematics: Kinematics) -> None:
        """Choose the spheres and their pairs.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported.
        """
        self.kinematics = kinematics
        arm = kinematics.arm
        moving = MovingSpheres(kinematics)
        link = moving.spheres.link
        radius = moving.spheres.radius
        self._moving = moving

        tool = kinematics.chain.tool[:3, 3]
        from_tool = np.linalg.norm(moving.center - tool, axis=1)
        last = len(arm.joints) - 1
        at_tool = (link == last) & (from_tool < radius)
        in_base = link == BASE
        over_table = np.flatnonzero(~in_base & ~at_tool)
        known_poses = np.stack([arm.home, arm.rest])
        first, second = pairs_to_keep_apart(moving, arm.limits, known_poses, MARGIN)
        heights = len(over_table)
        #: how many constraints are heights over the table; they come first
        self.heights = heights
        self._first = first  # (c - heights,)
        self._second = np.concatenate([over_table, second])  # (c,)
        count = len(self._second)
        self._all = np.arange(count)
        #: what each constraint keeps a link away from
        self.names = ("table",) * heights + ("arm itself",) * len(first)

        floor_of_box = arm.limits.tool_box[2, 0]
        floor_of_moves = arm.move_limits.tool_box[2, 0]
        floor = min(0.0, floor_of_box, floor_of_moves)
        least_height = floor + radius[over_table]
        least_distance = radius[first] + radius[second]
        touching = np.concatenate([least_height, least_distance])
        wanted = touching + MARGIN
        # 2 · LEAD less: the arm stops LEAD before a limit, but must reach home and its rest pose
        reachable = self._distances(known_poses).min(1) - 2 * LEAD
        #: (c,) m, the smallest allowed distances
        self.least = np.minimum(wanted, reachable)

        speed_of_first = moving.speed[first]
        speed_of_second = moving.speed[self._second]
        #: (c, j) bounds of what each joint adds to the second derivative of a constraint's distance
        self.bend = speed_of_second.copy()
        self.bend[heights:] += speed_of_first
        #: (c, j) bounds of how fast a distance changes with each joint; only those between the two
        #: links of a pair change it
        self.speed = speed_of_second
        joints = np.arange(len(arm.joints))
        inner_link = link[first]
        between = joints > inner_link[:, None]
        self.speed[heights:] *= between

    def slack(self, q: Array) -> Array:
        """Distances minus the smallest allowed ones, (c, k) m, at configurations ``q`` (k, j).

        The slack is negative where a constraint is violated.
        """
        slack: Array = self._distances(q) - self.least[:, None]
        return slack

    def distances(self, q: Array, constraint: Indices, arm: Indices) -> tuple[Array, Array]:
        """Constraints measured at several arms.

        Args:
            q: (n, k, j) rad, k configurations of each of n arms.
            constraint: (m,) indices of the measured constraints, ascending.
            arm: (m,) index of the arm.

        Returns:
            Vectors (m, 3, k) m whose lengths are the distances, and the distances (m, k) m.
        """
        n = len(q)
        heights = int(np.searchsorted(constraint, self.heights))
        pair = constraint[heights:] - self.heights
        center = self._moving.centers(q)
        places = center.reshape(-1, *center.shape[2:])  # (p · n, 3, k)
        second = self._second[constraint] * n + arm
        first = self._first[pair] * n + arm[heights:]
        vectors = places.take(second, 0)
        vectors[:heights, :2] = 0.0
        vectors[heights:] -= places.take(first, 0)
        squared = np.einsum("mxk,mxk->mk", vectors, vectors)
        distance = np.sqrt(squared)
        distance[:heights] = vectors[:heights, 2]
        return vectors, distance

    def _distances(self, q: Array) -> Array:
        """All distances (c, k) m at configurations ``q`` (k, j)."""
        one_arm = np.zeros_like(self._all)
        _, distance = self.distances(q[None], self._all, one_arm)
        return distance


@lru_cache(maxsize=8)
def clearance_of(kinematics: Kinematics) -> Clearance:
    """The clearance of an arm: computed once for all who use the same kinematics.

    Raises:
        BadArgumentError: the URDF has a shape that is not supported.
    """
    return Clearance(kinematics)
