"""An arm's appearance: the primitive shapes of its URDF, and the poses of its links."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array
from robots.urdf import (
    link_frames,
    named_elements,
    origin_transform,
    parse_numbers,
    required_child,
)

Color = tuple[float, float, float]  # red, green, blue in [0, 1]

GRAY = "0.5 0.5 0.5 1"  # of a material without a color
# The URDF attributes that hold each kind of shape's size, in the order of ``Shape.size``.
SIZE_ATTRIBUTES = {"sphere": ("radius",), "cylinder": ("radius", "length"), "box": ("size",)}


@dataclass(frozen=True)
class Shape:
    """One primitive of an arm's appearance."""

    kind: str  # "sphere", "cylinder" (along z) or "box"
    size: tuple[float, ...]  # m: (radius,), (radius, length) or (x, y, z)
    link: int  # index of the moving link that carries it, -1 for the base
    pose: Array  # (4, 4) in that link's frame
    color: Color


def shapes(arm: ArmSpec) -> list[Shape]:
    """All visible shapes of an arm.

    Raises:
        BadArgumentError: the URDF has a shape that is no primitive, or lacks an element.
    """
    root = ElementTree.parse(arm.urdf).getroot()
    links = named_elements(root, "link")
    materials = named_elements(root, "material")
    result = []
    for name, (index, frame) in link_frames(root, arm).items():
        for visual in links[name].findall("visual"):
            kind, size = _kind_and_size(visual)
            material = required_child(visual, "material").attrib["name"]
            shape = Shape(
                kind=kind,
                size=size,
                link=index,
                pose=frame @ origin_transform(visual),
                color=_color(materials[material]),
            )
            result.append(shape)
    return result


def link_poses(arm: ArmSpec, q: Array) -> Array:
    """Poses of the base and of every moving link, (t, 1 + j, 4, 4), at joint positions (t, j) rad.

    ``Shape.link + 1`` is a shape's place on the second axis.
    """
    links_and_tool = Kinematics(arm).frames(q)
    base = np.broadcast_to(np.eye(4), (len(q), 1, 4, 4))
    return np.concatenate([base, links_and_tool[:, :-1]], 1)


def _kind_and_size(visual: Element) -> tuple[str, tuple[float, ...]]:
    geometry = required_child(visual, "geometry")
    solid = geometry[0]
    kind = solid.tag
    if kind not in SIZE_ATTRIBUTES:
        allowed = ", ".join(SIZE_ATTRIBUTES)
        raise BadArgumentError(f"the URDF shows a <{kind}>; supported are: {allowed}")
    words = [solid.attrib[name] for name in SIZE_ATTRIBUTES[kind]]
    size = parse_numbers(" ".join(words))
    return kind, tuple(size.tolist())


def _color(material: Element) -> Color:
    color = material.find("color")
    text = GRAY if color is None else color.attrib["rgba"]
    rgba = parse_numbers(text).tolist()
    red, green, blue = rgba[:3]
    return red, green, blue
