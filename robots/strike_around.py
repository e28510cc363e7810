"""A strike from any side as one action: in which direction, how fast, and how far off the middle.

Like ``robots/strike.py`` a memoryless map: the tool's next motion depends on its setpoint only. The
same action, posted again in every control period, therefore executes the whole strike.
"""

from dataclasses import dataclass

import numpy as np

from robots.actions import ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.signals import Array, Setpoint


@dataclass(frozen=True)
class AroundRanges:
    """What the columns of an action mean at -1 and 1."""

    direction: tuple[float, float]  # rad, of the strike from the x axis; less than a full turn
    speed: tuple[float, float]  # m/s, of the tool along its line
    offset: tuple[float, float]  # m, of the line from the mark, to the left of the direction


class StrikeAround(ToolVelocity):
    """The tool goes around a mark on a circle to the side opposite the strike, then strikes.

    The line of a strike passes the mark at a distance ``offset``. A tool that is off the line moves
    to the circle, and along the circle the shorter way to where the line enters it. Objects that
    lie inside the circle are therefore not touched. On the line the tool moves at the speed of the
    action, past the mark, and stops.
    """

    GAIN = 15.0  # 1/s, of the approach to the circle and to the line
    TRAVEL_SPEED = 0.4  # m/s, at most, toward the circle, along it and to the line
    TOLERANCE = 0.004  # m, full speed along the line within it, none beyond twice of it
    STOP = 0.1  # m past the mark, where the tool stops; the impact is over before it brakes

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        ranges: AroundRanges,
        mark: tuple[float, float],
        radius: float,
        height: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool strikes.
            limits: with the tool's box.
            ranges: of the action.
            mark: m, x and y of the circle's center.
            radius: m, of the circle, larger than any offset.
            height: m, z of the tool.
        """
        fastest = ranges.speed[1] + self.TRAVEL_SPEED
        bounds = {"x": (-fastest, fastest), "y": (-fastest, fastest)}
        super().__init__(arm, limits, bounds, (*mark, height))
        columns = [
            ("strike.direction", *ranges.direction, "rad"),
            ("strike.speed", *ranges.speed, "m/s"),
            ("strike.offset", *ranges.offset, "m"),
        ]
        self._set_columns(columns)
        self._mark = np.array(mark)[:, None]
        self._radius = radius

    def standstill(self, setpoint: Setpoint) -> Array:
        """The lowest speed on the line through the tool and the mark, (n, 3).

        Where no strike has the direction from the tool to the mark, the tool is past the mark.
        """
        pos, _ = self.kinematics.forward(setpoint.q)
        x, y = pos.T[:2] - self._mark
        low = self.spec.low
        high = self.spec.high

        toward = np.arctan2(-y, -x)
        away = np.arctan2(y, x)
        is_strike = (toward >= low[0]) & (toward <= high[0])
        direction = np.where(is_strike, toward, away)
        speed = np.full_like(direction, low[1])
        offset = np.zeros_like(direction)

        return self._actions_of(np.stack([direction, speed, offset], -1))

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """The tool's velocity in the plane (2, n) m/s for actions (3, n) at pos (3, n) m."""
        direction, speed, offset = self._middle + self._half_range * action
        place = pos[:2] - self._mark
        forward = _unit(direction)
        left = _unit(direction + np.pi / 2)

        error = offset - (left * place).sum(0)
        room = self.STOP - (forward * place).sum(0)
        on_line = np.clip(2 - np.abs(error) / self.TOLERANCE, 0.0, 1.0)
        pace = np.minimum(speed, self._braking_speed(room))
        strike = pace * forward + self._approach(error) * left
        entry = direction + np.pi - np.arcsin(offset / self._radius)
        velocity: Array = on_line * strike + (1 - on_line) * self._around(entry, place)
        return velocity

    def _around(self, entry: Array, place: Array) -> Array:
        """The velocity (2, n) m/s to the angle ``entry`` (n,) of the circle, on the circle.

        Args:
            entry: (n,) rad, from the x axis.
            place: (2, n) m, of the tool from the center.
        """
        x, y = place
        angle = np.arctan2(y, x)
        turn = _wrapped(entry - angle)
        from_center = np.hypot(x, y)

        outward = self._approach(self._radius - from_center)
        along = self._approach(self._radius * turn)
        radial = _unit(angle)
        tangent = _unit(angle + np.pi / 2)
        velocity: Array = outward * radial + along * tangent
        return velocity

    def _approach(self, error: Array) -> Array:
        """Velocities m/s that remove an error in m, both of any shape."""
        speed = self.TRAVEL_SPEED
        velocity: Array = np.clip(self.GAIN * error, -speed, speed)
        return velocity


def _wrapped(angle: Array) -> Array:
    """The same angles (n,) in [-π, π) rad."""
    turned: Array = np.remainder(angle + np.pi, 2 * np.pi)
    return turned - np.pi


def _unit(angle: Array) -> Array:
    """Unit vectors (2, n) at angles (n,) rad from the x axis."""
    return np.stack([np.cos(angle), np.sin(angle)])
