"""The joints of a URDF: those that an arm drives are checked, all others are made fixed.

A joint that the arm does not drive, such as a finger of its gripper, stays at the position in
``ArmSpec.held``; without an entry there, at 0 or the limit nearest to 0. A joint with <mimic> stays
at the position that follows from the joint it mimics.
"""

from xml.etree.ElementTree import Element, SubElement

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.gripper import Gripper
from robots.rotations import roll_pitch_yaw, rotation_about
from robots.signals import Array
from robots.urdf_elements import (
    describe,
    errors_about,
    format_numbers,
    optional_number,
    origin_transform,
    required_attribute,
    required_number,
)
from robots.urdf_gripper import followers
from robots.urdf_tree import UrdfTree, joint_axis, moves

LIMIT_ATTRIBUTES = ("lower", "upper", "effort", "velocity")
ROUNDING = 1e-6  # by which an arm's limits may exceed its URDF's, which are often rounded


def check_driven_joints(tree: UrdfTree, arm: ArmSpec) -> None:
    """Check that the URDF's joints up to the tool are the arm's, and that they allow its limits.

    Raises:
        BadArgumentError: other joints move the tool, or one has no limits, or narrower ones.
    """
    driven = tuple(
        joint.attrib["name"]
        for joint in tree.chain(arm.tool)
        if moves(joint) and not _is_held(joint, arm)
    )
    if driven != arm.tool_joints:
        raise BadArgumentError(
            f"the joints {driven} move the link {arm.tool!r}, {arm.name} names {arm.tool_joints}"
        )
    if arm.gripper is not None:
        _check_finger(tree, arm.gripper)
    for i, name in enumerate(arm.joints):
        joint = tree.joints[name]
        with errors_about(describe(joint)):
            _check_limit(joint, arm, i)


def _check_finger(tree: UrdfTree, gripper: Gripper) -> None:
    """Check that the driven finger slides."""
    name = gripper.joint
    if name not in tree.joints:
        raise BadArgumentError(f"there is no joint {name!r}, which gripper {gripper.name} drives")
    kind = tree.joints[name].attrib["type"]
    if kind != "prismatic":
        raise BadArgumentError(f"joint {name!r} is {kind}; the joint of a finger is prismatic")


def hold_other_joints(tree: UrdfTree, arm: ArmSpec) -> None:
    """Make every joint fixed that the arm does not drive, where it is held.

    Raises:
        BadArgumentError: such a joint has no valid position, or ``arm.held`` names another joint.
    """
    moved = {*arm.joints, *followers(tree, arm)}
    held = [name for name, joint in tree.joints.items() if moves(joint) and name not in moved]
    for name in arm.held:
        if name not in held:
            names = ", ".join(held) or "none"
            raise BadArgumentError(f"{arm.name} holds {name!r}; joints to hold are: {names}")
    positions = {}
    for name in held:
        joint = tree.joints[name]
        with errors_about(describe(joint)):
            positions[name] = _held_position(joint, tree, arm)
    for name, position in positions.items():
        _fix(tree.joints[name], position)


def _is_held(joint: Element, arm: ArmSpec) -> bool:
    """Whether a joint between base and tool is fixed: by ``ArmSpec.held``, or as a follower.

    Raises:
        BadArgumentError: the arm drives a joint that follows another one.
    """
    name = joint.attrib["name"]
    follows = joint.find("mimic") is not None
    if follows and name in arm.joints:
        with errors_about(describe(joint)):
            raise BadArgumentError(f"it follows another one by <mimic>, {arm.name} drives it")
    return follows or name in arm.held


def _check_limit(joint: Element, arm: ArmSpec, i: int) -> None:
    """Check the limits of the arm's i-th joint; a continuous joint may have none."""
    limit = joint.find("limit")
    endless = joint.attrib["type"] == "continuous"
    if limit is None:
        if endless:
            return
        attributes = ", ".join(LIMIT_ATTRIBUTES)
        raise BadArgumentError(f"it has no <limit>; a joint that is driven needs {attributes}")
    limits = arm.limits
    for name, needed in (("effort", limits.tau[i]), ("velocity", limits.dq[i])):
        allowed = required_number(limit, name)
        if needed > allowed + ROUNDING:
            raise BadArgumentError(f"its {name} is {allowed:g}, {arm.name} asks for {needed:g}")
    if endless:
        return
    lower = required_number(limit, "lower")
    upper = required_number(limit, "upper")
    low = limits.q_low[i]
    high = limits.q_high[i]
    if low < lower - ROUNDING or high > upper + ROUNDING:
        raise BadArgumentError(
            f"it goes from {lower:g} to {upper:g}, {arm.name} asks for {low:g} to {high:g}"
        )


def _held_position(joint: Element, tree: UrdfTree, arm: ArmSpec) -> float:
    """The position of a joint that is not driven, rad or m."""
    follows = joint.find("mimic") is not None
    if follows and joint.attrib["name"] in arm.held:
        raise BadArgumentError(f"{arm.name} holds it, but it follows another joint by <mimic>")
    scale = 1.0
    offset = 0.0
    followed: list[Element] = []
    mimic = joint.find("mimic")
    while mimic is not None:  # position = offset + scale · position of the joint that is followed
        followed.append(joint)
        offset += scale * optional_number(mimic, "offset", 0.0)
        scale *= optional_number(mimic, "multiplier", 1.0)
        joint = _leader(mimic, tree, arm)
        if joint in followed:
            raise BadArgumentError("it follows itself by <mimic>")
        mimic = joint.find("mimic")
    return offset + scale * _own_position(joint, arm)


def _leader(mimic: Element, tree: UrdfTree, arm: ArmSpec) -> Element:
    """The joint that a <mimic> follows."""
    name = required_attribute(mimic, "joint")
    if name not in tree.joints:
        raise BadArgumentError(f"there is no joint {name!r}, which it follows by <mimic>")
    if name in arm.joints:
        raise BadArgumentError(
            f"it follows {name!r}, which {arm.name} drives; only joints that are held still "
            "can be followed by <mimic>"
        )
    return tree.joints[name]


def _own_position(joint: Element, arm: ArmSpec) -> float:
    """The position of a joint without <mimic> that is not driven."""
    limit = joint.find("limit")
    lower = -np.inf
    upper = np.inf
    if limit is not None and joint.attrib["type"] != "continuous":
        lower = optional_number(limit, "lower", 0.0)
        upper = optional_number(limit, "upper", 0.0)
    name = joint.attrib["name"]
    nearest = float(np.clip(0.0, lower, upper))
    position = arm.held.get(name, nearest)
    if not lower - ROUNDING <= position <= upper + ROUNDING:
        raise BadArgumentError(
            f"{arm.name} holds it at {position:g}, it goes from {lower:g} to {upper:g}"
        )
    return position


def _fix(joint: Element, position: float) -> None:
    """Make a joint fixed at a position, rad or m."""
    slides = joint.attrib["type"] == "prismatic"
    joint.attrib["type"] = "fixed"
    if position == 0.0:
        return
    direction = joint_axis(joint)
    axis = direction / np.linalg.norm(direction)
    motion = np.eye(4)
    if slides:
        motion[:3, 3] = position * axis
    else:
        motion[:3, :3] = rotation_about(axis, position)
    _set_origin(joint, origin_transform(joint) @ motion)


def _set_origin(joint: Element, pose: Array) -> None:
    """Give a joint the <origin> with a pose (4, 4)."""
    origin = joint.find("origin")
    if origin is None:
        origin = SubElement(joint, "origin")
    origin.attrib["xyz"] = format_numbers(pose[:3, 3])
    origin.attrib["rpy"] = format_numbers(roll_pitch_yaw(pose[:3, :3]))
