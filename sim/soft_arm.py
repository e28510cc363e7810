"""An arm with low servo gains and viscous friction in its joints, as under impedance control.

The weight of the arm itself is compensated, as always in training.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from robots.arm import ArmSpec, numbers_of
from robots.signals import Array
from sim.engines.ideal import follows_setpoints
from sim.scene_model import body_model

# All ours. Joints of a Panda have 120 to 218 N·m/rad; Franka's own example of impedance control,
# libfranka's joint_impedance_control.cpp, has 600 in the shoulder and 50 in the last joint.
STIFFNESS = 2.5  # 1/rad, of all joints, as a share of the strongest joint's torque limit
MOST_STIFFNESS = 10.0  # 1/rad, as a share of a joint's own torque limit
DAMPING_TIME = 0.3  # s, damping over stiffness: a loaded arm hardly overshoots
FRICTION_TIME = 0.02  # s, viscous friction over stiffness: a joint lags by that times its speed


@dataclass(frozen=True, kw_only=True)
class SoftArm(ArmSpec):
    """An arm whose joints are springs and dampers with viscous friction.

    The name of its physics in a task, beside those of every arm: ``joint.damping_scale``, a factor
    of the friction.
    """

    friction: Array  # (j,) N·m·s/rad or N·s/m


def soft_stiffness(arm: ArmSpec) -> Array:
    """The stiffness of the joints of a soft arm unless something else is wanted, (j,) N·m/rad."""
    torque = arm.limits.tau
    stiffness: Array = np.minimum(STIFFNESS * torque.max(), MOST_STIFFNESS * torque)
    return stiffness


def soften(
    arm: ArmSpec, stiffness: Array | None = None, damping_time: float = DAMPING_TIME
) -> SoftArm:
    """The same arm with low gains; its limits stay.

    Args:
        arm: as in the catalog.
        stiffness: (j,) N·m/rad; None: ``soft_stiffness``.
        damping_time: s, damping over stiffness.
    """
    if stiffness is None:
        stiffness = soft_stiffness(arm)
    numbers = numbers_of(arm)
    numbers["stiffness"] = stiffness
    numbers["damping"] = damping_time * stiffness
    return SoftArm(**numbers, friction=FRICTION_TIME * stiffness)


@body_model.register
def _(body: SoftArm) -> mujoco.MjSpec:
    """The arm's model, with friction in its joints."""
    model_of_arm = body_model.dispatch(ArmSpec)
    spec: mujoco.MjSpec = model_of_arm(body)
    for name, friction in zip(body.joints, body.friction.tolist(), strict=True):
        spec.joint(name).damping[0] = friction
    return spec


@follows_setpoints.register
def _(body: SoftArm) -> bool:
    """False: without physics the arm would neither yield nor lag."""
    return False
