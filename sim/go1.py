"""Unitree's Go1, made of primitives.

Masses, centers of mass, inertias, places of joints, ranges, torques, speeds, dampings and frictions
of joints, and the friction of feet are those of Unitree's ``go1.urdf`` (unitree_ros,
robots/go1_description; BSD-3). The servos, and control at 50 Hz with steps of 4 ms, are those of
MuJoCo Playground's Go1 (Zakka et al. 2025). Unitree publishes no inertia of the rotors; theirs is
that of MuJoCo Menagerie's Go1. The trunk is a box, hips, thighs and calves are capsules, feet are
spheres; they touch the ground only.
"""

from dataclasses import replace
from typing import NamedTuple

import mujoco
import numpy as np

from robots.arm import Limits
from robots.legged import LeggedRobot
from robots.signals import Array, Setpoint, Torque
from sim.engines.base import require_command
from sim.engines.ideal import follows_setpoints
from sim.engines.mujoco_control import actuator_control
from sim.families.gymnasium_bodies import torque_limits
from sim.scene_model import body_model

LEGS = ("FR", "FL", "RR", "RL")  # front right, ..., rear left: Unitree's order
PARTS = ("hip", "thigh", "calf")
TRUNK = "trunk"
TRUNK_SIZE = (0.1881, 0.04675, 0.057)  # m, half extents
HIP_PLACE = (0.1881, 0.04675)  # m, of the hip's joint: forward and to the side of the trunk's frame
HIP_LENGTH = 0.08  # m, from the hip's joint to the thigh's, to the side
LINK = 0.213  # m, the length of a thigh and of a calf
FOOT_RADIUS = 0.02  # m
HIP_RADIUS = 0.03
THIGH_RADIUS = 0.017  # m, half the thickness of Unitree's boxes
CALF_RADIUS = 0.008
FRICTION = 0.6  # of the feet
JOINT_DAMPING = 0.01  # N·m·s/rad
JOINT_FRICTION = 0.2  # N·m
ARMATURE = 0.01  # kg·m²
TORQUE = 23.7  # N·m
SPEED = 30.1  # rad/s
RANGES = (
    (-1.0471975512, 1.0471975512),
    (-0.663225115758, 2.96705972839),
    (-2.72271363311, -0.837758040957),
)


class Inertia(NamedTuple):
    """What a link weighs: a left front one, whose numbers are mirrored for the other legs."""

    mass: float  # kg
    com: tuple[float, float, float]  # m, in the link's frame
    full: tuple[float, float, float, float, float, float]  # kg·m²: xx, yy, zz, xy, xz, yz


TRUNK_INERTIA = Inertia(
    5.204,
    (0.0223, 0.002, -0.0005),
    (0.0168352186, 0.0656071082, 0.0742720659, 0.0004636141, 0.0002367952, 3.6671e-05),
)
LINK_INERTIAS = {
    "hip": Inertia(
        0.591,
        (-0.00541, -0.00074, 6e-06),
        (
            0.000374268192,
            0.000635923669,
            0.000457647394,
            3.6844422e-05,
            -9.86754e-07,
            -1.172894e-06,
        ),
    ),
    "thigh": Inertia(
        0.92,
        (-0.003468, -0.018947, -0.032736),
        (
            0.005851561134,
            0.005596155105,
            0.00107157026,
            1.783284e-06,
            0.000328291374,
            2.1430713e-05,
        ),
    ),
    # the same on all legs
    "calf": Inertia(
        0.131,
        (0.006286, 0.001307, -0.122269),
        (
            0.002939186297,
            0.00295576935,
            3.0273372e-05,
            1.440899e-06,
            -0.00010535955,
            -2.4397752e-05,
        ),
    ),
}
FOOT_MASS = 0.06  # kg
IMU_MASS = 0.001  # kg, at the trunk


def _limits() -> Limits:
    low, high = np.tile(np.array(RANGES).T, len(LEGS))
    one = np.ones_like(low)
    return replace(torque_limits(low, high, TORQUE * one), dq=SPEED * one)


GO1 = LeggedRobot(
    name="go1",
    joints=tuple(f"{leg}_{part}" for leg in LEGS for part in PARTS),
    home=np.tile([0.0, 0.9, -1.8], len(LEGS)),  # rad; each foot is below its hip
    limits=_limits(),
)


@body_model.register
def _(body: LeggedRobot) -> mujoco.MjSpec:
    """The robot on a plane, with a position servo for each joint."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    floor = spec.worldbody.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE)
    floor.size = [5.0, 5.0, 0.1]
    floor.friction[0] = FRICTION
    trunk = spec.worldbody.add_body(name=TRUNK, pos=[0.0, 0.0, 0.3])
    trunk.add_freejoint(name="root")
    _weigh(trunk, TRUNK_INERTIA._replace(mass=TRUNK_INERTIA.mass + IMU_MASS), 1, 1)
    _add_solid(trunk, TRUNK, mujoco.mjtGeom.mjGEOM_BOX, *TRUNK_SIZE)
    for leg in LEGS:
        _add_leg(trunk, leg)
    for name in body.joints:
        _add_servo(spec, body, name)
    return spec


def _add_leg(trunk: mujoco.MjsBody, leg: str) -> None:
    """The hip, thigh, calf and foot of a leg."""
    front = 1 if leg[0] == "F" else -1
    side = 1 if leg[1] == "L" else -1
    forward, aside = HIP_PLACE
    places = {
        "hip": (front * forward, side * aside, 0.0),
        "thigh": (0.0, side * HIP_LENGTH, 0.0),
        "calf": (0.0, 0.0, -LINK),
    }
    parent = trunk
    for part, limits in zip(PARTS, RANGES, strict=True):
        link = parent.add_body(name=f"{leg}_{part}", pos=places[part])
        axis = (1.0, 0.0, 0.0) if part == "hip" else (0.0, 1.0, 0.0)
        joint = link.add_joint(name=f"{leg}_{part}", axis=axis, range=limits, limited=True)
        joint.type = mujoco.mjtJoint.mjJNT_HINGE
        joint.damping[0] = JOINT_DAMPING
        joint.frictionloss = JOINT_FRICTION
        joint.armature = ARMATURE
        is_mirrored = part != "calf"
        mirrored_front = front if part == "hip" else 1
        _weigh(link, LINK_INERTIAS[part], mirrored_front, side if is_mirrored else 1)
        parent = link
    ends = {
        "hip": (HIP_RADIUS, (0.0, side * HIP_LENGTH, 0.0)),
        "thigh": (THIGH_RADIUS, (0.0, 0.0, -LINK)),
        "calf": (CALF_RADIUS, (0.0, 0.0, -LINK)),
    }
    for part, (radius, end) in ends.items():
        link = trunk.find_child(f"{leg}_{part}")
        geom = _add_solid(link, f"{leg}_{part}", mujoco.mjtGeom.mjGEOM_CAPSULE, radius)
        geom.fromto = [0.0, 0.0, 0.0, *end]
    foot = parent.add_body(name=f"{leg}_foot", pos=[0.0, 0.0, -LINK])
    inertia = 0.4 * FOOT_MASS * FOOT_RADIUS**2
    _weigh(foot, Inertia(FOOT_MASS, (0, 0, 0), (inertia, inertia, inertia, 0, 0, 0)), 1, 1)
    _add_solid(foot, f"{leg}_foot", mujoco.mjtGeom.mjGEOM_SPHERE, FOOT_RADIUS)


def _weigh(link: mujoco.MjsBody, inertia: Inertia, front: int, side: int) -> None:
    """Give a link its mass and inertia, mirrored: ``front`` turns x over, ``side`` turns y over."""
    x, y, z = inertia.com
    xx, yy, zz, xy, xz, yz = inertia.full
    link.mass = inertia.mass
    link.ipos = [front * x, side * y, z]
    link.fullinertia = [xx, yy, zz, front * side * xy, front * xz, side * yz]
    link.explicitinertial = True


def _add_solid(
    link: mujoco.MjsBody, name: str, kind: mujoco.mjtGeom, *size: float
) -> mujoco.MjsGeom:
    """A geom that touches the ground, and nothing of the robot itself."""
    geom = link.add_geom(name=name, type=kind)
    geom.size[: len(size)] = size
    geom.friction[0] = FRICTION
    geom.contype = 1
    geom.conaffinity = 0
    return geom


def _add_servo(spec: mujoco.MjSpec, body: LeggedRobot, name: str) -> None:
    servo = spec.add_actuator(name=name, target=name)
    servo.trntype = mujoco.mjtTrn.mjTRN_JOINT
    servo.gaintype = mujoco.mjtGain.mjGAIN_FIXED
    servo.gainprm[0] = body.stiffness
    servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
    servo.biasprm[1] = -body.stiffness
    servo.biasprm[2] = -body.damping
    servo.forcelimited = True
    servo.forcerange = [-TORQUE, TORQUE]


@actuator_control.register
def _(body: LeggedRobot, command: Setpoint | Torque, model: mujoco.MjModel, substeps: int) -> Array:
    """Targets of the servos, rad, held during a tick."""
    setpoint = require_command(body, command, Setpoint)
    return np.repeat(setpoint.q[:, :, None], substeps, 2)


@follows_setpoints.register
def _(body: LeggedRobot) -> bool:
    return False
