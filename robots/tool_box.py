"""The box that an arm's tool must stay in, as the safety gate checks it. Batched.

Axes: n arms, j joints; arms come last, as inside the gate.
"""

import numpy as np

from robots.arm import Limits
from robots.kinematics import Kinematics
from robots.signals import Array, Mask

TINY = 1e-300  # makes 0/0 one, and is negligible beside any other number
TOLERANCE = 1e-9  # m


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
        lag: float,
        n: int,
    ) -> None:
        """Prepare the box of n arms.

        Args:
            limits: with the box and the joints' accelerations.
            kinematics: of the tool.
            lag: s, how long the joints travel on before they decelerate.
            n: number of arms.
        """
        self._kinematics = kinematics
        self._lag = lag
        low, high = limits.tool_box.T
        center = limits.tool_box.mean(1)
        half_size = (high - low) / 2
        two_ddq = 2 * limits.ddq
        self._center = np.repeat(center[:, None], n, 1)
        self._half_size = np.repeat(half_size[:, None], n, 1)
        self._two_ddq = np.repeat(two_ddq[:, None], n, 1)

    def allowed_fraction(self, q: Array, requested: Array) -> tuple[Array, Array]:
        """How much of the velocity ``requested`` still lets the tool stop inside the box.

        At the fraction s, the joints travel s·(s·time + lag)·requested until they are at rest. At
        s = 1 the tool travels along a line of which the fraction f lies inside the box. Hence
        s·(s·time + lag) = f·(time + lag), solved for s.

        Args:
            q: (j, n) rad.
            requested: (j, n) rad/s.

        Returns:
            The fraction s (n,) in [0, 1], and the position (3, n) m of the tool at ``q``.
        """
        time = self._braking_time(requested)
        lag = self._lag + self.LEAD_TIME
        stop_time = time + lag
        rest_q = q + requested * stop_time
        tool, rest = self._tool_positions(q, rest_q)
        displacement = rest - tool
        distance = np.abs(displacement)
        room = self._half_size - np.sign(displacement) * tool
        room = np.maximum(room, 0.0)
        fractions = (room + TINY) / (distance + TINY)  # of each axis
        inside = fractions.min(0)  # f

        allowed = inside * stop_time
        half_lag = lag / 2
        root = np.sqrt(half_lag**2 + time * allowed)
        fraction = allowed / (half_lag + root)
        return np.where(inside < 1, fraction, 1.0), tool

    def would_leave(self, tool: Array, q: Array, dq: Array) -> Mask:
        """Whether the tool would leave the box while the joints brake, (n,).

        Checked halfway to standstill and at standstill. A tool that is already outside may stay as
        far out as it is.

        Args:
            tool: (3, n) m, its present position.
            q: (j, n) rad, the next setpoint.
            dq: (j, n) rad/s, its velocity.
        """
        time = self._braking_time(dq) + self._lag
        displacement = dq * time
        positions = self._tool_positions(q + displacement / 2, q + displacement)
        halfway, rest = np.abs(positions)
        farthest = np.maximum(halfway, rest)
        present = np.abs(tool)
        allowed = np.maximum(present, self._half_size)
        outside = farthest > allowed + TOLERANCE
        leaves: Mask = outside.any(0)
        return leaves

    def _braking_time(self, dq: Array) -> Array:
        """Braking distance over velocity for joints at ``dq`` (j, n) rad/s, s (n,).

        Braking from v at the deceleration a takes the distance v²/(2·a), which at the velocity v is
        traveled in v/(2·a). The slowest joint decides, because all brake together.
        """
        times = np.abs(dq) / self._two_ddq
        longest: Array = times.max(0)
        return longest

    def _tool_positions(self, first: Array, second: Array) -> Array:
        """Positions (2, 3, n) m of the tool in the box at two configurations (j, n) rad."""
        q = np.concatenate([first, second], 1)
        positions = self._kinematics.position(q.T)
        columns = positions.reshape(2, -1, 3).swapaxes(1, 2)
        from_center: Array = columns - self._center
        return from_center
