"""How fast an arm's tool may move, as the safety gate checks it. Batched.

Axes: n arms, j joints; arms come last, as inside the gate.
"""

import numpy as np

from robots.arm import Limits
from robots.joint_steps import TINY
from robots.kinematics import Kinematics
from robots.reach import third_change, tool_speed_bound
from robots.signals import Array, Mask

LEAD = 0.99  # of the limit, to which a request is slowed down, so that the arm need not brake
ROUNDING = 1e-9  # of the limit
PLACES = (0.0, 0.5, 1.0)  # on a line, where the speed is computed
STEP = 1e-4  # of a line, for the derivatives there; the error is STEP² of the third derivative


class ToolSpeed:
    """Bounds the speed of the tool on the straight line in joint space along which an arm brakes.

    The joints only slow down on it, but the tool may be faster later, where the same joint
    velocities move it more.
    """

    def __init__(self, limits: Limits, kinematics: Kinematics, dt: float, lag: float) -> None:
        """Prepare the bound.

        Args:
            limits: with the tool's speed.
            kinematics: of the tool.
            dt: s between two ticks.
            lag: s, for which the joints go on at full speed when they are to stop.
        """
        self._kinematics = kinematics
        self._limit = limits.tool_speed
        self._lever = tool_speed_bound(kinematics.chain, limits)
        self._two_ddq = 2 * limits.ddq[:, None]
        self._dt = dt
        self._lag = lag

    def allowed_fraction(self, q: Array, requested: Array) -> Array:
        """How much of the velocity ``requested`` (j, n) keeps the tool's speed, (n,)."""
        times = np.abs(requested) / self._two_ddq
        time = times.max(0) + self._lag
        speed = self._highest(q, requested * time, time)
        slower: Array = LEAD * self._limit / (speed + TINY)
        return np.minimum(slower, 1.0)

    def is_too_fast(self, q: Array, displacement: Array, time: Array, moved: Array) -> Mask:
        """Whether the tool is too fast in a tick, or would be while the arm brakes after it, (n,).

        Args:
            q: (j, n) rad, at the end of the tick.
            displacement: (j, n) rad, the line along which the arm brakes from there.
            time: (n,) s, in which the joints would travel along it at their present velocities.
            moved: (3, n) m, the way of the tool in the tick.
        """
        speed = np.sqrt((moved**2).sum(0)) / self._dt
        highest = np.maximum(speed, self._highest(q, displacement, time))
        too_fast: Mask = highest > self._limit * (1 + ROUNDING)
        return too_fast

    def _highest(self, q: Array, displacement: Array, time: Array) -> Array:
        """A bound of the tool's speed on a line that takes ``time`` (n,), (n,) m/s.

        Between two places, ds apart, the derivative p' of the tool's way is at most as long as the
        longer of those there, and ds²/8 of a bound of p''' more. Where the lever arms of the joints
        exclude that the tool is too fast, p' is not computed.
        """
        highest = self._lever @ np.abs(displacement) / time
        rows = np.flatnonzero(highest > LEAD * self._limit)
        if len(rows):
            line = displacement[:, rows]
            longest = self._longest_derivative(q[:, rows], line)
            highest[rows] = np.minimum(highest[rows], longest / time[rows])
        return highest

    def _longest_derivative(self, q: Array, line: Array) -> Array:
        """A bound of the length of p' on lines (j, m) from ``q``, (m,) m."""
        step = STEP * line
        places = np.concatenate([q + place * line for place in PLACES], 1)
        steps = np.tile(step, len(PLACES))
        around = np.concatenate([places - steps, places + steps], 1)
        positions = self._kinematics.position(around.T)
        begin, end = positions.reshape(2, -1, 3)
        way = end - begin
        squared = (way**2).sum(1)
        lengths = np.sqrt(squared) / (2 * STEP)
        longest: Array = lengths.reshape(len(PLACES), -1).max(0)
        spacing = PLACES[1] - PLACES[0]
        longest += third_change(self._lever, line) * spacing**2 / 8
        return longest
