"""A knock as one action: how fast, and where.

Like ``robots/strike.py`` a memoryless map: the tool's next motion depends on its setpoint only. The
same action, posted again in every control period, therefore executes the whole knock.
"""

from dataclasses import dataclass

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.joint_steps import clip
from robots.signals import Array, Setpoint


@dataclass(frozen=True)
class KnockRanges:
    """What the columns of an action mean at -1 and 1."""

    speed: tuple[float, float]  # m/s, of the tool along x
    offset: tuple[float, float]  # m, y of the line on which it moves


class Knock(ToolVelocity):
    """The tool moves sideways to a line along x, then along it to a place where it stops.

    It stops as fast as the gate allows. What it hits shortly before moves on alone. In the lowest
    1 % of its range the speed falls to nothing: -1 is no motion.
    """

    ALIGN_GAIN = 15.0  # 1/s, of the way to the line
    ALIGN_SPEED = 0.4  # m/s, at most, of the way to the line
    TOLERANCE = 0.004  # m, full speed along the line within it, none beyond twice of it
    NONE_WIDTH = 0.02  # of a normalized action above -1, over which the speed rises from nothing
    STOP_WIDTH = 0.002  # m, over which the speed falls to nothing

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        ranges: KnockRanges,
        stop: float,
        height: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool knocks.
            limits: with the tool's box.
            ranges: of the action.
            stop: m, x where the tool's speed is to be zero.
            height: m, z of the tool.
        """
        bounds = {"x": (0.0, ranges.speed[1]), "y": (-self.ALIGN_SPEED, self.ALIGN_SPEED)}
        super().__init__(arm, limits, bounds, (stop, 0.0, height))
        columns = [("knock.speed", *ranges.speed, "m/s"), ("knock.offset", *ranges.offset, "m")]
        self._set_columns(columns)
        self._stop = stop

    def standstill(self, setpoint: Setpoint) -> Array:
        """No speed, on the line through the tool or the nearest line, (n, 2)."""
        pos, _ = self.kinematics.forward(setpoint.q)
        offset = pos[:, 1]
        slowest = np.full_like(offset, self.spec.low[0])
        return self._actions_of(np.stack([slowest, offset], -1))

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """The tool's velocity in the plane (2, n) m/s for actions (2, n) at pos (3, n) m."""
        speed, offset = self._middle + self._half_range * action
        x, y, _ = pos
        error = offset - y
        wanted = (action[0] + 1) / self.NONE_WIDTH
        on_line = 2 - np.abs(error) / self.TOLERANCE
        before_stop = (self._stop - x) / self.STOP_WIDTH
        forward = speed
        for share in (wanted, on_line, before_stop):
            forward = forward * clip(share, 0.0, 1.0)
        sideways = clip(self.ALIGN_GAIN * error, -self.ALIGN_SPEED, self.ALIGN_SPEED)
        return np.stack([forward, sideways])
