"""Paths from rest to rest around the table and the arm itself, with the tool in its box.

A move may reduce what it violates, such as a tool outside its box, and never make it worse. The
straight line is tried first, then two lines through the home pose, then a search by two trees
(RRT-Connect: Kuffner and LaValle 2000). Axes: n configurations, j joints, p points on the arm.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array

# All numbers are ours.
THICKNESS = 0.04  # radius of the links, as a share of the arm's length
NEIGHBORS = 3  # links fewer than so many places apart are kept apart by the joints' limits
HOME_SHARE = 0.9  # two links may come this near, as a share of their distance at home
TOOL_MARGIN = 0.005  # m, the tool stays so far inside its box
RESOLUTION = 0.03  # rad, between two configurations that are checked
TOLERANCE = 1e-9  # m, growth of a violation that is rounding
TRIES = 2000  # samples until the search gives up
WAYPOINTS = 32  # most waypoints of a path

CONSTRAINTS = ("tool's box in x", "tool's box in y", "tool's box in z", "table", "arm itself")
BOX = slice(0, 3)


class FreeSpace:
    """What keeps one arm from a configuration: the tool's box, the table and the arm itself.

    The arm is a chain of straight links from the base over the joints' origins to the tool, all of
    one thickness; the table is at z = 0. The last link leads to the tool, which may work close to
    the table: the tool's box keeps it from there. What the goal itself needs is allowed.
    """

    def __init__(self, arm: ArmSpec, limits: Limits, goal: Array) -> None:
        """Prepare the space around one goal.

        Args:
            arm: whose links these are.
            limits: of the move, with the box of the tool.
            goal: (j,) where the move is to end.
        """
        self.limits = limits
        self._kinematics = Kinematics(arm)
        low, high = limits.tool_box.T
        self._center = (low + high) / 2
        self._half_size = (high - low) / 2 - TOOL_MARGIN
        home = self._origins(arm.home[None])
        lengths = np.linalg.norm(np.diff(home[0], axis=0), axis=-1)
        self._radius = THICKNESS * float(lengths.sum())
        self._place_points(lengths)
        # The base and the first link stand on the table; the last link is the tool's.
        last = len(lengths) - 1
        self._over_table = (self._link >= 2) & (self._link < last)
        self._choose_pairs(self._points(home)[0])
        self._allowed = np.zeros(len(CONSTRAINTS))
        self._allowed = self.violations(goal[None])[0]

    def _place_points(self, lengths: Array) -> None:
        """Put points on the links, at most one radius apart."""
        link: list[int] = []
        share: list[float] = []
        for i, length in enumerate(lengths.tolist()):
            pieces = 1 + int(length / self._radius)
            along = np.arange(pieces) / pieces
            link += [i] * pieces
            share += along.tolist()
        self._link = np.array(link)  # (p,) the link of each point
        self._share = np.array(share)[:, None]  # (p, 1) of its length

    def _choose_pairs(self, at_home: Array) -> None:
        """Choose the pairs of points (p, 3) that must not come close to each other."""
        count = len(self._link)
        first, second = np.triu_indices(count, 1)
        links_between = self._link[second] - self._link[first]
        is_apart = links_between >= NEIGHBORS
        self._first = first[is_apart]
        self._second = second[is_apart]
        between = at_home[self._first] - at_home[self._second]
        distance = np.linalg.norm(between, axis=-1)
        near_home = HOME_SHARE * distance
        both_radii = 2 * self._radius
        self._least_distance = np.minimum(both_radii, near_home)

    def violations(self, q: Array) -> Array:
        """How deep each of ``CONSTRAINTS`` is violated at ``q`` (n, j), (n, 5) m; 0: it holds."""
        origins = self._origins(q)
        points = self._points(origins)
        outside = np.abs(origins[:, -1] - self._center) - self._half_size
        lowest = points[:, self._over_table, 2].min(1, initial=np.inf)
        between = points[:, self._first] - points[:, self._second]
        distance = np.linalg.norm(between, axis=-1)
        overlap = (self._least_distance - distance).max(1, initial=0.0)
        depth = np.column_stack([outside, self._radius - lowest, overlap])
        violation: Array = np.maximum(depth - self._allowed, 0.0)
        return violation

    def check_goal(self, goal: Array) -> None:
        """Refuse a goal (j,) at which the tool would be outside its box, or that is out of range.

        Raises:
            BadArgumentError: the message names joint or box.
        """
        limits = self.limits
        inside = (goal >= limits.q_low) & (goal <= limits.q_high)  # False for NaN
        if not inside.all():
            allowed = f"allowed are {limits.q_low} to {limits.q_high}"
            raise BadArgumentError(f"cannot move to {goal}: {allowed}")
        if (self._allowed[BOX] > TOOL_MARGIN).any():
            tool = self._origins(goal[None])[0, -1]
            box = limits.tool_box.tolist()
            raise BadArgumentError(f"cannot move to {goal}: the tool at {tool} m is outside {box}")

    def passable(self, begin: Array, end: Array, backward: bool = False) -> Array:
        """The way from ``begin`` (j,) towards ``end`` (j,), as far as no violation grows, (k, j).

        ``backward``: it is to be used from its end to its beginning.
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

    def _origins(self, q: Array) -> Array:
        """The base, the joints' origins and the tool, (n, j + 2, 3) m."""
        origins = self._kinematics.frames(q)[..., :3, 3]
        base = np.zeros((len(q), 1, 3))
        return np.concatenate([base, origins], 1)

    def _points(self, origins: Array) -> Array:
        """The points on the links, (n, p, 3) m."""
        begin = origins[:, self._link]
        end = origins[:, self._link + 1]
        points: Array = begin + self._share * (end - begin)
        return points


class Tree:
    """Configurations from which, or from the first of which, all others can be reached."""

    def __init__(self, space: FreeSpace, root: Array, backward: bool) -> None:
        """Begin at ``root`` (j,); ``backward``: its ways lead to the root."""
        self.nodes = root[None]  # (nodes, j)
        self._space = space
        self._parents = [0]
        self._backward = backward

    def grow(self, goal: Array) -> bool:
        """Go from the nearest node towards ``goal`` (j,) as far as possible; whether it got there.

        Where it got nowhere, the newest node stays the one that it was.
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
        """The way from the root to the newest node, (k, j)."""
        node = len(self._parents) - 1
        way = [node]
        while node != 0:
            node = self._parents[node]
            way.append(node)
        return self.nodes[way[::-1]]


def plan_path(arm: ArmSpec, start: Array, goal: Array, rng: np.random.Generator) -> Array:
    """Waypoints from ``start`` (j,) to ``goal`` (j,), with straight lines between them.

    The tool stays in the arm's box if there is such a path, and in ``arm.move_box`` otherwise.

    Args:
        arm: that is to move, from rest to rest.
        start: where it is; it may violate the constraints.
        goal: where it is to go.
        rng: of the search.

    Returns:
        (k, j) with start and goal, k at most ``WAYPOINTS``.

    Raises:
        BadArgumentError: the goal is outside the limits.
        ArmError: no path was found.
    """
    wide = FreeSpace(arm, arm.move_limits, goal)
    wide.check_goal(goal)
    narrow = FreeSpace(arm, arm.limits, goal)
    for space in (narrow, wide):
        for path in _simple_paths(arm, start, goal):
            if space.is_passable(path):
                return path
    found = _search(wide, start, goal, rng)
    if found is None or len(found) > WAYPOINTS:
        depth = wide.violations(start[None])[0]
        names = [name for name, d in zip(CONSTRAINTS, depth, strict=True) if d > 0]
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
