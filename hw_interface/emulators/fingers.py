"""Simulated fingers whose motor is stiff, with a bounded force."""

import numpy as np

from robots.gripper import Gripper

# how much stiffer a gripper's motor is than the spring by which a gripper is simulated; ours
STIFFNESS = 4.0


def stiff_target(gripper: Gripper, target: float, position: float, force: float) -> float:
    """The target, m, for the simulated spring with which it acts like a stiff motor.

    Args:
        gripper: whose spring it is.
        target: m, where the motor pulls to.
        position: m, where the fingers are.
        force: N, of both fingers together: the motor's bound.
    """
    longest = force / gripper.stiffness
    stretch = STIFFNESS * (target - position)
    return position + float(np.clip(stretch, -longest, longest))
