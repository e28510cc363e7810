"""The pose of an arm's flange from its joints."""

import numpy as np

from robots.arm import ArmSpec
from robots.flange import flange_in_tool
from robots.kinematics import Kinematics
from robots.signals import Array


class FlangeKinematics:
    """Forward kinematics of the flange, see ``robots.flange``."""

    def __init__(self, arm: ArmSpec) -> None:
        """Read the arm's URDF; BadArgumentError where it does not fit the arm."""
        self._kinematics = Kinematics(arm)
        self._flange_in_tool = flange_in_tool(arm)
        self._tool_joints = len(arm.tool_joints)
        self._q = np.zeros((1, len(arm.joints)))  # rad; a gripper's fingers do not move the flange

    def __call__(self, q: Array) -> Array:
        """The flange's pose (4, 4) in the base frame at q (j,) rad; the gripper may be left out."""
        self._q[0, : self._tool_joints] = q[: self._tool_joints]
        tool = self._kinematics.frames(self._q)[0, -1]
        flange: Array = tool @ self._flange_in_tool
        return flange
