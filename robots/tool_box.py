"""The box that an arm's tool must stay in, as the safety gate checks it. Batched.

Axes: n arms, j joints; arms come last, as inside the gate.
"""

import numpy as np

from robots.arm import Limits
from robots.braking import StraightBraking
from robots.joint_steps import TINY, per_arm
from robots.kinematics import Kinematics
from robots.reach import tool_curvature_bound, tool_speed_bound
from robots.signals import Array, Mask
from robots.tool_speed import ToolSpeed, at_shares

PROMISE = 0.002  # m, the farthest that an arm's tool may leave its box between two setpoints
MARGIN = 0.0005  # m before a face at which the tool is stopped, so that it can move along the face
ROUNDING = 1e-12  # m
END = np.array([1.0])  # of a line
ENDS_OF_HALVES = np.array([0.0, 0.5, 1.0])


class ToolBox:
    """Computes how fast the joints may move so that the tool still stops inside its box.

    The joints brake together along a straight line in joint space. Positions of the tool are
    relative to the center of the box.
    """

    # s: the gate slows down this much earlier than necessary. Otherwise the tool would chatter at
    # the face of the box.
    LEAD_TIME = 0.02

    def __init__(
        self,
        limits: Limits,
        kinematics: Kinematics,
        braking: StraightBraking,
        dt: float,
        n: int,
    ) -> None:
        """Prepare the box of n arms.

        Args:
            limits: with the box and the joints' accelerations.
            kinematics: of the tool.
            braking: how the joints stop.
            dt: s between two ticks.
            n: number of arms.
        """
        self.kinematics = kinematics
        self.lag = braking.lag + 2 * dt + self.LEAD_TIME  # s, see ``allowed_fraction``
        chain = kinematics.chain
        self.speed = ToolSpeed(limits, kinematics, dt)
        self._curvature = tool_curvature_bound(chain, limits)
        low, high = limits.tool_box.T
        center = limits.tool_box.mean(1)
        half_size = (high - low) / 2
        two_ddq = 2 * limits.ddq
        self._center = per_arm(center, n)
        self._half_size = per_arm(half_size, n)
        self._two_ddq = per_arm(two_ddq, n)

        in_a_tick = limits.dq[:, None] * dt
        between_ticks = self._bulge(in_a_tick)[0]
        beside_line = braking.offset @ tool_speed_bound(chain, limits)
        #: m, the promise: the farthest that the tool leaves its box, whatever is requested
        self.promise = float(beside_line + between_ticks)

    def position(self, q: Array) -> Array:
        """Positions (3, n) m of the tool in the box at joint positions (j, n)."""
        positions = self.kinematics.position(q.T)
        position: Array = self._in_box(positions, 1)[0]
        return position

    def allowed_fraction(self, q: Array, tool: Array, requested: Array) -> Array:
        """The fraction of the ``requested`` velocity with which the tool keeps its speed and box.

        While the joints brake from that velocity, the tool travels along a line, of which a
        fraction lies inside the box.

        Args:
            q: (j, n) rad.
            tool: (3, n) m, its position at ``q``.
            requested: (j, n) rad/s.

        Returns:
            (n,) in [0, 1].
        """
        times = np.abs(requested) / self._two_ddq
        time = times.max(0)
        lag = self.lag
        stop_time = time + lag
        line = requested * stop_time
        positions, speed = self._look_along(q, line, stop_time, END)
        rest = positions[0]
        displacement = rest - tool
        distance = np.abs(displacement)
        toward_face = np.sign(displacement) * tool
        room = self._half_size - MARGIN - toward_face
        room = np.maximum(room, 0.0)
        fractions = (room + TINY) / (distance + TINY)  # of each axis
        inside = fractions.min(0)  # f

        fraction = fraction_of_speed(inside, time, lag)
        in_box = np.where(inside < 1, fraction, 1.0)
        slow_enough = self.speed.allowed_fraction(speed)
        return np.minimum(in_box, slow_enough)

    def would_leave(
        self, present: Array, q: Array, displacement: Array, time: Array
    ) -> tuple[Mask, Array]:
        """Whether the tool would leave the box or be too fast on a straight line in joint space.

        The tool's position is computed at both ends and in the middle. In between, its path leaves
        the straight line through these points by no more than its curvature allows. A tool that is
        already outside may stay as far outside as it is, along each axis.

        Args:
            present: (3, n) m, the tool at the last setpoint.
            q: (j, n) rad, where the line begins: the next setpoint.
            displacement: (j, n) rad, from its beginning to its end.
            time: (n,) s, in which the joints would travel along it without slowing down.

        Returns:
            The arms that leave or are too fast (n,), and the tool's position at ``q`` (3, n) m.
        """
        positions, speed = self._look_along(q, displacement, time, ENDS_OF_HALVES)
        distances = np.abs(positions)
        half = displacement / 2
        bulge = self._bulge(half)
        farthest = _farthest(distances[:-1], distances[1:], bulge)
        present_distance = np.abs(present)
        allowed = np.maximum(present_distance, self._half_size)
        outside = farthest.max(0) > allowed + ROUNDING
        tool = positions[0]
        leaves = outside.any(0)
        leaves |= self.speed.is_too_fast(speed, tool - present)
        return leaves, tool

    def _look_along(self, q: Array, line: Array, time: Array, shares: Array) -> tuple[Array, Array]:
        """The tool on straight lines in joint space; all its positions are computed at once.

        Args:
            q: (j, n) rad, where the lines begin.
            line: (j, n) rad, their displacements.
            time: (n,) s, in which the joints travel along them.
            shares: k places on a line, in [0, 1].

        Returns:
            Positions (k, 3, n) m in the box there, and a bound of the speed (n,) m/s.
        """
        speed, fast = self.speed.by_levers(line, time)
        places = at_shares(q, line, shares)
        count = len(places)
        if len(fast):
            fast_line = line[:, fast]
            around_places = self.speed.places(q[:, fast], fast_line)
            places = np.concatenate([places, around_places])
        positions = self.kinematics.position(places)
        if len(fast):
            around = positions[count:]
            closer = self.speed.by_derivative(around, fast_line, time[fast])
            speed[fast] = np.minimum(speed[fast], closer)
        in_box = self._in_box(positions[:count], len(shares))
        return in_box, speed

    def _bulge(self, displacement: Array) -> Array:
        """The largest distance of the tool's path from its chord for displacements (j, n): (n,) m.

        A path p(s), 0 <= s <= 1, with |p''| <= c lies within c/8 of its chord. Here
        c = Σ |∂²p/∂q_i∂q_k|·|Δq_i|·|Δq_k|.
        """
        distance = np.abs(displacement)
        products = self._curvature @ distance * distance
        curvature = products.sum(0)
        bulge: Array = curvature / 8
        return bulge

    def _in_box(self, positions: Array, k: int) -> Array:
        """Positions (k·n, 3) m in the frame of the base as positions (k, 3, n) m in the box."""
        rows = positions.reshape(k, -1, 3)
        columns = rows.swapaxes(1, 2)
        n = columns.shape[-1]
        center = self._center[:, :n]
        from_center: Array = columns - center
        return from_center


def fraction_of_speed(inside: Array, time: Array | float, lag: float) -> Array:
    """The fraction of a velocity at which joints stop within a share ``inside`` of their line.

    At the fraction s they travel s·(s·time + lag) times the velocity until they are at rest. Hence
    s·(s·time + lag) = inside·(time + lag), solved for s.

    Args:
        inside: share of the line that is free, in [0, 1].
        time: s, half of the time in which they brake.
        lag: s, for which they continue at full speed.
    """
    allowed = inside * (time + lag)
    half_lag = lag / 2
    root = np.sqrt(half_lag**2 + time * allowed)
    fraction: Array = allowed / (half_lag + root)
    return fraction


def _farthest(begin: Array, end: Array, bulge: Array) -> Array:
    """The highest value on paths from ``begin`` to ``end`` (k, 3, n) that bulge by ``bulge`` (n,).

    At w in [0, 1] a path is at most begin + (end - begin)·w + 4·bulge·w·(1 - w). If it rises or
    falls by less than 4·bulge, the maximum lies inside and is higher than either end.
    """
    rise = np.abs(end - begin)
    steepest = 4 * bulge
    inside = np.maximum(steepest - rise, 0.0)
    higher: Array = inside * inside / (4 * steepest + TINY)
    at_ends = np.maximum(begin, end)
    return higher + at_ends
