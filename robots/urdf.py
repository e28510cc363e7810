"""Reads an arm's URDF for the kinematics, the engines and the renderings.

Files of vendors contain more than an arm's joints: grippers, joints that mimic others, links
without mass, meshes in many formats. All readers get the same tree from ``read_arm_tree``, in which
every joint except the driven ones is fixed, or the same error.
"""

from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.rotations import rotation_to_axis
from robots.signals import Array
from robots.urdf_elements import (
    describe,
    errors_about,
    origin_transform,
    required_child,
    required_number,
)
from robots.urdf_gripper import mount
from robots.urdf_joints import check_driven_joints, hold_other_joints
from robots.urdf_tree import UrdfTree, joint_axis, link_name, moves, read_tree

INERTIA = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
ROUNDING = 1e-9  # of an inertia's principal moments, relative


@dataclass(frozen=True)
class MovingLink:
    """A driven joint and everything that it carries, up to the next driven joint.

    The link's frame has its origin on the joint and is tilted so that the joint turns it about z,
    or slides it along z.
    """

    pose: Array  # (4, 4) at joint position 0, in the frame of the moving link before it or the base
    to_urdf_frame: Array  # (4, 4) pose of the link's frame as the URDF defines it
    mass: float  # kg
    com: Array  # (3,) m, center of mass
    slides: bool  # whether the joint is prismatic
    grips: bool = False  # whether it is the gripper's, which does not move the tool

    def with_mass(self, mass: float, com: Array) -> "MovingLink":
        """The same link with another mass kg attached at ``com`` (3,) m."""
        total = self.mass + mass
        moment = self.mass * self.com + mass * com
        return replace(self, mass=total, com=moment / total)


@dataclass(frozen=True)
class SerialChain:
    """A serial arm's geometry and masses, from the base to the tool."""

    links: list[MovingLink]
    tool: Array  # (4, 4) pose of the tool in the last link's frame


def read_arm_tree(arm: ArmSpec) -> UrdfTree:
    """An arm's URDF, with its gripper, in which every joint is fixed that the arm does not drive.

    A finger that follows a driven one moves too, see ``urdf_gripper.followers``.

    A link without mass gets an <inertial> with zero mass, because PyBullet assumes 1 kg otherwise.

    Raises:
        BadArgumentError: the URDF does not fit the arm, or cannot be simulated. The message names
            the file and what is wrong in it.
    """
    with errors_about(arm.urdf.name):
        tree = read_tree(arm.urdf)
        if arm.gripper is not None:
            tree = mount(tree, arm.gripper)
        check_driven_joints(tree, arm)
        hold_other_joints(tree, arm)
        for link in tree.links.values():
            with errors_about(describe(link)):
                _complete_inertial(link)
        _check_masses(tree, arm)
    return tree


def read_chain(arm: ArmSpec) -> SerialChain:
    """Read an arm's chain from its URDF.

    Raises:
        BadArgumentError: see ``read_arm_tree``.
    """
    tree = read_arm_tree(arm)
    links: list[MovingLink] = []
    pose = np.eye(4)  # of the current link in the frame of the last moving link
    for joint in tree.chain(arm.tool):
        pose = pose @ origin_transform(joint)
        if moves(joint):
            tilt = rotation_to_axis(joint_axis(joint))
            link = MovingLink(
                pose=pose @ tilt,
                to_urdf_frame=tilt.T,
                mass=0.0,
                com=np.zeros(3),
                slides=joint.attrib["type"] == "prismatic",
            )
            links.append(link)
            pose = tilt.T
    tool = pose
    if arm.gripper is not None:
        finger = _finger(tree, arm, links[-1])
        links.append(finger)
        tool = np.linalg.inv(finger.pose) @ tool
    for name, (index, frame) in tree.link_frames(arm.joints).items():
        mass, center = mass_and_center(tree.links[name])
        if mass and index >= 0:  # what a fixed joint carries belongs to the last moving link
            carrier = links[index]
            in_carrier = carrier.to_urdf_frame @ frame
            com = in_carrier[:3, :3] @ center + in_carrier[:3, 3]
            links[index] = carrier.with_mass(mass, com)
    return SerialChain(links, tool)


def _finger(tree: UrdfTree, arm: ArmSpec, hand: MovingLink) -> MovingLink:
    """The driven finger of a gripper, where it is at joint position 0.

    Args:
        tree: with the gripper.
        arm: whose gripper it is.
        hand: the last link that moves the tool.
    """
    assert arm.gripper is not None
    joint = tree.joints[arm.gripper.joint]
    _, frame = tree.link_frames(arm.tool_joints)[link_name(joint, "parent")]
    tilt = rotation_to_axis(joint_axis(joint))
    return MovingLink(
        pose=hand.to_urdf_frame @ frame @ origin_transform(joint) @ tilt,
        to_urdf_frame=tilt.T,
        mass=0.0,
        com=np.zeros(3),
        slides=True,
        grips=True,
    )


def mass_and_center(link: Element) -> tuple[float, Array]:
    """Mass kg and center of mass (3,) m of a <link> in its own frame."""
    inertial = required_child(link, "inertial")
    mass = required_number(required_child(inertial, "mass"), "value")
    frame = origin_transform(inertial)
    center = frame[:3, 3]
    return mass, center


def _complete_inertial(link: Element) -> None:
    """Check a link's mass and inertia; a link without <inertial> gets one with zero mass.

    Raises:
        BadArgumentError: the numbers are physically impossible.
    """
    inertial = link.find("inertial")
    if inertial is not None:
        mass, _ = mass_and_center(link)
        if mass < 0:
            raise BadArgumentError(f"its mass is {mass:g} kg")
        if mass > 0:
            _check_inertia(required_child(inertial, "inertia"))
            return
        link.remove(inertial)
    massless = SubElement(link, "inertial")
    SubElement(massless, "mass", value="0")
    SubElement(massless, "inertia", dict.fromkeys(INERTIA, "0"))


def _check_inertia(inertia: Element) -> None:
    """Check that an <inertia> is physically possible.

    Each principal moment is positive, and not above the sum of the other two.
    """
    xx, xy, xz, yy, yz, zz = (required_number(inertia, name) for name in INERTIA)
    matrix = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    moments = np.linalg.eigvalsh(matrix)
    smallest, middle, largest = moments.tolist()
    is_diagonal = not any((xy, xz, yz))
    margin = 0.0 if is_diagonal else ROUNDING * largest  # engines diagonalize it differently
    if smallest <= 0 or smallest + middle < largest + margin:
        raise BadArgumentError(
            f"no body has the principal moments of inertia {smallest:g}, {middle:g} and "
            f"{largest:g} kg·m²: each is positive and at most the sum of the others"
        )


def _check_masses(tree: UrdfTree, arm: ArmSpec) -> None:
    """Check that every driven joint moves a mass of its own; otherwise its motion is undefined."""
    masses = dict.fromkeys(arm.joints, 0.0)
    for name, (index, _) in tree.link_frames(arm.joints).items():
        if index >= 0:
            mass, _ = mass_and_center(tree.links[name])
            masses[arm.joints[index]] += mass
    for name, mass in masses.items():
        if mass == 0:
            raise BadArgumentError(f"joint {name!r} moves no mass; its link needs an <inertial>")
