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
        for name, (index, frame) in tree.link_frames(arm.joints).items():
            link = tree.links[name]
            with errors_about(describe(link)):
                for visual in link.findall("visual"):
                    pose = frame @ origin_transform(visual)
                    color = _color(visual, colors)
                    result += _solids(visual, arm, index, pose, color)
    return result


def link_poses(arm: ArmSpec, q: Array) -> Array:
    """Poses of the base and of every moving link, (t, 1 + j, 4, 4), at joint positions (t, j) rad.

    ``Shape.link + 1`` is a shape's index on the second axis.
    """
    links_and_tool = Kinematics(arm).frames(q)
    base = np.broadcast_to(np.eye(4), (len(q), 1, 4, 4))
    return np.concatenate([base, links_and_tool[:, :-1]], 1)


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
