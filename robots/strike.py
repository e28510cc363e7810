"""A strike as one action: how fast, and in which direction.

A striking primitive as in Arndt et al. 2019, "Meta reinforcement learning for sim-to-real domain
adaptation", where a policy chooses a whole shot. Here it is a memoryless map: the tool's next
motion depends on its setpoint only. The same action, posted again in every control period,
therefore executes the whole strike.
"""

from dataclasses import dataclass

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.joint_steps import clip
from robots.signals import Array, Setpoint


@dataclass(frozen=True)
class StrikeRanges:
    """What the columns of an action mean at -1 and 1."""

    speed: tuple[float, float]  # m/s, of the tool along x
    direction: tuple[float, float]  # rad, of the line from the x axis


class Strike(ToolVelocity):
    """The tool moves sideways to a line through a pivot, then along it until its box ends.

    The line is y = tan(direction) · (x - pivot). With a pivot behind the object's center, the
    direction also determines where the tool hits the object's face: the further to the side, the
    further sideways the object goes. Far from the line the tool moves only sideways; on the line
    its speed along x is that of the action. The gate limits acceleration and jerk, so the tool
    needs some distance to reach that speed.
    """

    ALIGN_GAIN = 15.0  # 1/s, of the return to the line
    ALIGN_SPEED = 0.4  # m/s, at most, of the return to the line
    TOLERANCE = 0.004  # m, full speed within it, no speed beyond twice of it

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        ranges: StrikeRanges,
        pivot: float,
        height: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool strikes.
            limits: with the tool's box, whose far face in x ends the strike.
            ranges: of speed and direction.
            pivot: m, x of the point on y = 0 that every strike aims at.
            height: m, z of the tool during the strike.
        """
        sideways = np.tan(ranges.direction[1]) * ranges.speed[1] + self.ALIGN_SPEED
        bounds = {"x": (0.0, ranges.speed[1]), "y": (-sideways, sideways)}
        super().__init__(arm, limits, bounds, (pivot, 0.0, height))
        columns = [
            ("strike.speed", *ranges.speed, "m/s"),
            ("strike.direction", *ranges.direction, "rad"),
        ]
        self._set_columns(columns)
        self._pivot = pivot

    def standstill(self, setpoint: Setpoint) -> Array:
        """The lowest speed, along the line through the tool or the nearest line, (n, 2)."""
        pos, _ = self.kinematics.forward(setpoint.q)
        x, y, _ = pos.T
        ahead = x - self._pivot
        side = np.where(ahead < 0, -1.0, 1.0)  # the line continues behind the pivot
        direction = np.arctan2(side * y, side * ahead)
        slowest = np.full_like(x, self.spec.low[0])
        return self._actions_of(np.stack([slowest, direction], -1))

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """The tool's velocity in the plane (2, n) m/s for actions (2, n) at pos (3, n) m."""
        speed, direction = self._middle + self._half_range * action
        x, y, _ = pos
        slope = np.tan(direction)
        line = slope * (x - self._pivot)
        error = line - y
        beyond = np.abs(error) / self.TOLERANCE - 1
        forward = speed * clip(1 - beyond, 0.0, 1.0)
        correction = clip(self.ALIGN_GAIN * error, -self.ALIGN_SPEED, self.ALIGN_SPEED)
        sideways = correction + slope * forward
        return np.stack([forward, sideways])
