"""A soft arm that holds a peg: a rod with a round end, in line with its tool."""

from dataclasses import dataclass

import mujoco
import numpy as np

from robots.arm import ArmSpec, numbers_of
from robots.kinematics import Kinematics
from robots.signals import Array
from robots.upright_tool import DOWN
from sim.scene_model import body_model
from sim.soft_arm import SoftArm, soft_stiffness, soften

DAMPING_TIME = 0.15  # s, damping over stiffness, ours: a peg that touches does not bounce
PEG = "peg"  # the geom of MuJoCo's model


@dataclass(frozen=True, kw_only=True)
class PegArm(SoftArm):
    """A soft arm with a peg; the rest of its tool touches nothing that the peg does not keep off.

    The peg is weightless, as the weight of the arm is compensated.
    """

    peg_axis: Array  # (3,) unit vector in the tool's frame, from the tool to the peg's end
    peg_radius: float  # m
    peg_length: float  # m, from the origin of the tool's frame to the end


def hold_peg(arm: ArmSpec, posture: Array, radius: float, length: float, stiff: float) -> PegArm:
    """The arm with low gains and a peg.

    Args:
        arm: as in the catalog.
        posture: (j,) rad, in which the peg points down.
        radius: m, of the peg.
        length: m, from the origin of the tool's frame to the peg's end.
        stiff: N/m, of the peg's end in this posture when it is pushed up and kept from moving
            sideways.
    """
    kinematics = Kinematics(arm)
    _, rotation, _ = kinematics.forward_jacobian(posture[None])
    axis = rotation[0].T @ DOWN
    stiffness = soft_stiffness(arm)
    stiffness = stiffness * stiff / vertical_stiffness(kinematics, posture, stiffness)
    soft = soften(arm, stiffness, DAMPING_TIME)
    numbers = numbers_of(soft)
    return PegArm(**numbers, peg_axis=axis, peg_radius=radius, peg_length=length)


def vertical_stiffness(kinematics: Kinematics, q: Array, stiffness: Array) -> float:
    """Of a tool whose position is prescribed, N/m: the force per displacement along z.

    It is the last entry of (J·K⁻¹·Jᵀ)⁻¹, with the linear rows J of the Jacobian and the joints'
    stiffness K.

    Args:
        kinematics: of the arm.
        q: (j,) rad.
        stiffness: (j,) N·m/rad.
    """
    linear = kinematics.jacobian(q[None])[0, :3]
    compliance = (linear / stiffness) @ linear.T
    return float(np.linalg.inv(compliance)[2, 2])


@body_model.register
def _(body: PegArm) -> mujoco.MjSpec:
    """The soft arm's model with a capsule, which replaces all that the arm collides with."""
    model_of_arm = body_model.dispatch(SoftArm)
    spec: mujoco.MjSpec = model_of_arm(body)
    for geom in list(spec.geoms):
        spec.delete(geom)
    end = (body.peg_length - body.peg_radius) * body.peg_axis  # m, the center of the round end
    peg = spec.body(body.tool).add_geom(name=PEG, type=mujoco.mjtGeom.mjGEOM_CAPSULE)
    peg.fromto = [0.0, 0.0, 0.0, *end.tolist()]
    peg.size[0] = body.peg_radius
    peg.friction[0] = 1.0
    peg.contype = 0
    peg.conaffinity = 0
    peg.mass = 0.0
    return spec
