"""Writes a measured gripper as a URDF with two fingers that slide, and no loops.

The pads and what moves with them rigidly are the fingers. All other parts keep their shape, and
stay in the hand where they are when the gripper is half open. A finger has the mass of all parts
that move on its side, as it takes as much force to move them.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from xml.etree.ElementTree import SubElement

import mujoco
import numpy as np

from robots.mjcf_urdf import BASE, UrdfWriter
from robots.mujoco_model import compile_model
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from sim.gripper_measurement import MeasuredGripper

DRIVEN = "finger"  # endings of the names of the URDF's joints ...
FOLLOWER = "other_finger"
GRASP = "grasp"  # ... and of the link between the pads


def write_open_gripper(mjcf: Path, measured: MeasuredGripper, name: str, urdf: Path) -> None:
    """Write the URDF, with its meshes beside it.

    The joint ``NAME_finger`` is the distance of each pad from the middle, m; the joint
    ``NAME_other_finger`` mimics it. The frame of the link ``NAME_grasp`` is between the pads. All
    names begin with the gripper's, as an arm may have links of the same names.

    Raises:
        BadArgumentError: a geom is of a kind that no URDF has.
    """
    spec = mujoco.MjSpec.from_file(str(mjcf))
    original = compile_model(spec)
    _open_loops(spec)
    _freeze(spec, original, measured.qpos)
    joints = (f"{name}_{DRIVEN}", f"{name}_{FOLLOWER}")
    for pad, joint, sign in zip(measured.pads, joints, (1.0, -1.0), strict=True):
        finger = _finger(original, pad)
        _slide(spec, original, measured, finger, joint, sign)
        _gather_mass(spec, original, measured, finger, sign)
    _keep_pads(spec, measured.pads)
    hand = spec.bodies[1]
    _add_grasp(spec, original, measured, hand, f"{name}_{GRASP}")
    for i, body in enumerate(spec.bodies[1:]):
        body.name = f"{name}_{body.name or i}"

    model = compile_model(spec)
    UrdfWriter(model, urdf).write(f"written by `pliant gripper add` from {mjcf.name}, an MJCF")
    _complete(urdf, name, joints)


def _open_loops(spec: mujoco.MjSpec) -> None:
    """Delete all that moves or couples the bodies, and all sites."""
    groups = (
        spec.equalities,
        spec.actuators,
        spec.tendons,
        spec.sensors,
        spec.keys,
        spec.excludes,
        spec.pairs,
        spec.joints,
        spec.sites,
    )
    for group in groups:
        for item in list(group):
            spec.delete(item)


def _freeze(spec: mujoco.MjSpec, original: mujoco.MjModel, qpos: Array) -> None:
    """Put every body where it is in a posture of the original model."""
    data = _posture(original, qpos)
    for number, body in enumerate(spec.bodies):
        if number == 0:
            continue
        parent = original.body_parentid[number]
        rotation = data.xmat[parent].reshape(3, 3)
        body.pos = rotation.T @ (data.xpos[number] - data.xpos[parent])
        back = np.empty(4)
        quat = np.empty(4)
        mujoco.mju_negQuat(back, data.xquat[parent])
        mujoco.mju_mulQuat(quat, back, data.xquat[number])
        body.quat = quat
        body.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT


def _posture(original: mujoco.MjModel, qpos: Array) -> mujoco.MjData:
    """The original model in a posture."""
    data = mujoco.MjData(original)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(original, data)
    return data


def _finger(original: mujoco.MjModel, pad: str) -> int:
    """The body that carries a pad rigidly, next to the first joint above it."""
    body = original.body(pad).id
    while not original.body_jntnum[body]:
        body = original.body_parentid[body]
    return int(body)


def _slide(
    spec: mujoco.MjSpec,
    original: mujoco.MjModel,
    measured: MeasuredGripper,
    finger: int,
    joint: str,
    sign: float,
) -> None:
    """Let a finger slide away from the middle; it is where it is at half of the width."""
    rotation = _posture(original, measured.qpos).xmat[finger].reshape(3, 3)
    opened = float(measured.width[0]) / 2
    closed = float(measured.width[-1]) / 2
    slide = spec.bodies[finger].add_joint(name=joint, type=mujoco.mjtJoint.mjJNT_SLIDE)
    slide.axis = sign * rotation.T @ measured.axis
    slide.ref = measured.half_open / 2
    slide.limited = mujoco.mjtLimited.mjLIMITED_TRUE
    slide.range = [closed, opened]


def _gather_mass(
    spec: mujoco.MjSpec,
    original: mujoco.MjModel,
    measured: MeasuredGripper,
    finger: int,
    sign: float,
) -> None:
    """Give a finger the masses of all bodies that move on its side, and leave them without."""
    data = _posture(original, measured.qpos)
    from_grasp = data.xipos - measured.grasp
    is_on_its_side = sign * from_grasp @ measured.axis > 0
    moves = original.body_weldid != 0
    group = np.flatnonzero(is_on_its_side & moves & (original.body_mass > 0))
    mass = original.body_mass[group]
    center = mass @ data.xipos[group] / mass.sum()

    inertia = np.zeros((3, 3))
    for body in group:
        rotation = data.ximat[body].reshape(3, 3)
        own = rotation @ np.diag(original.body_inertia[body]) @ rotation.T
        arm = data.xipos[body] - center
        inertia += own + original.body_mass[body] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        _set_inertial(spec.bodies[body], 0.0, np.zeros(3), np.zeros((3, 3)))

    frame = data.xmat[finger].reshape(3, 3)
    place = frame.T @ (center - data.xpos[finger])
    _set_inertial(spec.bodies[finger], float(mass.sum()), place, frame.T @ inertia @ frame)


def _set_inertial(body: "mujoco.MjsBody", mass: float, center: Array, inertia: Array) -> None:
    """Give a body a mass kg, a center (3,) m and an inertia (3, 3) kg·m² in its frame."""
    moments, axes = np.linalg.eigh(inertia)
    axes[:, 0] *= np.sign(np.linalg.det(axes))  # a rotation, no reflection
    body.explicitinertial = True
    body.mass = mass
    body.ipos = center
    body.ialt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
    body.iquat = quaternion_from_matrix(axes[None])[0]
    body.inertia = moments


def _keep_pads(spec: mujoco.MjSpec, pads: tuple[str, str]) -> None:
    """Let nothing but the pads collide."""
    for body in spec.bodies:
        if body.name not in pads:
            for geom in body.geoms:
                geom.contype = 0
                geom.conaffinity = 0


def _add_grasp(
    spec: mujoco.MjSpec,
    original: mujoco.MjModel,
    measured: MeasuredGripper,
    hand: "mujoco.MjsBody",
    name: str,
) -> None:
    """A site between the pads, whose axes are those of the model's world."""
    data = _posture(original, measured.qpos)
    rotation = data.xmat[1].reshape(3, 3)
    site = hand.add_site(name=name)
    site.pos = rotation.T @ (measured.grasp - data.xpos[1])
    mujoco.mju_negQuat(site.quat, data.xquat[1])


def _complete(urdf: Path, name: str, joints: tuple[str, str]) -> None:
    """Give the base a name of its own, and let one finger follow the other."""
    tree = ElementTree.parse(urdf)
    base = f"{name}_{BASE}"
    for link in tree.iter("link"):
        if link.attrib["name"] == BASE:
            link.attrib["name"] = base
    for parent in tree.iter("parent"):
        if parent.attrib["link"] == BASE:
            parent.attrib["link"] = base
    driven, follower = joints
    for joint in tree.iter("joint"):
        if joint.attrib["name"] == follower:
            SubElement(joint, "mimic", joint=driven)
    ElementTree.indent(tree)
    tree.write(urdf, "utf-8", xml_declaration=True)
