"""The limit on the speed of an arm's tool, as the safety gate checks it. Batched.

Axes: n arms, j joints; arms come last, as inside the gate.
"""

import numpy as np

from robots.arm import Limits
from robots.joint_steps import TINY
from robots.kinematics import Kinematics
from robots.reach import third_change, tool_speed_bound
from robots.signals import Array, Indices, Mask

LEAD = 0.99  # of the limit, to which a request is slowed down, so that the arm need not brake
ROUNDING = 1e-9  # of the limit, tolerance for rounding errors
SPACING = 0.5  # of a line, between the places where the speed is computed
PLACES = np.array([0.0, SPACING, 2 * SPACING])
STEP = 1e-4  # of a line, for the derivatives there; the error is STEP² of the third derivative
AROUND_PLACES = np.concatenate([PLACES - STEP, PLACES + STEP])


def at_shares(q: Array, line: Array, shares: Array) -> Array:
    """Configurations at k ``shares`` of lines (j, n) from ``q`` (j, n): (k · n, j)."""
    j, n = q.shape
    from_begin = shares[:, None, None] * line.T
    places = q.T + from_begin  # (k, n, j)
    flat: Array = places.reshape(len(shares) * n, j)
    return flat


class ToolSpeed:
    """Bounds the speed of the tool on the straight line in joint space along which an arm brakes.

    The joints only slow down on it, but the tool may be faster later, where the same joint
    velocities move it more.
    """

    def __init__(self, limits: Limits, kinematics: Kinematics, dt: float) -> None:
        """Prepare the bound.

        Args:
            limits: with the tool's speed.
            kinematics: of the tool.
            dt: s between two ticks.
        """
        self._limit = limits.tool_speed
        self._lever = tool_speed_bound(kinematics.chain, limits)
        self._dt = dt

    def by_levers(self, displacement: Array, time: Array) -> tuple[Array, Indices]:
        """A first bound of the tool's speed (n,) m/s on a line that takes ``time`` (n,) s.

        It is computed from the lever arms of the joints. The second result are the arms whose tool
        may be too fast by this bound; for these ``by_derivative`` gives a closer bound.
        """
        distance = np.abs(displacement)
        highest = self._lever @ distance / time
        too_fast = highest > LEAD * self._limit
        return highest, np.flatnonzero(too_fast)

    def places(self, q: Array, line: Array) -> Array:
        """Configurations (6·m, j) at which ``by_derivative`` needs the tool's position.

        On lines (j, m) from ``q``, a little before and then a little behind each of ``PLACES``.
        """
        return at_shares(q, line, AROUND_PLACES)

    def by_derivative(self, positions: Array, line: Array, time: Array) -> Array:
        """A bound of the tool's speed, (m,) m/s.

        Between two places that are ds apart, the derivative p' of the tool's path is at most as
        long as the longer of the two derivatives there, plus ds²/8 times a bound of p'''.

        Args:
            positions: (6·m, 3) m of the tool at ``places``.
            line: (j, m) rad.
            time: (m,) s that the line takes.
        """
        begin, end = positions.reshape(2, -1, 3)
        way = end - begin
        squared = np.einsum("mx,mx->m", way, way)
        of_places = squared.reshape(len(PLACES), -1)
        longest_way = np.sqrt(of_places.max(0))
        longest = longest_way / (2 * STEP)
        change = third_change(self._lever, line)
        between = change * SPACING**2 / 8
        bound: Array = (longest + between) / time
        return bound

    def allowed_fraction(self, speed: Array) -> Array:
        """The allowed fraction (n,) of a velocity at which the tool reaches ``speed`` (n,) m/s."""
        slower: Array = LEAD * self._limit / (speed + TINY)
        return np.minimum(slower, 1.0)

    def is_too_fast(self, speed: Array, moved: Array) -> Mask:
        """Whether ``speed`` (n,) m/s or a tick's displacement ``moved`` (3, n) m is too fast."""
        squared = moved * moved
        distance = np.sqrt(squared.sum(0))
        in_tick = distance / self._dt
        highest = np.maximum(speed, in_tick)
        limit = self._limit * (1 + ROUNDING)
        too_fast: Mask = highest > limit
        return too_fast
