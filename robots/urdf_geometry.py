"""The visible and the colliding solids of a URDF: primitives, and meshes in files."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from robots.errors import BadArgumentError
from robots.meshes import find_mesh
from robots.signals import Array
from robots.urdf_elements import parse_numbers, required_attribute, required_child, required_number

# The attributes that hold each primitive's size, in the order of ``Geometry.size``.
RADII_AND_LENGTHS = {"sphere": ("radius",), "cylinder": ("radius", "length")}
KINDS = (*RADII_AND_LENGTHS, "box", "mesh")


@dataclass(frozen=True)
class Geometry:
    """The <geometry> of one solid."""

    kind: str  # one of KINDS; a cylinder is along z
    size: Array  # m: (radius,), (radius, length) or (x, y, z); of a mesh: factors of x, y, z
    mesh: Path | None = None  # its file


def read_geometry(solid: Element, urdf: Path) -> Geometry:
    """The geometry of a <visual> or <collision> in the file ``urdf``.

    Raises:
        BadArgumentError: it is of an unknown kind, has an impossible size, or its mesh has no file.
    """
    geometry = required_child(solid, "geometry")
    if not len(geometry):
        raise BadArgumentError("its <geometry> is empty")
    element = geometry[0]
    kind = element.tag
    if kind not in KINDS:
        allowed = ", ".join(KINDS)
        raise BadArgumentError(f"its <{solid.tag}> is a <{kind}>; supported are: {allowed}")
    if kind == "mesh":
        scale = parse_numbers(element.attrib.get("scale", "1 1 1"), 3)
        if not scale.all():
            raise BadArgumentError(f"its <{solid.tag}> is a mesh of scale {scale.tolist()}")
        path = find_mesh(required_attribute(element, "filename"), urdf)
        return Geometry(kind, scale, path)
    if kind == "box":
        size = parse_numbers(required_attribute(element, "size"), 3)
    else:
        attributes = RADII_AND_LENGTHS[kind]
        size = np.array([required_number(element, name) for name in attributes])
    if not (size > 0).all():
        raise BadArgumentError(f"its <{solid.tag}> is a {kind} of size {size.tolist()} m")
    return Geometry(kind, size)
