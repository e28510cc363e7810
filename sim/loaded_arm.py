"""A soft arm with a payload at its tool.

The weight of the arm itself is compensated; the weight of the payload is not. The payload consists
of two parts, on either side of the tool along a horizontal line away from the base. Their masses
determine the payload's mass and center of mass.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from robots.arm import ArmSpec, numbers_of
from robots.kinematics import GRAVITY, Kinematics
from robots.signals import Array
from sim.scene_model import body_model
from sim.soft_arm import SoftArm, soften

# The payload's parts by name, and how far they are from the tool, away from the base, m.
PARTS = {"payload_front": 0.1, "payload_back": -0.1}
MAX_OFFSET = 0.099  # m, of the center of mass from the tool: both parts have some mass
INERTIA = 4e-4  # kg·m² about a part's own center, as of a cube of 1 kg and 5 cm


@dataclass(frozen=True, kw_only=True)
class LoadedArm(SoftArm):
    """A soft arm whose tool carries a payload.

    Names of its physics in a task, beside those of every soft arm: ``body.PART.mass_scale``, a
    factor of the mass of each of ``PARTS``.
    """

    part_mass: float  # kg, of each of ``PARTS`` unless a task says otherwise
    payload_axis: Array  # (3,) unit vector in the tool's frame, on which ``PARTS`` lie


def load_arm(arm: ArmSpec, mass: float, posture: Array) -> LoadedArm:
    """The same arm with low gains and a payload; its limits stay.

    Args:
        arm: as in the catalog.
        mass: kg, of the payload unless a task says otherwise.
        posture: (j,) rad, in which the payload's parts are beside the tool in a horizontal line
            away from the base: there the center of mass changes the torques most.
    """
    soft = soften(arm)
    numbers = numbers_of(soft)
    return LoadedArm(
        **numbers,
        part_mass=mass / len(PARTS),
        payload_axis=_outward_axis(arm, posture),
    )


def _outward_axis(arm: ArmSpec, q: Array) -> Array:
    """The horizontal direction from the base to the tool at q (j,), (3,) in the tool's frame."""
    poses = Kinematics(arm).frames(q[None])
    tool = poses[0, -1]
    rotation = tool[:3, :3]
    outward = tool[:3, 3].copy()
    outward[2] = 0.0
    outward /= np.linalg.norm(outward)
    axis: Array = rotation.T @ outward
    return axis


def payload_torque(
    arm: LoadedArm, kinematics: Kinematics, q: Array, mass: Array, center: Array
) -> Array:
    """The torques that hold payloads against gravity, (n, j) N·m, by virtual work.

    Args:
        arm: the arm that carries them.
        kinematics: of the arm.
        q: (n, j) rad.
        mass: (n,) kg.
        center: (n,) m, from the tool to the center of mass, along the arm's ``payload_axis``.
    """
    _, rotation, jacobian = kinematics.forward_jacobian(q)
    offset = center[:, None] * (rotation @ arm.payload_axis)  # (n, 3) m
    x, y, _ = offset.T[..., None]
    vertical = jacobian[:, 2]
    around_x = jacobian[:, 3]
    around_y = jacobian[:, 4]
    rise = vertical + around_x * y - around_y * x  # (n, j) m/rad, of the center of mass
    weight = GRAVITY * mass[:, None]
    torque: Array = weight * rise
    return torque


def static_sag(arm: LoadedArm, q: Array, mass: float, center: float, gain: float) -> float:
    """How far the tool of an arm at rest sags below its setpoint q (j,), m, to first order.

    Args:
        arm: the arm that carries the payload.
        q: (j,) rad.
        mass: kg.
        center: m, see ``payload_torque``.
        gain: factor of the servos' stiffness.
    """
    kinematics = Kinematics(arm)
    posture = q[None]
    masses = np.array([mass])
    centers = np.array([center])
    torque = payload_torque(arm, kinematics, posture, masses, centers)
    stiffness = gain * arm.stiffness
    turned = torque / stiffness  # (1, j) rad
    jacobian = kinematics.jacobian(posture)
    vertical = jacobian[:, 2]  # (1, j) m/rad
    drops = vertical * turned
    return float(drops.sum())


def mass_scales(arm: LoadedArm, mass: Array, center: Array) -> Array:
    """The factors of the masses of ``PARTS`` that give payloads their mass and center of mass.

    The parts' masses are m·(1 ± center / offset) / 2.

    Args:
        arm: the arm that carries them.
        mass: (n,) kg.
        center: (n,) m, from the tool to the center of mass, along the arm's ``payload_axis``.

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
    """The soft arm's model, and a payload without gravity compensation."""
    model_of_arm = body_model.dispatch(SoftArm)
    spec: mujoco.MjSpec = model_of_arm(body)
    tool = spec.body(body.tool)
    for name, distance in PARTS.items():
        place = distance * body.payload_axis
        part = tool.add_body(name=name, pos=place.tolist())
        part.ipos = [0.0, 0.0, 0.0]  # not, as by default, where the part itself is
        part.mass = body.part_mass
        part.inertia = [INERTIA] * 3
        part.explicitinertial = True
    return spec
