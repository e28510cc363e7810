"""A push as one action: along which line, and how far.

Planar pushing is usually planned and learned with straight pushes (Yu et al. 2016, "More than a
million ways to be pushed"; Agrawal et al. 2016, "Learning to poke by poking"). Here a push is a
memoryless map, like ``robots/strike.py``: the tool's next motion depends on its setpoint only. The
same action, posted again in every control period, therefore executes the whole push.
"""

from dataclasses import dataclass

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.joint_steps import clip
from robots.signals import Array, Setpoint


@dataclass(frozen=True)
class PushRanges:
    """What the columns of an action mean at -1 and 1."""

    offset: tuple[float, float]  # m, y of the line beside the pivot
    direction: tuple[float, float]  # rad, of the line from the x axis
    end: tuple[float, float]  # m, x where the tool stops


class StraightPush(ToolVelocity):
    """The tool moves back to a start, sideways to a line, then along it to where the push ends.

    The line is y = offset + tan(direction) · (x - pivot). A tool that is off the line first moves
    back along x to the start of all pushes, clear of the object, then sideways. On the line it
    moves to x = end, forward or backward, and stays there.
    """

    GAIN = 10.0  # 1/s, of the approach to the start, to the line and to the end
    TRAVEL_SPEED = 0.4  # m/s, at most, back and sideways
    TOLERANCE = 0.004  # m, full speed along the line within it, none beyond twice of it
    AT_START = 0.01  # m, full speed sideways within it, none beyond twice of it

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        ranges: PushRanges,
        pivot: float,
        height: float,
        speed: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool pushes.
            limits: with the tool's box.
            ranges: of the action; pushes start at the low end of ``end``.
            pivot: m, x where ``offset`` is measured.
            height: m, z of the tool.
            speed: m/s along x, of a push.
        """
        sideways = np.tan(ranges.direction[1]) * speed + self.TRAVEL_SPEED
        bounds = {"x": (-self.TRAVEL_SPEED, speed), "y": (-sideways, sideways)}
        super().__init__(arm, limits, bounds, (pivot, 0.0, height))
        columns = [
            ("push.offset", *ranges.offset, "m"),
            ("push.direction", *ranges.direction, "rad"),
            ("push.end", *ranges.end, "m"),
        ]
        self._set_columns(columns)
        self._pivot = pivot
        self._speed = speed

    def standstill(self, setpoint: Setpoint) -> Array:
        """The push that ends where the tool is, on a line as parallel to x as possible, (n, 3)."""
        pos, _ = self.kinematics.forward(setpoint.q)
        x, y, _ = pos.T
        offset = np.clip(y, self.spec.low[0], self.spec.high[0])
        ahead = x - self._pivot
        side = np.where(ahead < 0, -1.0, 1.0)  # the line continues behind the pivot
        direction = np.arctan2(side * (y - offset), side * ahead)
        return self._actions_of(np.stack([offset, direction, x], -1))

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """The tool's velocity in the plane (2, n) m/s for actions (3, n) at pos (3, n) m."""
        offset, direction, end = self._middle + self._half_range * action
        x, y, _ = pos
        slope = np.tan(direction)
        error = offset + slope * (x - self._pivot) - y
        start = self.spec.low[2]
        on_line = clip(2 - np.abs(error) / self.TOLERANCE, 0.0, 1.0)
        at_start = clip(2 - (x - start) / self.AT_START, 0.0, 1.0)
        travel = self.TRAVEL_SPEED
        along = clip(self.GAIN * (end - x), -travel, self._speed)
        back = clip(self.GAIN * (start - x), -travel, travel)
        vx = on_line * along + (1 - on_line) * back
        correction = clip(self.GAIN * error, -travel, travel)
        free = np.maximum(on_line, at_start)  # to move sideways
        vy = free * correction + on_line * slope * along
        return np.stack([vx, vy])
