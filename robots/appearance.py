"""What an arm looks like: the primitive shapes of its URDF, and where they are at given joint positions."""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np

from robots.arm import ArmSpec
from robots.kinematics import Kinematics
from robots.signals import Array
from robots.urdf import link_frames, origin


@dataclass(frozen=True)
class Shape:
    """One primitive: a sphere (radius), a cylinder along z (radius, length) or a box (x, y, z), m."""

    kind: str
    size: tuple[float, ...]
    link: int  # which of the arm's moving links carries it, -1 for the base
    pose: Array  # (4, 4) in that link's frame
    color: tuple[float, float, float]


def shapes(arm: ArmSpec) -> list[Shape]:
    """Everything visible of an arm."""
    root = ElementTree.parse(arm.urdf).getroot()
    colors = {m.attrib["name"]: _colour(m) for m in root.findall("material")}
    found = []
    for name, (link, pose) in link_frames(root, arm).items():
        element = next(x for x in root.iter("link") if x.attrib["name"] == name)
        for visual in element.findall("visual"):
            geometry, material = visual.find("geometry"), visual.find("material")
            assert geometry is not None
            assert material is not None
            solid = geometry[0]
            numbers = (
                solid.attrib["size"].split() if solid.tag == "box" else list(solid.attrib.values())
            )
            color = colors[material.attrib["name"]]
            found.append(
                Shape(solid.tag, tuple(map(float, numbers)), link, pose @ origin(visual), color)
            )
    return found


def placed(arm: ArmSpec, q: Array) -> Array:
    """Poses of the base and of every moving link for configurations q (t, j): (t, 1 + j, 4, 4)."""
    frames = Kinematics(arm).frames(q)[:, :-1]
    base = np.broadcast_to(np.eye(4), (len(q), 1, 4, 4))
    return np.concatenate([base, frames], 1)


def _colour(material: ElementTree.Element) -> tuple[float, float, float]:
    color = material.find("color")
    red, green, blue = (
        float(x) for x in (color.attrib["rgba"] if color is not None else ".5 .5 .5").split()[:3]
    )
    return red, green, blue
