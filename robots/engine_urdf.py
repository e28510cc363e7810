"""An arm's URDF for the physics engines: one text that all of them interpret in the same way."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from robots.arm import ArmSpec
from robots.meshes import convex_hull
from robots.urdf import read_arm_tree
from robots.urdf_elements import describe, errors_about, format_numbers, origin_transform
from robots.urdf_geometry import read_geometry
from robots.urdf_gripper import followers
from robots.urdf_tree import UrdfTree, joint_axis, moves

JOINT_CHILDREN = ("parent", "child", "origin", "limit")


@dataclass(frozen=True)
class EngineUrdf:
    """A URDF without anything that engines interpret differently.

    Its meshes are convex hulls in the format OBJ; engines use the hull of a colliding mesh anyway.
    """

    text: str
    meshes: dict[str, bytes]  # the files that the text names
    followers: dict[str, tuple[float, float]]  # joints of fingers, see ``urdf_gripper.followers``

    @contextmanager
    def written(self) -> Iterator[Path]:
        """The URDF as a temporary file, with its meshes beside it."""
        with TemporaryDirectory(prefix="pliant-") as name:
            folder = Path(name)
            for mesh, content in self.meshes.items():
                (folder / mesh).write_bytes(content)
            path = folder / "arm.urdf"
            path.write_text(self.text, encoding="utf-8")
            yield path


def engine_urdf(arm: ArmSpec) -> EngineUrdf:
    """Read an arm's URDF for an engine.

    Joints that the arm does not drive are fixed. The text leaves out what engines get elsewhere or
    interpret differently: visuals (see ``appearance.shapes``), joint friction and damping (see the
    arm's servos), and extensions of other programs.

    Raises:
        BadArgumentError: see ``read_arm_tree``; also for a mesh that is missing or unreadable.
    """
    tree = read_arm_tree(arm)
    root = Element("robot", name=arm.name)
    meshes: dict[str, bytes] = {}
    with errors_about(arm.urdf.name):
        for link in tree.links.values():
            with errors_about(describe(link)):
                root.append(_engine_link(link, tree, meshes))
    for joint in tree.joints.values():
        root.append(_engine_joint(joint))
    text = ElementTree.tostring(root, encoding="unicode")
    return EngineUrdf(text, meshes, followers(tree, arm))


def _engine_link(link: Element, tree: UrdfTree, meshes: dict[str, bytes]) -> Element:
    """A link's mass and what it collides with; adds the files that it names to ``meshes``."""
    result = Element("link", name=link.attrib["name"])
    result.extend(link.findall("inertial"))
    for visual in link.findall("visual"):
        read_geometry(visual, tree.path)  # refuse an arm that cannot be drawn at once
    for collision in link.findall("collision"):
        origin_transform(collision)
        geometry = read_geometry(collision, tree.path)
        solid = deepcopy(collision)
        solid.attrib.clear()
        result.append(solid)
        if geometry.mesh is not None:
            name = f"mesh{len(meshes)}.obj"
            meshes[name] = convex_hull(geometry.mesh, geometry.size).encode()
            _replace_mesh(solid, name)
    return result


def _replace_mesh(solid: Element, filename: str) -> None:
    """Give a <collision> another mesh, which is in m."""
    for geometry in solid.findall("geometry"):
        geometry.clear()
        SubElement(geometry, "mesh", filename=filename)


def _engine_joint(joint: Element) -> Element:
    """A joint with a unit axis, and with position limits only where it has an end."""
    kind = joint.attrib["type"]
    result = Element("joint", name=joint.attrib["name"], type=kind)
    for tag in JOINT_CHILDREN:
        result.extend(deepcopy(joint.findall(tag)))
    if moves(joint):
        direction = joint_axis(joint)
        unit = direction / np.linalg.norm(direction)
        SubElement(result, "axis", xyz=format_numbers(unit))
    for limit in result.findall("limit"):
        if kind == "continuous":
            limit.attrib.pop("lower", None)
            limit.attrib.pop("upper", None)
    return result
