"""An arm with soft servos, joint friction and a payload: the body of families about carrying.

The weight of the arm itself is compensated, as always in training; that of the payload is not. Two
parts make up the payload, on either side of the tool: their masses decide its mass and its center
of mass.
"""

from dataclasses import dataclass, fields

import mujoco
import numpy as np

from robots.arm import ArmSpec
from robots.signals import Array
from sim.engines.ideal import follows_setpoints
from sim.scene_model import body_model

# The payload's parts by name, and where they are: x in the tool's frame, m.
PARTS = {"payload_front": 0.1, "payload_back": -0.1}
MAX_OFFSET = 0.099  # m, of the center of mass from the tool: both parts have some mass
INERTIA = 4e-4  # kg·m² about a part's own center, as of a cube of 1 kg and 5 cm

# All ours. Every joint of a Panda has 120 to 163 N·m/rad; its maker's example of impedance control,
# libfranka's joint_impedance_control.cpp, has 600 in the shoulder and 50 in the last joint.
STIFFNESS = 1.875  # 1/rad, of all joints, as a share of the strongest joint's torque limit
MOST_STIFFNESS = 10.0  # 1/rad, as a share of a joint's own torque limit
DAMPING_TIME = 0.15  # s, damping over stiffness: a loaded arm overshoots a little
FRICTION_TIME = 0.04  # s, friction over stiffness: how far a joint lags behind its target


@dataclass(frozen=True, kw_only=True)
class LoadedArm(ArmSpec):
    """An arm whose joints have viscous friction, and whose tool carries a payload.

    Names of its physics in a task, beside those of every arm: ``body.PART.mass_scale``, a factor of
    the mass of each of ``PARTS``, and ``joint.damping_scale``, a factor of the friction.
    """

    friction: Array  # (j,) N·m·s/rad or N·s/m
    part_mass: float  # kg, of each of ``PARTS`` unless a task says otherwise


def load_arm(arm: ArmSpec, mass: float) -> LoadedArm:
    """The same arm with soft servos and a payload of ``mass`` kg; its limits stay."""
    torque = arm.limits.tau
    stiffness = np.minimum(STIFFNESS * torque.max(), MOST_STIFFNESS * torque)
    numbers = {field.name: getattr(arm, field.name) for field in fields(arm)}
    numbers["stiffness"] = stiffness
    numbers["damping"] = DAMPING_TIME * stiffness
    friction = FRICTION_TIME * stiffness
    return LoadedArm(**numbers, friction=friction, part_mass=mass / len(PARTS))


def mass_scales(arm: LoadedArm, mass: Array, center: Array) -> Array:
    """The factors of the masses of ``PARTS`` that make up payloads.

    The parts' masses are m·(1 ± center / offset) / 2.

    Args:
        arm: that carries them.
        mass: (n,) kg.
        center: (n,) m, x of the center of mass in the tool's frame.

    Returns:
        (n, 2).
    """
    share = center / PARTS["payload_front"]
    front = mass * (1 + share) / 2
    back = mass * (1 - share) / 2
    masses = np.stack([front, back], -1)
    scales: Array = masses / arm.part_mass
    return scales


@body_model.register
def _(body: LoadedArm) -> mujoco.MjSpec:
    """The arm's model, with friction in its joints and a payload that nothing compensates."""
    model_of_arm = body_model.dispatch(ArmSpec)
    spec: mujoco.MjSpec = model_of_arm(body)
    for name, friction in zip(body.joints, body.friction.tolist(), strict=True):
        spec.joint(name).damping[0] = friction
    tool = spec.body(body.tool)
    for name, x in PARTS.items():
        part = tool.add_body(name=name, pos=[x, 0.0, 0.0])
        part.ipos = [0.0, 0.0, 0.0]  # not, as by default, where the part itself is
        part.mass = body.part_mass
        part.inertia = [INERTIA] * 3
        part.explicitinertial = True
    return spec


@follows_setpoints.register
def _(body: LoadedArm) -> bool:
    """No: without physics it would neither sag nor lag."""
    return False
