"""The gripper of an arm of servos: its servo is the last, and a linkage moves the fingers.

A servo of this kind is stiffer than the spring by which a gripper is simulated, so that a setpoint
beyond an object's surface would press with all of its torque. Its torque is therefore bounded, in
every tick, to that of the simulated spring.
"""

from collections.abc import Sequence

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.gripper import Gripper
from robots.linkage import Linkage, largest_ratio
from robots.signals import Array

# N, of both fingers together: what the servo may always use, so that free fingers move. Ours, about
# what the Franka Hand's gentlest grasps have; no grasp is gentler.
LEAST_FORCE = 8.0
# Share of the motor's largest force that a grip may have. Ours: the measured force fluctuates, and
# above its limit it is a fault.
LARGEST_SHARE = 0.9
# m/rad, below which a linkage is too near to its end for a force to be measured; ours
LEAST_RATIO = 2e-3


class Transmission:
    """Converts between the joints of an arm and the angles of its servos.

    They are the same for all joints but a gripper's motor, which has m and N.
    """

    def __init__(self, arm: ArmSpec) -> None:
        """Find the linkage of the arm's gripper, if it has one.

        Raises:
            BadArgumentError: no servo moves its gripper.
        """
        self._linkage: Linkage | None = None
        self.largest: Array = np.ones(len(arm.joints))  # (j,) largest ratios
        gripper = arm.gripper
        if gripper is None:
            return
        if gripper.linkage is None:
            raise BadArgumentError(f"the gripper {gripper.name} has no servo that could be driven")
        self._linkage = gripper.linkage
        self.largest[-1] = largest_ratio(gripper.linkage, gripper.closed, gripper.opened)

    def to_servos(self, q: Array) -> Array:
        """The angles (j,) rad of the servos at joint positions (j,)."""
        angles = q.astype(np.float64)
        if self._linkage is not None:
            angles[-1] = self._linkage.angle(float(q[-1]))
        return angles

    def to_joints(self, angles: Array) -> Array:
        """The joint positions (j,) at angles (j,) rad of the servos."""
        q = angles.astype(np.float64)
        if self._linkage is not None:
            q[-1] = self._linkage.position(float(angles[-1]))
        return q

    def ratios(self, angles: Array) -> Array:
        """How far each joint moves per angle of its servo, (j,): 1, or m/rad of a gripper.

        A joint's velocity is that of its servo times its ratio, its torque that of its servo
        divided by it.
        """
        ratios = np.ones_like(angles, dtype=np.float64)
        if self._linkage is not None:
            ratio = self._linkage.ratio(float(angles[-1]))
            ratios[-1] = max(ratio, LEAST_RATIO)
        return ratios


def grip_force(gripper: Gripper, setpoint: float, measured: float) -> float:
    """The force, N, of both fingers together, that the servo may use.

    Args:
        gripper: the gripper.
        setpoint: m, of its motor.
        measured: m.
    """
    spring = gripper.stiffness * abs(setpoint - measured)
    largest = LARGEST_SHARE * gripper.force
    return min(max(spring, LEAST_FORCE), largest)


def keep_grip(arm: ArmSpec, values: Array, held: Sequence[float] | Array) -> Array:
    """``values`` (j,), but for a gripper's, which is that of ``held`` (j,): it is not let go."""
    if arm.gripper is None:
        return values
    kept = values.copy()
    kept[-1] = held[-1]
    return kept
