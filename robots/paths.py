"""Paths from rest to rest around the table and the arm itself, with the tool in its box.

A move may reduce a violation, such as a tool outside its box, but never increase it. The
straight line is tried first, then two lines through the home pose, then a search by two trees
(RRT-Connect: Kuffner and LaValle 2000). Axes: n configurations, j joints, c constraints.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.clearance import Clearance
from robots.errors import ArmError, BadArgumentError
from robots.signals import Array

# All numbers are ours.
MARGIN = 0.01  # m, by which links stay farther from the table and each other than the gate requires
TOOL_MARGIN = 0.005  # m, the tool stays so far inside its box
RESOLUTION = 0.03  # rad, between two configurations that are checked
TOLERANCE = 1e-9  # m; a smaller growth of a violation is rounding
TRIES = 2000  # samples until the search gives up
WAYPOINTS = 32  # most waypoints of a path

BOX_NAMES = ("tool's box in x", "tool's box in y", "tool's box in z")
BOX = slice(0, 3)


class FreeSpace:
    """The constraints on one arm's configuration: the tool's box, the table and the arm itself.

    The distances of links are those that the gate checks, see ``Clearance``, plus a margin. Where
    the goal itself is closer than the margin, that distance is allowed.
    """

    def __init__(self, clearance: Clearance, limits: Limits, goal: Array) -> None:
        """Prepare the space around one goal.

        Args:
            clearance: of the arm's links.
            limits: of the move, with the box of the tool.
            goal: (j,) where the move is to end.
        """
        self.limits = limits
        self._kinematics = clearance.kinematics
        self._clearance = clearance
        low, high = limits.tool_box.T
        self._center = (low + high) / 2
        self._half_size = (high - low) / 2 - TOOL_MARGIN
        self.names = (*BOX_NAMES, *self._clearance.names)  # of the c constraints
        self._allowed = np.zeros(len(self.names))
        self._allowed = self.violations(goal[None])[0]

    def violations(self, q: Array) -> Array:
        """By how much each constraint is violated at ``q`` (n, j), (n, c) m; 0 where it holds."""
        tool = self._kinematics.position(q)
        outside = np.abs(tool - self._center) - self._half_size
        slack = self._clearance.slack(q)
        depth = np.column_stack([outside, MARGIN - slack.T])
        violation: Array = np.maximum(depth - self._allowed, 0.0)
        return violation

    def check_goal(self, goal: Array) -> None:
        """Refuse a goal (j,) that the gate would not let the arm reach.

        Raises:
            BadArgumentError: the message names the joint, the box, or what a link is too close to.
        """
        limits = self.limits
        inside = (goal >= limits.q_low) & (goal <= limits.q_high)  # False for NaN
        if not inside.all():
            allowed = f"allowed are {limits.q_low} to {limits.q_high}"
            raise BadArgumentError(f"cannot move to {goal}: {allowed}")
        if (self._allowed[BOX] > TOOL_MARGIN).any():
            tool = self._kinematics.position(goal[None])[0]
            box = limits.tool_box.tolist()
            raise BadArgumentError(f"cannot move to {goal}: the tool at {tool} m is outside {box}")
        too_close = self._allowed > MARGIN + TOLERANCE
        too_close[BOX] = False
        if too_close.any():
            what = self.names[int(np.argmax(too_close))]
            raise BadArgumentError(f"cannot move to {goal}: a link is too close to the {what}")

    def passable(self, begin: Array, end: Array, backward: bool = False) -> Array:
        """The path from ``begin`` (j,) towards ``end`` (j,), as far as no violation grows, (k, j).

        ``backward``: the arm will follow it from its end to its beginning.
        """
        distance = float(np.abs(end - begin).max())
        steps = 1 + int(distance / RESOLUTION)
        share = np.arange(steps + 1)[:, None] / steps
        way: Array = (1 - share) * begin + share * end
        growth = np.diff(self.violations(way), axis=0)
        if backward:
            growth = -growth
        blocked = (growth > TOLERANCE).any(1)
        count = int(np.argmax(blocked)) if blocked.any() else steps
        return way[: count + 1]

    def is_passable(self, path: Array) -> bool:
        """Whether a path (k, j) can be used from its beginning to its end."""
        for begin, end in pairwise(path):
            if not np.array_equal(self.passable(begin, end)[-1], end):
                return False
        return True


class Tree:
    """A search tree: every node can be reached from the root or, if ``backward``, can reach it."""

    def __init__(self, space: FreeSpace, root: Array, backward: bool) -> None:
        """Begin at ``root`` (j,); ``backward``: the paths lead to the root."""
        self.nodes = root[None]  # (nodes, j)
        self._space = space
        self._parents = [0]
        self._backward = backward

    def grow(self, goal: Array) -> bool:
        """Extend from the nearest node towards ``goal`` (j,); returns whether it was reached.

        If no extension is possible, the newest node stays the same.
        """
        distance = np.linalg.norm(self.nodes - goal, axis=-1)
        nearest = int(distance.argmin())
        way = self._space.passable(self.nodes[nearest], goal, self._backward)
        if len(way) == 1:
            return False
        self.nodes = np.concatenate([self.nodes, way[-1:]])
        self._parents.append(nearest)
        return np.array_equal(way[-1], goal)

    def branch(self) -> Array:
        """The path from the root to the newest node, (k, j)."""
        node = len(self._parents) - 1
        way = [node]
        while node != 0:
            node = self._parents[node]
            way.append(node)
        return self.nodes[way[::-1]]


def plan_path(clearance: Clearance, start: Array, goal: Array, rng: np.random.Generator) -> Array:
    """Waypoints from ``start`` (j,) to ``goal`` (j,), with straight lines between them.

    The tool stays in the arm's box if there is such a path, and in ``arm.move_box`` otherwise.

    Args:
        clearance: of the arm that is to move, from rest to rest.
        start: where it is; it may violate the constraints.
        goal: where it is to go.
        rng: of the search.

    Returns:
        (k, j) with start and goal, k at most ``WAYPOINTS``.

    Raises:
        BadArgumentError: the goal is outside the limits.
        ArmError: no path was found.
    """
    arm = clearance.kinematics.arm
    wide = FreeSpace(clearance, arm.move_limits, goal)
    wide.check_goal(goal)
    narrow = FreeSpace(clearance, arm.limits, goal)
    for space in (narrow, wide):
        for path in _simple_paths(arm, start, goal):
            if space.is_passable(path):
                return path
    found = _search(wide, start, goal, rng)
    if found is None or len(found) > WAYPOINTS:
        depth = wide.violations(start[None])[0]
        violated = np.flatnonzero(depth > 0)
        names = dict.fromkeys(wide.names[i] for i in violated)  # each once
        where = f"; where it is, it violates: {', '.join(names)}" if names else ""
        raise ArmError(f"no free way was found from {start} to {goal}{where}")
    return found


def _simple_paths(arm: ArmSpec, start: Array, goal: Array) -> Iterator[Array]:
    """Straight lines to the goal: alone, and by way of the home pose."""
    yield np.stack([start, goal])
    yield np.stack([start, arm.home, goal])


def _search(space: FreeSpace, start: Array, goal: Array, rng: np.random.Generator) -> Array | None:
    """A path (k, j) by RRT-Connect: two trees grow towards samples and towards each other."""
    forth = Tree(space, start, backward=False)
    back = Tree(space, goal, backward=True)
    growing = forth
    other = back
    for _ in range(TRIES):
        sample = rng.uniform(space.limits.q_low, space.limits.q_high)
        growing.grow(sample)
        if other.grow(growing.nodes[-1]):
            path = np.concatenate([forth.branch(), back.branch()[-2::-1]])
            return _shortened(space, path)
        growing, other = other, growing
    return None


def _shortened(space: FreeSpace, path: Array) -> Array:
    """The path (k, j) without waypoints that a straight line can leave out."""
    kept = [0]
    while kept[-1] < len(path) - 1:
        begin = kept[-1]
        end = len(path) - 1
        while end > begin + 1 and not space.is_passable(path[[begin, end]]):
            end -= 1
        kept.append(end)
    return path[kept]
