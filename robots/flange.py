"""Where an arm's flange is: the fixed joint of its URDF that carries the tool."""

import numpy as np

from robots.arm import ArmSpec
from robots.urdf import read_arm_tree
from robots.urdf_elements import origin_transform
from robots.urdf_gripper import FLANGE
from robots.urdf_tree import moves


def flange_in_tool(arm: ArmSpec) -> np.ndarray:
    """The pose of the flange in the tool's frame, (4, 4).

    Where the URDF has no joint ``flange``, the last link's frame counts as the flange.

    Raises:
        BadArgumentError: the URDF does not fit the arm.
    """
    tool = np.eye(4)  # in the frame of the flange
    for joint in read_arm_tree(arm).chain(arm.tool):
        if moves(joint) or joint.attrib["name"] == FLANGE:
            tool = np.eye(4)
        else:
            tool = tool @ origin_transform(joint)
    flange: np.ndarray = np.linalg.inv(tool)
    return flange
