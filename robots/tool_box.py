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
from robots.tool_speed import ToolSpeed

PROMISE = 0.002  # m, how far an arm's tool may get out of its box at most
MARGIN = 0.0005  # m before a face where the tool is led to stop, so that it can move along the face
ROUNDING = 1e-12  # m
HALVES = 2  # pieces of a line whose ends are computed


class ToolBox:
    """Computes how fast the joints may move so that the tool still stops inside its box.

    The joints brake together along a straight line in joint space. Positions of the tool are
    relative to the center of the box.
    """

    # s: the gate slows down this much sooner than it must. Without it the tool would chatter at the
    # face of the box.
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
        self.speed = ToolSpeed(limits, kinematics, dt, self.lag)
        self._curvature = tool_curvature_bound(chain, limits)
        low, high = limits.tool_box.T
        center = limits.tool_box.mean(1)
        half_size = (high - low) / 2
        two_ddq = 2 * limits.ddq
        self._center = per_arm(center, n)
        self._half_size = per_arm(half_size, n)
        self._two_ddq = per_arm(two_ddq, n)

        between_ticks = self._bulge(limits.dq[:, None] * dt)[0]
        beside_line = braking.offset @ tool_speed_bound(chain, limits)
        #: m, the promise: at most so far the tool gets out of its box, whatever is requested
        self.promise = float(beside_line + between_ticks)

    def position(self, q: Array) -> Array:
        """Positions (3, n) m of the tool in the box at joint positions (j, n)."""
        position: Array = self._positions([q])[0]
        return position

    def allowed_fraction(self, q: Array, tool: Array, requested: Array) -> Array:
        """How much of the velocity ``requested`` keeps the tool's speed, and its box at a stop.

        Where the joints come to rest in this way, the tool travels along a line of which a fraction
        lies inside the box.

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
        rest = self.position(q + requested * stop_time)
        displacement = rest - tool
        distance = np.abs(displacement)
        room = self._half_size - MARGIN - np.sign(displacement) * tool
        room = np.maximum(room, 0.0)
        fractions = (room + TINY) / (distance + TINY)  # of each axis
        inside = fractions.min(0)  # f

        fraction = fraction_of_speed(inside, time, lag)
        in_box = np.where(inside < 1, fraction, 1.0)
        slow_enough = self.speed.allowed_fraction(q, requested)
        return np.minimum(in_box, slow_enough)

    def would_leave(self, present: Array, q: Array, displacement: Array) -> tuple[Mask, Array]:
        """Whether the tool would leave the box somewhere on a straight line in joint space.

        It is computed at both ends and in the middle. In between it bulges out of the straight line
        through these points by no more than its curvature allows. A tool that is already outside
        may stay as far out as it is, along each axis.

        Args:
            present: (3, n) m, the tool at the last setpoint.
            q: (j, n) rad, where the line begins.
            displacement: (j, n) rad, where it leads.

        Returns:
            The arms that leave (n,), and the tool's position at ``q`` (3, n) m.
        """
        half = displacement / HALVES
        positions = self._positions([q, q + half, q + displacement])
        distances: Array = np.abs(positions)
        bulge = self._bulge(half)
        farthest = _farthest(distances[:-1], distances[1:], bulge).max(0)
        allowed = np.maximum(np.abs(present), self._half_size)
        outside = farthest > allowed + ROUNDING
        leaves: Mask = np.any(outside, 0)
        return leaves, positions[0]

    def _bulge(self, displacement: Array) -> Array:
        """How far the tool's path lies beside its chord at most, for displacements (j, n): (n,) m.

        A path p(s), 0 <= s <= 1, with |p''| <= c lies within c/8 of its chord. Here
        c = Σ |∂²p/∂q_i∂q_k|·|Δq_i|·|Δq_k|.
        """
        distance = np.abs(displacement)
        products = self._curvature @ distance * distance
        curvature = products.sum(0)
        bulge: Array = curvature / 8
        return bulge

    def _positions(self, configurations: list[Array]) -> Array:
        """Positions (k, 3, n) m of the tool in the box at k configurations (j, n)."""
        q = np.concatenate(configurations, 1)
        positions = self.kinematics.position(q.T)
        columns = positions.reshape(len(configurations), -1, 3).swapaxes(1, 2)
        from_center: Array = columns - self._center[:, : columns.shape[-1]]
        return from_center


def fraction_of_speed(inside: Array, time: Array | float, lag: float) -> Array:
    """The fraction of a velocity at which joints stop within a share ``inside`` of their line.

    At the fraction s they travel s·(s·time + lag) times the velocity until they are at rest. Hence
    s·(s·time + lag) = inside·(time + lag), solved for s.

    Args:
        inside: share of the line that is free, in [0, 1].
        time: s, half of the time in which they brake.
        lag: s, in which they go on at full speed.
    """
    allowed = inside * (time + lag)
    half_lag = lag / 2
    root = np.sqrt(half_lag**2 + time * allowed)
    fraction: Array = allowed / (half_lag + root)
    return fraction


def _farthest(begin: Array, end: Array, bulge: Array) -> Array:
    """The highest value on paths from ``begin`` to ``end`` (k, 3, n) that bulge by ``bulge`` (n,).

    At w in [0, 1] a path is at most begin + (end - begin)·w + 4·bulge·w·(1 - w). Where it rises or
    falls by less than 4·bulge, this has its maximum inside, higher than either end.
    """
    rise = np.abs(end - begin)
    inside = np.maximum(4 * bulge - rise, 0.0)
    higher: Array = inside**2 / (16 * bulge + TINY)
    return higher + np.maximum(begin, end)
