"""How far an arm's links are from the table and from each other, also along a line in joint space.

The links are covered by spheres, and all distances are between these. Axes: j joints, p spheres,
c constraints (heights of spheres over the table, then distances of pairs), k configurations.
"""

import numpy as np
from numpy.typing import NDArray

from robots.braking import StraightBraking
from robots.joint_steps import TINY
from robots.kinematics import Kinematics
from robots.reach import point_speed_bound, second_change
from robots.signals import Array
from robots.spheres import BASE, Spheres
from robots.tool_box import fraction_of_speed

# m that spheres keep from the table and from each other. Ours: more than half of the way, which is
# not checked, of any part of an arm between two setpoints at the drivers' ticks (4 m/s for 3 ms).
MARGIN = 0.01
LEAD = 0.001  # m before the margin where an arm is led to stop, so that it need not brake
NEIGHBORS = 3  # links fewer than so many places apart are kept apart by the joints' limits
PIECES = 4  # of a line, whose ends are computed
LOOK_AGAIN = 0.1  # rad, all joints together, after which all distances are computed anew
ROUNDING = 1e-9  # m

Indices = NDArray[np.int64]


class Clearance:
    """The distances of one arm's links from the table and from each other.

    The table is at z = 0, or where the floor of the arm's boxes is, if that is lower. What is in
    contact or close at home or at rest may be 2 mm closer than it is there. A sphere that contains
    the tool's origin is kept from the table by the tool's box.
    """

    def __init__(self, kinematics: Kinematics) -> None:
        """Choose the spheres and their pairs.

        Raises:
            BadArgumentError: the URDF has a shape that is not supported.
        """
        arm = kinematics.arm
        chain = kinematics.chain
        spheres = Spheres.cover(arm)
        ones = np.ones(len(spheres.link))
        self._kinematics = kinematics
        self._link = spheres.link
        self._center = np.column_stack([spheres.center, ones])  # (p, 4) in the frames of the links
        self._in_base = spheres.link == BASE

        last = chain.links[-1]
        tool = last.to_urdf_frame[:3, :3].T @ chain.tool[:3, 3]
        from_tool = np.linalg.norm(spheres.center - tool, axis=1)
        at_tool = (spheres.link == len(arm.joints) - 1) & (from_tool < spheres.radius)
        over_table = np.flatnonzero(~self._in_base & ~at_tool)
        first, second = np.triu_indices(len(spheres.link), 1)
        links_between = spheres.link[second] - spheres.link[first]
        apart = links_between >= NEIGHBORS
        first = first[apart]
        second = second[apart]
        #: how many constraints are heights over the table; they come first
        self.heights = len(over_table)
        self._first = first  # (c - heights,)
        self._second = np.concatenate([over_table, second])  # (c,)
        self.all = np.arange(len(self._second))  # (c,) indices of all constraints
        #: what each constraint keeps a link away from
        self.names = ("table",) * len(over_table) + ("arm itself",) * len(first)

        floor = min(0.0, arm.limits.tool_box[2, 0], arm.move_limits.tool_box[2, 0])
        heights = floor + spheres.radius[over_table]
        distances = spheres.radius[first] + spheres.radius[second]
        wanted = np.concatenate([heights, distances]) + MARGIN
        self._least = np.zeros_like(wanted)
        known_poses = np.stack([arm.home, arm.rest])
        distances_there, _ = self.slack(known_poses, self.all)
        # 2 · LEAD below: the arm is led to stop LEAD before a limit, and must get home and to rest
        reachable = distances_there.min(1) - 2 * LEAD
        self._least = np.minimum(wanted, reachable)  # (c,) m

        speed = point_speed_bound(chain, arm.limits, spheres.link, spheres.center)
        #: (c, j) bounds of what each joint adds to the second derivative of a constraint's distance
        self.bend = speed[self._second]
        self.bend[self.heights :] += speed[first]
        #: (c, j) bounds of how fast a distance changes with each joint; only those between the two
        #: links of a pair change it
        self.speed = speed[self._second]
        between = speed[first] == 0
        self.speed[self.heights :] *= between

    def slack(self, q: Array, rows: Indices) -> tuple[Array, Array]:
        """How much farther than they must be spheres are, at configurations ``q`` (k, j).

        Args:
            q: (k, j) rad.
            rows: (m,) indices of the constraints, ascending.

        Returns:
            (m, k) m, negative where a constraint is violated; and of those m that are pairs the
            vectors between their spheres, (pairs, 3, k) m.
        """
        pairs = rows[rows >= self.heights] - self.heights
        heights = len(rows) - len(pairs)
        center = self._centers(q)
        second = center[self._second[rows]]
        between = second[heights:] - center[self._first[pairs]]
        distance = np.sqrt(np.einsum("mxk,mxk->mk", between, between))
        height = second[:heights, 2]
        slack = np.concatenate([height, distance]) - self._least[rows, None]
        return slack, between

    def _centers(self, q: Array) -> Array:
        """Where the spheres are in the frame of the base, (p, 3, k) m."""
        frames = self._kinematics.frames(q)[:, self._link, :3]
        center: Array = np.einsum("kpxw,pw->pxk", frames, self._center)
        center[self._in_base] = self._center[self._in_base, :3, None]
        return center


class ClearLine:
    """Keeps the links of one arm clear while it brakes along a straight line in joint space.

    Between the computed configurations a sphere is beside the straight line through its places by
    no more than its curvature allows. An arm that violates a constraint may only come out.
    """

    def __init__(self, kinematics: Kinematics, braking: StraightBraking, lag: float) -> None:
        """Prepare one arm.

        Args:
            kinematics: of the arm.
            braking: how the joints stop.
            lag: s, for which the joints go on at full speed when they are to stop.
        """
        arm = kinematics.arm
        self._clearance = Clearance(kinematics)
        self._deviation = self._clearance.bend @ braking.offset  # (c,) m, beside the straight line
        self._two_ddq = 2 * arm.limits.ddq
        self._lag = lag
        self._share = np.arange(PIECES + 1)[:, None] / PIECES
        self.begin(arm.home)

    def begin(self, q: Array) -> None:
        """The arm is at ``q`` (j,), clear or not."""
        self._look_around(q)
        self._near = self._clearance.all
        self._present = self._reference_slack.copy()  # (c,) m, at ``q``; infinite where it is large

    def allowed_fraction(self, q: Array, requested: Array) -> float:
        """How much of the velocity ``requested`` (j,) still lets the arm stop in time.

        It is a forecast, so that the arm slows down early: ``would_hit`` keeps it clear. It looks
        at what is near the present line alone, and leaves out the curvature of the ways.
        """
        if not len(self._near):
            return 1.0
        time = float((np.abs(requested) / self._two_ddq).max())
        displacement = requested * (time + self._lag)
        inside, _ = self._clear_share(q, displacement, self._near, forecast=True)
        if inside == 1:
            return 1.0
        return float(fraction_of_speed(np.array(inside), time, self._lag))

    def would_hit(self, q: Array, displacement: Array) -> bool:
        """Whether a constraint would be violated, or more than at present, on a line from ``q``.

        If not, the arm is at ``q`` from now on. Both are (j,).
        """
        middle = q + displacement / 2
        if np.abs(middle - self._reference).sum() > LOOK_AGAIN:
            self._look_around(middle)
        rows = self._reachable(q, displacement)
        self._near = rows
        inside, slack = self._clear_share(q, displacement, rows, forecast=False)
        if inside < 1:
            return True
        self._present = np.full_like(self._present, np.inf)
        self._present[rows] = slack
        return False

    def brake_to(self, q: Array) -> None:
        """The arm is at ``q`` (j,), on the last line that was free."""
        rows = np.flatnonzero(self._present < LEAD)
        if len(rows):
            slack, _ = self._clearance.slack(q[None], rows)
            self._present[rows] = slack[:, 0]

    def _look_around(self, q: Array) -> None:
        """Compute the distances of all spheres at ``q``."""
        slack, _ = self._clearance.slack(q[None], self._clearance.all)
        self._reference = q
        self._reference_slack = slack[:, 0]

    def _reachable(self, q: Array, displacement: Array) -> Indices:
        """The constraints (m,) that may be violated on a line; most are too far away."""
        half = displacement / 2
        to_middle = q + half - self._reference
        farthest = np.abs(to_middle) + np.abs(half)
        way = self._clearance.speed @ farthest
        near = self._reference_slack < way + self._deviation + LEAD
        return np.flatnonzero(near)

    def _clear_share(
        self, q: Array, displacement: Array, rows: Indices, forecast: bool
    ) -> tuple[float, Array]:
        """The share of a line before the first violation, and the slack (m,) at its beginning."""
        if not len(rows):
            return 1.0, np.zeros(0)
        line = q + self._share * displacement
        slack, between = self._clearance.slack(line, rows)
        present = self._present[rows]
        allowed = np.minimum(present - ROUNDING, LEAD if forecast else 0.0)
        room = slack - allowed[:, None]  # (m, k)
        half_piece = np.abs(displacement) / PIECES / 2
        way = self._clearance.speed[rows] @ half_piece
        far = room.min(1) > way + self._deviation[rows]
        if far.all():
            return 1.0, slack[:, 0]
        deviation = self._deviation[rows, None]
        bulge = np.zeros_like(deviation)
        if not forecast:
            bend = self._clearance.bend[rows]
            bulge = second_change(bend, displacement[:, None] / PIECES) / 8
        lowest = self._lowest(room, between, bulge) - deviation
        return _free_share(room, lowest), slack[:, 0]

    def _lowest(self, room: Array, between: Array, bulge: Array) -> Array:
        """A bound of the lowest room of each constraint on each piece of a line, (m, k - 1) m.

        Args:
            room: (m, k) m at the ends of the pieces.
            between: vectors (pairs, 3, k) m of the constraints that are pairs, which come last.
            bulge: (m, 1) m, of the ways beside the straight line, for each constraint.
        """
        begin = room[:, :-1]
        end = room[:, 1:]
        rise = end - begin
        slopes = np.stack([rise, rise])  # at the beginning and at the end; of heights the same
        pairs = slice(len(room) - len(between), None)
        step = np.diff(between, axis=2)
        along_first = np.einsum("mxk,mxk->mk", between[..., :-1], step)
        along_last = np.einsum("mxk,mxk->mk", between[..., 1:], step)
        distance = np.linalg.norm(between, axis=1)
        slopes[0, pairs] = along_first / distance[:, :-1]
        slopes[1, pairs] = along_last / distance[:, 1:]
        return _lowest_between(begin, end, slopes, bulge)


def _free_share(room: Array, lowest: Array) -> float:
    """The share of a line before the first violation.

    Args:
        room: (m, k) m of each constraint, at the ends of the pieces of the line.
        lowest: (m, k - 1) m, on the pieces; negative: violated.
    """
    blocked = lowest < 0
    if not blocked.any():
        return 1.0
    first = int(np.argmax(blocked.any(0)))
    hit = blocked[:, first]
    begin = room[hit, first]
    drop = np.maximum(begin - lowest[hit, first], TINY)
    share = max(float((begin / drop).min()), 0.0)  # of the piece
    free: float = (first + share) / lowest.shape[1]
    return free


def _lowest_between(begin: Array, end: Array, slopes: Array, bulge: Array) -> Array:
    """A bound of the lowest distance on a piece of a line.

    On straight ways a distance is a convex function of the share w of the piece: it lies above its
    tangents at both ends. As the ways are curved it is lower by 4·bulge·w·(1 - w) at most. Where it
    rises at its beginning, or falls at its end, by more than 4·bulge, that end is the lowest.

    Args:
        begin: (m, k) m.
        end: (m, k) m.
        slopes: (2, m, k) m, of the tangents at the beginning and at the end.
        bulge: (m, 1) m.
    """
    first, last = slopes
    turns = (first < 0) & (last > 0)
    crossing = (last + begin - end) / (last - first + TINY)  # w where the tangents meet
    between = begin + first * crossing
    at_ends = np.minimum(begin, end)
    lowest = np.where(turns, between, at_ends) - bulge
    steepest = 4 * bulge
    lowest = np.where(first >= steepest, begin, lowest)
    return np.where(last <= -steepest, end, lowest)
