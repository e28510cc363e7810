"""A soft arm that holds a peg: a rod with a round end, in line with its tool."""

from dataclasses import dataclass, fields

import mujoco
import numpy as np

from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.signals import Array
from sim.scene_model import body_model
from sim.soft_arm import SoftArm, soften

DOWN = np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True, kw_only=True)
class PegArm(SoftArm):
    """A soft arm with a peg; the rest of its tool touches nothing that the peg does not keep off.

    The peg is weightless, as the weight of the arm is compensated.
    """

    peg_axis: Array  # (3,) unit vector in the tool's frame, from the tool to the peg's end
    peg_radius: float  # m
    peg_length: float  # m, from the origin of the tool's frame to the end


def hold_peg(arm: ArmSpec, posture: Array, radius: float, length: float) -> PegArm:
    """The arm with low gains and a peg.

    Args:
        arm: as in the catalog.
        posture: (j,) rad, in which the peg points down.
        radius: m, of the peg.
        length: m, from the origin of the tool's frame to the peg's end.
    """
    soft = soften(arm)
    numbers = {field.name: getattr(soft, field.name) for field in fields(soft)}
    _, rotation, _ = Kinematics(arm).forward_jacobian(posture[None])
    axis = rotation[0].T @ DOWN
    return PegArm(**numbers, peg_axis=axis, peg_radius=radius, peg_length=length)


@body_model.register
def _(body: PegArm) -> mujoco.MjSpec:
    """The soft arm's model with a capsule, which replaces all that the arm collides with."""
    model_of_arm = body_model.dispatch(SoftArm)
    spec: mujoco.MjSpec = model_of_arm(body)
    for geom in list(spec.geoms):
        spec.delete(geom)
    end = (body.peg_length - body.peg_radius) * body.peg_axis  # m, the center of the round end
    peg = spec.body(body.tool).add_geom(name="peg", type=mujoco.mjtGeom.mjGEOM_CAPSULE)
    peg.fromto = [0.0, 0.0, 0.0, *end.tolist()]
    peg.size[0] = body.peg_radius
    peg.friction[0] = 1.0
    peg.contype = 0
    peg.conaffinity = 0
    peg.mass = 0.0
    return spec
