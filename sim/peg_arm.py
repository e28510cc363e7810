"""A soft arm that holds a peg: a rod in line with its tool, of one of several shapes."""

from dataclasses import dataclass

import mujoco
import numpy as np

from robots.arm import ArmSpec, numbers_of
from robots.kinematics import Kinematics
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from robots.upright_tool import DOWN
from sim.scene_model import body_model, tool_geoms
from sim.soft_arm import SoftArm, soft_stiffness, soften

DAMPING_TIME = 0.15  # s, damping over stiffness, ours: a peg that touches does not bounce
# The geoms of MuJoCo's model, by the index that is a task's ``tool.shape``: a rod with a round end,
# and a square one with a flat end. Each is in a body of its own, which has its name.
PEGS = ("round_peg", "square_peg")


@dataclass(frozen=True, kw_only=True)
class PegArm(SoftArm):
    """A soft arm with a peg; the rest of its tool touches nothing that the peg does not keep off.

    Its physics in a task, beside those of a soft arm: ``tool.shape``, an index into ``PEGS``.
    The peg is weightless, as the weight of the arm is compensated.
    """

    peg_axis: Array  # (3,) unit vector in the tool's frame, from the tool to the peg's end
    peg_radius: float  # m
    peg_length: float  # m, from the origin of the tool's frame to the end
    peg_quat: Array  # (4,) from the peg's frame to the tool's; z points up the peg


def hold_peg(arm: ArmSpec, posture: Array, radius: float, length: float, stiff: float) -> PegArm:
    """The arm with low gains and a peg.

    Args:
        arm: as in the catalog.
        posture: (j,) rad, in which the peg points down; a square one's faces are along x and y.
        radius: m, of the peg; half the width of a square one.
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
    quat = quaternion_from_matrix(rotation[0].T[None])[0]
    return PegArm(**numbers, peg_axis=axis, peg_radius=radius, peg_length=length, peg_quat=quat)


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
    """The soft arm's model with its pegs, which replace all that the arm collides with."""
    model_of_arm = body_model.dispatch(SoftArm)
    spec: mujoco.MjSpec = model_of_arm(body)
    for geom in list(spec.geoms):
        spec.delete(geom)
    radius = body.peg_radius
    half = body.peg_length / 2
    # kind; radius and half length, or half extents; z of the middle, where the tool is at 0
    sizes = (
        (mujoco.mjtGeom.mjGEOM_CAPSULE, (radius, half - radius / 2, 0.0), radius / 2 - half),
        (mujoco.mjtGeom.mjGEOM_BOX, (radius, radius, half), -half),
    )
    for name, (kind, size, middle) in zip(PEGS, sizes, strict=True):
        link = spec.body(body.tool).add_body(name=name, quat=body.peg_quat)
        peg = link.add_geom(name=name, type=kind, size=size)
        peg.pos = [0.0, 0.0, middle]
        peg.friction[0] = 1.0
        peg.contype = 0
        peg.conaffinity = 0
        peg.mass = 0.0
    return spec


@tool_geoms.register
def _(body: PegArm) -> tuple[str, ...]:
    return PEGS
