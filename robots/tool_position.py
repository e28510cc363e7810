"""An action map whose actions are target positions of the tool."""

import numpy as np

from robots.actions import AXES, ToolVelocity
from robots.arm import ArmSpec, Limits
from robots.joint_steps import clip
from robots.signals import Array, Setpoint


class ToolPosition(ToolVelocity):
    """A target position of the tool in the base frame, which its setpoint approaches exponentially.

    Otherwise like ``ToolVelocity``: the orientation is free, and the posture is pulled to the home
    position.
    """

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        box: Array,
        speed: float,
        time: float,
    ) -> None:
        """Create the map of one arm.

        Args:
            arm: whose tool is moved.
            limits: with the tool's box and the joints' velocity limits.
            box: (3, 2) m, the positions at actions of -1 and 1.
            speed: m/s along each axis at most.
            time: s, time constant: the setpoint covers 63 % of its distance in it.
        """
        center = box.mean(1)
        speeds = dict.fromkeys(AXES, (-speed, speed))
        super().__init__(arm, limits, speeds, center.tolist())
        self._speed = speed
        self._time = time
        columns = []
        for axis, (low, high) in zip(AXES, box.tolist(), strict=True):
            columns.append((f"tool.{axis}", low, high, "m"))
        self._set_columns(columns)

    def standstill(self, setpoint: Setpoint) -> Array:
        """The tool's position at the setpoint, (n, 3), or the nearest one in the box."""
        pos, _ = self.kinematics.forward(setpoint.q)
        action = (pos.T - self._middle) / self._half_range
        return np.clip(action.T, -1, 1)

    def _requested_velocity(self, action: Array, pos: Array) -> Array:
        """Velocities (3, n) m/s toward the targets of actions (3, n), from pos (3, n) m."""
        target = self._middle + self._half_range * action
        velocity = (target - pos) / self._time
        return clip(velocity, -self._speed, self._speed)
