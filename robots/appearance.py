"""An arm's appearance: the visible shapes of its URDF, and the poses of its links."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.meshes import Color, Mesh, read_meshes
from robots.signals import Array
from robots.urdf import read_arm_tree
from robots.urdf_elements import (
    describe,
    errors_about,
    origin_transform,
    parse_numbers,
    parse_urdf,
    required_attribute,
)
from robots.urdf_geometry import read_geometry
from robots.urdf_gripper import followers
from robots.urdf_tree import UrdfTree, joint_axis, link_name

GRAY: Color = (0.5, 0.5, 0.5)  # for shapes without a color


@dataclass(frozen=True)
class Shape:
    """One solid of an arm's appearance."""

    kind: str  # "sphere", "cylinder" (along z), "box" or "mesh"
    size: tuple[float, ...]  # m: (radius,), (radius, length) or (x, y, z); empty for a mesh
    link: int  # index of the moving link that carries it, -1 for the base
    pose: Array  # (4, 4) in that link's frame
    color: Color
    mesh: Mesh | None = None  # of the kind "mesh"


def shapes(arm: ArmSpec) -> list[Shape]:
    """All visible shapes of an arm.

    A shape has the color of its material, else the one in its mesh file, else gray.

    Raises:
        BadArgumentError: see ``read_arm_tree``; also for a shape of an unknown kind, and for a mesh
            that is missing or unreadable.
    """
    tree = read_arm_tree(arm)
    result = []
    with errors_about(arm.urdf.name):
        colors = _named_colors(parse_urdf(arm.urdf))
        if arm.gripper is not None:
            colors |= _named_colors(parse_urdf(arm.gripper.urdf))
        moved = (*arm.tool_joints, *_moving_fingers(tree, arm))
        for name, (index, frame) in tree.link_frames(moved).items():
            link = tree.links[name]
            with errors_about(describe(link)):
                for visual in link.findall("visual"):
                    pose = frame @ origin_transform(visual)
                    color = _color(visual, colors)
                    result += _solids(visual, arm, index, pose, color)
    return result


def link_poses(arm: ArmSpec, q: Array) -> Array:
    """Poses of the base and of every moving link, (t, 1 + m, 4, 4), at joint positions (t, j) rad.

    The m moving links are those of the joints that move the tool, and then the gripper's fingers.
    ``Shape.link + 1`` is a shape's index on the second axis.
    """
    count = len(arm.tool_joints)
    links = Kinematics(arm).frames(q)[:, :count]
    base = np.broadcast_to(np.eye(4), (len(q), 1, 4, 4))
    fingers = _finger_poses(arm, links[:, -1], q[:, -1])
    return np.concatenate([base, links, *fingers], 1)


def moving_joints(arm: ArmSpec) -> tuple[str, ...]:
    """The joints of the m moving links of ``link_poses``."""
    return (*arm.tool_joints, *_moving_fingers(read_arm_tree(arm), arm))


def _moving_fingers(tree: UrdfTree, arm: ArmSpec) -> dict[str, tuple[float, float]]:
    """The joints of the gripper's fingers, the driven one first: see ``followers``."""
    if arm.gripper is None:
        return {}
    return {arm.gripper.joint: (1.0, 0.0)} | followers(tree, arm)


def _finger_poses(arm: ArmSpec, hand: Array, position: Array) -> list[Array]:
    """The pose of each finger, (t, 1, 4, 4).

    Args:
        arm: whose fingers they are.
        hand: (t, 4, 4), poses of the link that carries the gripper.
        position: (t,) m, of the driven finger.
    """
    if arm.gripper is None:
        return []
    tree = read_arm_tree(arm)
    frames = tree.link_frames(arm.tool_joints)
    poses = []
    for name, (factor, offset) in _moving_fingers(tree, arm).items():
        joint = tree.joints[name]
        _, carrier = frames[link_name(joint, "parent")]
        direction = joint_axis(joint)
        slide = np.tile(np.eye(4), (len(position), 1, 1))
        distance = offset + factor * position
        slide[:, :3, 3] = distance[:, None] * direction / np.linalg.norm(direction)
        pose = hand @ carrier @ origin_transform(joint) @ slide
        poses.append(pose[:, None])
    return poses


def _solids(
    visual: Element, arm: ArmSpec, link: int, pose: Array, color: Color | None
) -> list[Shape]:
    """The shapes of one <visual>: one primitive, or one for each part of its mesh."""
    geometry = read_geometry(visual, arm.urdf)
    if geometry.mesh is None:
        size = tuple(geometry.size.tolist())
        return [Shape(geometry.kind, size, link, pose, color or GRAY)]
    parts = read_meshes(geometry.mesh, geometry.size)
    return [
        Shape(geometry.kind, (), link, pose, color or part.color or GRAY, part) for part in parts
    ]


def _named_colors(root: Element) -> dict[str, Color]:
    """The colors of all materials with a name; a URDF may define one in any of its visuals."""
    colors = {}
    for material in root.iter("material"):
        color = _material_color(material)
        if color is not None and "name" in material.attrib:
            colors[material.attrib["name"]] = color
    return colors


def _color(visual: Element, named: dict[str, Color]) -> Color | None:
    """The color of a <visual>, in place or by the name of its material; None without one."""
    material = visual.find("material")
    if material is None:
        return None
    in_place = _material_color(material)
    if in_place is not None:
        return in_place
    return named.get(material.attrib.get("name", ""))


def _material_color(material: Element) -> Color | None:
    """The color that a <material> defines; None where it names one or has a texture."""
    color = material.find("color")
    if color is None:
        return None
    rgba = parse_numbers(required_attribute(color, "rgba"), 4)
    red, green, blue, _ = np.clip(rgba, 0.0, 1.0).tolist()
    return red, green, blue
