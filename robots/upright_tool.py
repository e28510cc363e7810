"""An action map that moves the tool and keeps one of its axes pointing down."""

import numpy as np

from robots.arm import ArmSpec, Limits
from robots.rotations import cross
from robots.signals import Array, Setpoint
from robots.tool_position import ToolPosition

DOWN = np.array([0.0, 0.0, -1.0])


class UprightToolPosition(ToolPosition):
    """A target position of the tool, of which one axis points down.

    Like ``ToolPosition``, but the tool is turned upright where it is not, and the posture is pulled
    to a given one. Rotation about the vertical is free.
    """

    UPRIGHT_GAIN = 5.0  # 1/s, of the return to upright

    def __init__(
        self,
        arm: ArmSpec,
        limits: Limits,
        box: Array,
        speed: float,
        time: float,
        axis: Array,
        posture: Array,
    ) -> None:
        """Create the map of one arm; for the other arguments see ``ToolPosition``.

        Args:
            arm: whose tool is moved.
            limits: with the tool's box and the joints' velocity limits.
            box: (3, 2) m.
            speed: m/s.
            time: s.
            axis: (3,) unit vector in the tool's frame, which is to point down.
            posture: (j,) rad, to which the null space is pulled.
        """
        super().__init__(arm, limits, box, speed, time)
        self._axis = axis
        self._home = posture[:, None]

    def __call__(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, 3) in [-1, 1] to joint velocities (n, j) rad/s; see ``ToolVelocity``."""
        pos, rotation, jacobian = self.kinematics.forward_jacobian(setpoint.q)
        velocity = self._tool_velocity(action.T, pos.T)
        pointing = rotation @ self._axis  # (n, 3)
        turn = self.UPRIGHT_GAIN * cross(pointing, DOWN)  # (n, 3) rad/s
        wanted = np.concatenate([velocity, turn.T[:2]])
        rows = jacobian.T[:, :5]  # (j, 5, n): linear, and about x and y
        return self._joint_velocity(wanted, rows, setpoint.q.T).T
