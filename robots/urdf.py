"""Reading a serial arm's URDF."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from robots.arm import ArmSpec
from robots.rotations import skew
from robots.signals import Array


def joint_chain(parents: dict[str, ElementTree.Element], arm: ArmSpec) -> list[ElementTree.Element]:
    """The joints from the base to the tool, checked against the arm's names."""
    chain, link = [], arm.tool
    while link in parents:
        chain.append(parents[link])
        link = parents[link].find("parent").attrib["link"]  # type: ignore[union-attr]
    chain.reverse()
    moving = tuple(joint.attrib["name"] for joint in chain if joint.attrib["type"] != "fixed")
    if moving != arm.joints:
        raise ValueError(
            f"{arm.urdf.name} has the joints {moving} up to {arm.tool!r}, {arm.name} names {arm.joints}"
        )
    return chain


def link_frames(root: ElementTree.Element, arm: ArmSpec) -> dict[str, tuple[int, Array]]:
    """Every link of the chain: the moving link that carries it, -1 for the base, and its pose in that frame."""
    chain = joint_chain(parent_joints(root), arm)
    index, pose = -1, np.eye(4)
    found = {chain[0].find("parent").attrib["link"]: (index, pose)}  # type: ignore[union-attr]
    for joint in chain:
        pose = pose @ origin(joint)
        if joint.attrib["type"] != "fixed":
            index, pose = index + 1, np.eye(4)
        found[joint.find("child").attrib["link"]] = (index, pose)  # type: ignore[union-attr]
    return found


def parent_joints(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """Each link\'s parent joint, by the name of the link."""
    return {joint.find("child").attrib["link"]: joint for joint in root.iter("joint")}  # type: ignore[union-attr]


def numbers(text: str) -> Array:
    """The numbers of a space-separated attribute, (k,)."""
    return np.array([float(x) for x in text.split()])


def rotation_to_axis(axis: Array) -> Array:
    """A rotation that takes z to ``axis`` (3,), as a transform (4, 4)."""
    z = axis / np.linalg.norm(axis)
    x = np.cross((1.0, 0, 0) if abs(z[1]) > 0.9 else (0, 1.0, 0), z)
    x /= np.linalg.norm(x)
    out = np.eye(4)
    out[:3, :3] = np.stack([x, np.cross(z, x), z], 1)
    return out


def origin(element: ElementTree.Element) -> Array:
    """The transform of an <origin>, roll-pitch-yaw about fixed axes, (4, 4)."""
    origin, out = element.find("origin"), np.eye(4)
    if origin is not None:
        out[:3, 3] = numbers(origin.attrib.get("xyz", "0 0 0"))
        for axis, angle in zip(np.eye(3), numbers(origin.attrib.get("rpy", "0 0 0")), strict=True):
            k = skew(axis)
            out[:3, :3] = (np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k) @ out[
                :3, :3
            ]
    return out


def mass_and_center(link: ElementTree.Element) -> tuple[float, Array]:
    """Mass kg and centre of mass (3,) m in the link's frame."""
    inertial = link.find("inertial")
    if inertial is None:
        return 0.0, np.zeros(3)
    return float(inertial.find("mass").attrib["value"]), origin(inertial)[:3, 3]  # type: ignore[union-attr]
