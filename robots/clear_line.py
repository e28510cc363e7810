"""Keeps the links of arms clear while they brake along straight lines in joint space. Batched.

Axes: n arms, l lines, j joints, c constraints (see ``Clearance``), m measured ones. Arms come last,
as inside the gate, and lines come first.
"""

from dataclasses import dataclass

import numpy as np

from robots.arm import Limits
from robots.clearance import LEAD, Clearance, clearance_of
from robots.joint_steps import TINY, clip
from robots.kinematics import Kinematics
from robots.reach import second_change
from robots.signals import Array, Indices, Mask
from robots.tool_box import fraction_of_speed

PIECES = 4  # of a line, at whose ends distances are measured
SOON = 0.02  # m: whenever a line is measured, all constraints closer than this are measured
ROUNDING = 1e-9  # m


class ClearLine:
    """Keeps the links of n arms clear while they brake along straight lines in joint space.

    An arm that violates a constraint may only reduce the violation. How far it coasts beside its
    line (``StraightBraking.offset``) is part of the margin; it is zero at the drivers' ticks.
    """

    #: (n,) how much of the last request lets the arms stop in time. It is a forecast for the next
    #: tick, so that they slow down early, and neglects the curvature of the paths.
    fraction: Array

    def __init__(self, limits: Limits, kinematics: Kinematics, lag: float, n: int) -> None:
        """Prepare n arms.

        Args:
            limits: with the joints' accelerations.
            kinematics: of the arms.
            lag: s, for which the joints continue at full speed before they slow down.
            n: number of arms.
        """
        self._clearance = clearance_of(kinematics)
        self._two_ddq = 2 * limits.ddq[:, None]
        self._lag = lag
        self._n = n
        # n lines on which the arms brake, then n on which they would from the requested velocity
        self._known = KnownLines(self._clearance, 2 * n)
        self._curved = np.repeat([1.0, 0.0], n)
        self._needed = np.repeat([0.0, LEAD], n)  # m

    def begin(self, q: Array) -> None:
        """Start with the arms at ``q`` (j, n), clear or not."""
        rows = q.T
        slack = self._clearance.slack(rows)  # (c, n) m
        by_arm = slack.T
        begin = np.concatenate([rows, rows])
        known = np.concatenate([by_arm, by_arm])
        self._known.begin(begin, known)
        violation = np.minimum(slack, 0.0)
        self._allowed = violation - ROUNDING  # grows while an arm comes out
        violating = violation.any(0)
        self._violating = np.flatnonzero(violating)
        self.fraction = np.ones(self._n)

    def move(self, q: Array) -> None:
        """Set the arms' position ``q`` (j, n); a violation that has shrunk may not grow again."""
        arms = self._violating
        if not len(arms):
            return
        rows = q.T[arms]
        slack = self._clearance.slack(rows)
        present = np.minimum(slack, 0.0) - ROUNDING
        allowed = np.maximum(self._allowed[:, arms], present)
        self._allowed[:, arms] = allowed
        violated = allowed < -ROUNDING
        still = violated.any(0)
        self._violating = arms[still]

    def would_hit(self, q: Array, displacement: Array, requested: Array) -> Mask:
        """Whether a constraint would be violated, or more than at present; and the next forecast.

        Args:
            q: (j, n) rad, where the lines begin.
            displacement: (j, n) rad, along which the arms brake from there.
            requested: (j, n) rad/s, at which the next forecast is made.

        Returns:
            (n,) for the lines along which the arms brake.
        """
        n = self._n
        times = np.abs(requested) / self._two_ddq
        time = times.max(0)
        stop_time = time + self._lag
        ahead = requested * stop_time
        rows = q.T
        begin = np.concatenate([rows, rows])  # (2 · n, j)
        way = np.concatenate([displacement.T, ahead.T])
        lowest = self._known.lowest(begin, way)
        close = lowest < self._needed
        if not close.any():
            self.fraction = np.ones(n)
            return np.zeros(n, dtype=bool)
        lines = np.flatnonzero(close)
        curved = self._curved[lines]
        found = self._known.measure(lines, begin[lines], way[lines], curved)
        arm = found.line % n
        allowed = self._allowed[found.constraint, arm]
        present = found.slack[:, 0]
        no_closer = np.minimum(present - ROUNDING, LEAD)
        brakes = found.line < n
        floor = np.where(brakes, allowed, no_closer)
        free = found.free_shares(floor, 2 * n)
        free_ahead = free[n:]
        fraction = fraction_of_speed(free_ahead, time, self._lag)
        self.fraction = np.where(free_ahead < 1, fraction, 1.0)
        hits: Mask = free[:n] < 1
        return hits


@dataclass(frozen=True)
class Measured:
    """Slacks of some constraints, measured on some lines."""

    constraint: Indices  # (m,)
    line: Indices  # (m,) index of the line on which it was measured
    slack: Array  # (m, PIECES + 1) m, at the ends of the line's pieces
    lowest: Array  # (m, PIECES) m, a bound of the lowest slack on each piece

    def free_shares(self, floor: Array, count: int) -> Array:
        """The shares of ``count`` lines before a slack falls below its ``floor`` (m,) m; 1 at most.

        Within the piece on which it falls below, the share is interpolated.
        """
        free = np.ones(count)
        blocked = self.lowest < floor[:, None]
        somewhere = blocked.any(1)
        rows = np.flatnonzero(somewhere)
        if not len(rows):
            return free
        first = blocked[rows].argmax(1)  # piece
        begin = self.slack[rows, first]
        lowest = self.lowest[rows, first]
        drop = np.maximum(begin - lowest, TINY)
        room = begin - floor[rows]
        share = clip(room / drop, 0.0, 1.0)  # of the piece
        share_of_line = (first + share) / PIECES
        line = self.line[rows]
        np.minimum.at(free, line, share_of_line)
        return free


class KnownLines:
    """Lines in joint space, with a lower bound of every constraint's slack on each line.

    On a nearby line the bound is smaller by at most the displacement of the spheres between the two
    lines. Therefore nothing has to be measured in most ticks.
    """

    def __init__(self, clearance: Clearance, count: int) -> None:
        """Prepare ``count`` lines."""
        c, j = clearance.speed.shape
        self._clearance = clearance
        self._speed = clearance.speed.T.copy()
        self._begin = np.zeros((count, j))
        self._way = np.zeros((count, j))
        self._bound = np.zeros((count, c))
        # one piece beyond the end is measured too: there the lines of the next ticks will be
        self._shares = np.arange(PIECES + 2) / PIECES

    def begin(self, q: Array, slack: Array) -> None:
        """Start with lines that are points at ``q`` (l, j), where the slacks are (l, c)."""
        self._begin[:] = q
        self._way[:] = 0.0
        self._bound[:] = slack

    def lowest(self, q: Array, way: Array) -> Array:
        """A bound of the lowest slack (l,) m on lines from ``q`` along ``way``, (l, j) each."""
        apart = _apart(self._begin, self._way, q, way)
        moved = apart @ self._speed
        bound = self._bound - moved
        lowest: Array = bound.min(1, initial=np.inf)
        return lowest

    def measure(self, lines: Indices, q: Array, way: Array, curved: Array) -> Measured:
        """Measure the constraints that may be close on some lines, and store these lines.

        Args:
            lines: (a,) indices of the lines.
            q: (a, j) rad, where they begin.
            way: (a, j) rad, their displacement.
            curved: (a,) 1 where the curvature of the spheres' paths is taken into account, or 0.
        """
        clearance = self._clearance
        longer = way * self._shares[-1]
        apart = _apart(self._begin[lines], self._way[lines], q, longer)
        moved = apart @ self._speed
        bound = self._bound[lines] - moved
        may_be_close = bound < SOON
        constraint, row = np.nonzero(may_be_close.T)

        from_begin = self._shares[:, None] * way[:, None]
        places = q[:, None] + from_begin  # (a, PIECES + 2, j)
        vectors, distance = clearance.distances(places, constraint, row)
        piece = way.T / PIECES
        change = second_change(clearance.bend, piece)  # (c, a)
        bulges = curved * change / 8
        bulge = bulges[constraint, row, None]
        lowest_distance = _lowest_on_pieces(vectors, distance, bulge)
        least = clearance.least[constraint, None]
        slack = distance - least
        lowest = lowest_distance - least

        bound[row, constraint] = lowest.min(1)
        self._begin[lines] = q
        self._way[lines] = longer
        self._bound[lines] = bound
        return Measured(
            constraint=constraint,
            line=lines[row],
            slack=slack[:, :-1],
            lowest=lowest[:, :-1],
        )


def _apart(old_begin: Array, old_way: Array, begin: Array, way: Array) -> Array:
    """The largest distance of each joint between old lines and new ones; all (l, j) rad.

    A point of a new line is compared with a point of the old line that is interpolated between the
    points nearest to the new line's ends.
    """
    both = np.array([begin, begin + way])
    ends = both - old_begin  # (2, l, j)
    squared = old_way * old_way
    squared_length = squared.sum(1) + TINY
    product = ends * old_way
    along = product.sum(2) / squared_length
    share = clip(along, 0.0, 1.0)
    nearest = share[..., None] * old_way
    distance = np.abs(ends - nearest)
    farthest: Array = distance.max(0)
    return farthest


def _lowest_on_pieces(vectors: Array, distance: Array, bulge: Array) -> Array:
    """A bound of the lowest distance on each piece of a line, (m, k - 1) m.

    On straight paths a distance d = |v| is a convex function of the share w of the piece: it lies
    above its tangents at both ends, where its slope is v · Δv/d. Because the paths are curved, it
    is lower by at most 4·bulge·w·(1 - w). If it rises at its beginning, or falls at its end, by
    more than 4·bulge, that end is the lowest.

    Args:
        vectors: v, (m, 3, k) m at the ends of the pieces.
        distance: d, (m, k) m; negative below the table.
        bulge: (m, 1) m, largest distance of the paths from the straight line.
    """
    begin = distance[:, :-1]
    end = distance[:, 1:]
    first_vector = vectors[..., :-1]
    last_vector = vectors[..., 1:]
    product = np.einsum("mxk,mxk->mk", first_vector, last_vector)
    first_slope = product / (begin + TINY) - begin
    last_slope = end - product / (end + TINY)
    falls = first_slope < 0
    rises = last_slope > 0
    ahead = last_slope + begin - end
    turn = last_slope - first_slope + TINY
    crossing = ahead / turn  # w where the tangents meet
    between = begin + first_slope * crossing
    at_ends = np.minimum(begin, end)
    straight = np.where(falls & rises, between, at_ends)
    steepest = 4 * bulge
    lowest = np.where(first_slope >= steepest, begin, straight - bulge)
    return np.where(last_slope <= -steepest, end, lowest)
