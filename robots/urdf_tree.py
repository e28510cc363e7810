"""A URDF as a tree of links and of the joints that connect them."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.urdf_elements import (
    describe,
    errors_about,
    named_elements,
    origin_transform,
    parse_numbers,
    parse_urdf,
    required_attribute,
    required_child,
)

JOINT_TYPES = ("revolute", "continuous", "prismatic", "fixed")
DEFAULT_AXIS = "1 0 0"  # of the URDF standard


@dataclass(frozen=True)
class UrdfTree:
    """The links and joints of one URDF."""

    path: Path
    links: dict[str, Element]  # by name
    joints: dict[str, Element]  # by name; the joint of a link comes before those behind the link

    @property
    def base(self) -> str:
        """The link that no joint carries."""
        children = {link_name(joint, "child") for joint in self.joints.values()}
        (base,) = [name for name in self.links if name not in children]
        return base

    def chain(self, tool: str) -> list[Element]:
        """The <joint> elements from the base to a link.

        Raises:
            BadArgumentError: there is no such link.
        """
        if tool not in self.links:
            names = ", ".join(self.links)
            raise BadArgumentError(f"there is no link {tool!r}; there are {names}")
        above = {link_name(joint, "child"): joint for joint in self.joints.values()}
        chain = []
        link = tool
        while link in above:
            joint = above[link]
            chain.append(joint)
            link = link_name(joint, "parent")
        chain.reverse()
        return chain

    def link_frames(self, driven: tuple[str, ...]) -> dict[str, tuple[int, Array]]:
        """The driven joint that every link moves with, and the link's pose there.

        Returns:
            By the link's name: index of the driven joint that moves it, -1 for the base, and its
            pose (4, 4) in the frame of the link right behind that joint, or of the base.
        """
        frames = {self.base: (-1, np.eye(4))}
        for name, joint in self.joints.items():
            index, pose = frames[link_name(joint, "parent")]
            pose = pose @ origin_transform(joint)
            if name in driven:
                index = driven.index(name)
                pose = np.eye(4)
            frames[link_name(joint, "child")] = (index, pose)
        return frames


def read_tree(path: Path) -> UrdfTree:
    """Read a URDF and check that it is one tree of supported joints.

    Raises:
        BadArgumentError: it is not; the message names the joint or link.
    """
    root = parse_urdf(path)
    links = named_elements(root, "link")
    joints = named_elements(root, "joint")
    parent_of: dict[str, str] = {}
    for joint in joints.values():
        with errors_about(describe(joint)):
            _check_joint(joint, links)
            child = link_name(joint, "child")
            if child in parent_of:
                raise BadArgumentError(f"another joint carries its link {child!r} already")
            parent_of[child] = link_name(joint, "parent")
    bases = [name for name in links if name not in parent_of]
    if len(bases) != 1:
        names = ", ".join(bases) or "none"
        raise BadArgumentError(f"one link should be carried by no joint, got: {names}")
    in_order = _base_first(joints, bases[0])
    if len(in_order) < len(joints):
        circle = ", ".join(name for name in joints if name not in in_order)
        raise BadArgumentError(f"these joints form a circle: {circle}")
    return UrdfTree(path, links, in_order)


def moves(joint: Element) -> bool:
    """Whether a joint is not fixed."""
    return joint.attrib["type"] != "fixed"


def joint_axis(joint: Element) -> Array:
    """The direction (3,) of a joint's axis, in the joint's frame; x where none is given.

    Raises:
        BadArgumentError: its length is zero.
    """
    axis = joint.find("axis")
    text = DEFAULT_AXIS if axis is None else required_attribute(axis, "xyz")
    direction = parse_numbers(text, 3)
    if not direction.any():
        raise BadArgumentError("its axis has no direction")
    return direction


def link_name(joint: Element, side: str) -> str:
    """The name of a <joint>'s link on one side, ``"parent"`` or ``"child"``."""
    return required_attribute(required_child(joint, side), "link")


def _check_joint(joint: Element, links: dict[str, Element]) -> None:
    kind = required_attribute(joint, "type")
    if kind not in JOINT_TYPES:
        allowed = ", ".join(JOINT_TYPES)
        raise BadArgumentError(f"it is {kind}; supported are: {allowed}")
    for side in ("parent", "child"):
        link = link_name(joint, side)
        if link not in links:
            raise BadArgumentError(f"there is no link {link!r}, its {side}")
    origin_transform(joint)
    if moves(joint):
        joint_axis(joint)


def _base_first(joints: dict[str, Element], base: str) -> dict[str, Element]:
    """The joints connected to the base: breadth first, in the order of the file."""
    in_order: dict[str, Element] = {}
    waiting = [base]
    while waiting:
        link = waiting.pop(0)
        for name, joint in joints.items():
            if link_name(joint, "parent") == link:
                in_order[name] = joint
                waiting.append(link_name(joint, "child"))
    return in_order
