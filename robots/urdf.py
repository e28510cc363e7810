"""Reading a serial arm's URDF: the chain of joints from the base to the tool."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace
from xml.etree.ElementTree import Element

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.rotations import rotation_about, rotation_to_axis
from robots.signals import Array

JOINT_TYPES = ("revolute", "continuous", "prismatic", "fixed")


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


def read_chain(arm: ArmSpec) -> SerialChain:
    """Read an arm's chain from its URDF.

    Raises:
        BadArgumentError: the URDF has other joints than the arm names, or lacks an element.
    """
    root = ElementTree.parse(arm.urdf).getroot()
    elements = named_elements(root, "link")
    links: list[MovingLink] = []
    pose = np.eye(4)  # of the current link in the frame of the last moving link
    for joint in joint_chain(root, arm):
        pose = pose @ origin_transform(joint)
        if is_driven(joint):
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
        name = link_name(joint, "child")
        mass, com = mass_and_center(elements[name])
        if mass and links:  # what a fixed joint carries belongs to the last moving link
            com = pose[:3, :3] @ com + pose[:3, 3]
            last = links.pop()
            links.append(last.with_mass(mass, com))
    return SerialChain(links, pose)


def joint_chain(root: Element, arm: ArmSpec) -> list[Element]:
    """The <joint> elements from the base to the tool.

    Raises:
        BadArgumentError: the driven joints are not those that the arm names, or one is of a kind
            that is not supported.
    """
    parent_joint = {link_name(joint, "child"): joint for joint in root.iter("joint")}
    chain = []
    link = arm.tool
    while link in parent_joint:
        joint = parent_joint[link]
        chain.append(joint)
        link = link_name(joint, "parent")
    chain.reverse()
    driven = tuple(joint.attrib["name"] for joint in chain if is_driven(joint))
    if driven != arm.joints:
        raise BadArgumentError(
            f"{arm.urdf.name} has the joints {driven} up to {arm.tool!r}, "
            f"{arm.name} names {arm.joints}"
        )
    return chain


def link_frames(root: Element, arm: ArmSpec) -> dict[str, tuple[int, Array]]:
    """Where every link of the chain is attached.

    Returns:
        By the link's name: index of the moving link that carries it, -1 for the base, and its pose
        (4, 4) in the URDF frame of that link.
    """
    chain = joint_chain(root, arm)
    index = -1
    pose = np.eye(4)
    frames = {link_name(chain[0], "parent"): (index, pose)}
    for joint in chain:
        pose = pose @ origin_transform(joint)
        if is_driven(joint):
            index += 1
            pose = np.eye(4)
        frames[link_name(joint, "child")] = (index, pose)
    return frames


def is_driven(joint: Element) -> bool:
    """Whether a <joint> moves; BadArgumentError for a kind that is not in JOINT_TYPES."""
    kind = joint.attrib["type"]
    if kind not in JOINT_TYPES:
        name = joint.attrib["name"]
        allowed = ", ".join(JOINT_TYPES)
        raise BadArgumentError(f"joint {name!r} is {kind}; supported are: {allowed}")
    return kind != "fixed"


def joint_axis(joint: Element) -> Array:
    """The axis (3,) of a <joint>, in the joint's frame; x where none is given."""
    axis = joint.find("axis")
    return parse_numbers("1 0 0" if axis is None else axis.attrib["xyz"])


def named_elements(root: Element, tag: str) -> dict[str, Element]:
    """The <link> or <material> definitions of a URDF by their name."""
    return {element.attrib["name"]: element for element in root.findall(tag)}


def link_name(joint: Element, side: str) -> str:
    """The name of a <joint>'s link on one side, ``"parent"`` or ``"child"``."""
    return required_child(joint, side).attrib["link"]


def required_child(element: Element, tag: str) -> Element:
    """The first child with this tag; BadArgumentError where there is none."""
    first = element.find(tag)
    if first is None:
        name = element.attrib.get("name", "")
        raise BadArgumentError(f"the URDF's <{element.tag}> {name!r} has no <{tag}>")
    return first


def parse_numbers(text: str) -> Array:
    """The numbers (k,) of a space-separated attribute."""
    return np.array([float(word) for word in text.split()])


def origin_transform(element: Element) -> Array:
    """The transform (4, 4) of an element's <origin>; identity where it has none.

    ``rpy`` are rotations about the fixed axes x, y and z, in this order.
    """
    transform = np.eye(4)
    origin = element.find("origin")
    if origin is None:
        return transform
    xyz = origin.attrib.get("xyz", "0 0 0")
    rpy = origin.attrib.get("rpy", "0 0 0")
    rotation = np.eye(3)
    for axis, angle in zip(np.eye(3), parse_numbers(rpy), strict=True):
        rotation = rotation_about(axis, angle) @ rotation
    transform[:3, :3] = rotation
    transform[:3, 3] = parse_numbers(xyz)
    return transform


def mass_and_center(link: Element) -> tuple[float, Array]:
    """Mass kg and center of mass (3,) m of a <link> in its own frame; 0 without <inertial>."""
    inertial = link.find("inertial")
    if inertial is None:
        return 0.0, np.zeros(3)
    value = required_child(inertial, "mass").attrib["value"]
    frame = origin_transform(inertial)
    center = frame[:3, 3]
    return float(value), center
