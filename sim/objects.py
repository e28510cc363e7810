"""Loose objects as data: parameters, geometry and mass properties. Pure NumPy.

An object is a flat body of up to three parts: two boxes and an upright cylinder. Parts that a shape
does not need are tiny and hidden inside the first one that it uses. Axes: n objects, 3 parts.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from robots.errors import BadArgumentError
from robots.rotations import quaternion_from_matrix
from robots.signals import Array, Mask
from robots.world import Task

SHAPES = ("box", "cross", "cylinder", "L", "T")
DEFAULTS = {
    "object.shape": 0.0,  # index into SHAPES
    "object.size_x": 0.05,  # m, half the extent; a cylinder's radius
    "object.size_y": 0.05,  # m, half the extent
    "object.size_z": 0.02,  # m, half the height
    "object.mass": 0.3,  # kg
    "object.friction": 0.15,  # Coulomb's coefficient against the table and the tool
    "object.restitution": 0.3,  # of a blow by the tool
    "object.com_x": 0.0,  # m, center of mass from the centroid
    "object.com_y": 0.0,  # m
}
POSITION = (0.5, 0.0, 0.02)  # m, of an object whose episode's start does not say where it is
HIDDEN = 1e-3  # m, half size of a part that is not needed
BAR_WIDTH = 0.4  # of a cross, an L or a T, as a share of its extent
DISC = 2  # index of the cylinder among the parts; the other two are boxes


@dataclass(frozen=True)
class Parts:
    """Geometry of n objects, in a frame at the centroid of each: two boxes, then a cylinder."""

    size: Array  # (n, 3, 3) m, half extents; of the cylinder radius, half height, 0
    pos: Array  # (n, 3, 3) m
    used: Mask  # (n, 3)


@dataclass(frozen=True)
class Inertia:
    """Mass properties of n objects: principal moments in a frame at the center of mass."""

    mass: Array  # (n,) kg
    com: Array  # (n, 3) m
    moments: Array  # (n, 3) kg·m²
    quat: Array  # (n, 4) w, x, y, z


@dataclass(frozen=True)
class Objects:
    """All that an engine must know of n objects."""

    parameters: dict[str, Array]  # every name of DEFAULTS, (n,) each
    parts: Parts
    inertia: Inertia


class Rectangle(NamedTuple):
    """An axis-aligned rectangle in the plane for each of n objects, (n,) each, m."""

    half_x: Array
    half_y: Array
    center_x: Array
    center_y: Array


class Outline(NamedTuple):
    """The footprint of n objects of one shape."""

    boxes: tuple[Rectangle, Rectangle]
    radius: Array  # (n,) m, of the cylinder


def describe(task: Task) -> Objects:
    """The objects of n tasks.

    Raises:
        BadArgumentError: a shape code does not exist.
    """
    values = parameters(task)
    geometry = parts(values)
    return Objects(values, geometry, inertia(values, geometry))


def parameters(task: Task) -> dict[str, Array]:
    """Every name of ``DEFAULTS``, (n,) each; from the task where it names it."""
    n = len(task)
    return {
        name: task[name] if name in task.names else np.full(n, default)
        for name, default in DEFAULTS.items()
    }


def parts(p: dict[str, Array]) -> Parts:
    """The geometry of objects with parameters (n,) each.

    Raises:
        BadArgumentError: a shape code does not exist.
    """
    size, pos = _footprint(p)
    n = len(size)
    used = size[..., 0] > HIDDEN
    half_height = np.where(used, p["object.size_z"][:, None], HIDDEN)
    size[:, :DISC, 2] = half_height[:, :DISC]
    size[:, DISC, 1] = half_height[:, DISC]
    size[:, DISC, 2] = 0.0
    first_used = pos[np.arange(n), used.argmax(-1)]
    pos = np.where(used[..., None], pos, first_used[:, None])
    weight = area(size) * used
    centroid = (weight[..., None] * pos).sum(1) / weight.sum(1)[:, None]
    return Parts(size, pos - centroid[:, None], used)


def _footprint(p: dict[str, Array]) -> tuple[Array, Array]:
    """Sizes of the parts in the plane and their centers, (n, 3, 3) each; heights are not set."""
    codes = p["object.shape"].astype(int)
    if ((codes < 0) | (codes >= len(SHAPES))).any():
        allowed = dict(enumerate(SHAPES))
        given = sorted(set(codes.tolist()))
        raise BadArgumentError(f"object.shape must be one of {allowed}, got {given}")
    outlines = _outlines(p["object.size_x"], p["object.size_y"])
    size = np.empty((len(codes), 3, 3))
    pos = np.zeros((len(codes), 3, 3))
    for code, shape in enumerate(SHAPES):
        rows = codes == code
        outline = outlines[shape]
        for part, box in enumerate(outline.boxes):
            size[rows, part, 0] = box.half_x[rows]
            size[rows, part, 1] = box.half_y[rows]
            pos[rows, part, 0] = box.center_x[rows]
            pos[rows, part, 1] = box.center_y[rows]
        size[rows, DISC, 0] = outline.radius[rows]
    return size, pos


def _outlines(x: Array, y: Array) -> dict[str, Outline]:
    """The footprint of every shape with half extents x and y, (n,) m each."""
    zero = np.zeros(len(x))
    tiny = np.full(len(x), HIDDEN)
    bar_x = BAR_WIDTH * x  # half the width of a bar along y
    bar_y = BAR_WIDTH * y
    unused = Rectangle(tiny, tiny, zero, zero)
    full = Rectangle(x, y, zero, zero)
    along_x = Rectangle(x, bar_y, zero, zero)
    along_y = Rectangle(bar_x, y, zero, zero)
    left = Rectangle(bar_x, y, -x + bar_x, zero)  # along y, at the low end of x
    low = Rectangle(x - bar_x, bar_y, bar_x, -y + bar_y)  # from there on, at the low end of y
    middle = Rectangle(x - bar_x, bar_y, bar_x, zero)  # from there on, in the middle of y
    return {
        "box": Outline((full, unused), tiny),
        "cross": Outline((along_x, along_y), tiny),
        "cylinder": Outline((unused, unused), x),
        "L": Outline((left, low), tiny),
        "T": Outline((left, middle), tiny),
    }


def area(size: Array) -> Array:
    """Footprint of parts with sizes (n, 3, 3), m² (n, 3)."""
    boxes = size[:, :DISC]
    radius = size[:, DISC:, 0]
    return np.concatenate([4 * boxes[..., 0] * boxes[..., 1], np.pi * radius**2], 1)


def inertia(p: dict[str, Array], geometry: Parts) -> Inertia:
    """Mass properties at uniform density; an offset of the center of mass does not change moments.

    Where the two bars of a cross overlap, the overlap counts twice: a hub.
    """
    mass = p["object.mass"]
    weight = area(geometry.size) * geometry.used
    part_mass = mass[:, None] * weight / weight.sum(1, keepdims=True)  # (n, 3)
    own = part_mass[..., None] * _moments_per_mass(geometry.size)  # about the part's center
    # Steiner's theorem: a mass m at r adds m · (|r|²·1 - r·rᵀ)
    pos = geometry.pos
    squared = (pos**2).sum(-1)[..., None, None] * np.eye(3)
    steiner = squared - pos[..., :, None] * pos[..., None, :]
    part_tensors = own[..., None] * np.eye(3) + part_mass[..., None, None] * steiner
    moments, axes = np.linalg.eigh(part_tensors.sum(1))  # about the centroid
    axes[..., 2] *= np.sign(np.linalg.det(axes))[:, None]  # a rotation, not a reflection
    com = np.stack([p["object.com_x"], p["object.com_y"], np.zeros(len(mass))], -1)
    return Inertia(mass, com, moments, quaternion_from_matrix(axes))


def _moments_per_mass(size: Array) -> Array:
    """Principal moments of the parts about their own centers for a mass of 1 kg, (n, 3, 3) m²."""
    x = size[..., 0]
    y = size[..., 1]
    z = size[..., 2]
    box = np.stack([y**2 + z**2, x**2 + z**2, x**2 + y**2], -1) / 3
    radius = size[..., 0]
    half_height = size[..., 1]
    sideways = radius**2 / 4 + half_height**2 / 3
    cylinder = np.stack([sideways, sideways, radius**2 / 2], -1)
    is_box = np.arange(3)[None, :, None] < DISC
    return np.where(is_box, box, cylinder)


def damping_ratio(restitution: Array) -> Array:
    """Damping ratio of a spring-damper contact that gives a restitution in (0, 1)."""
    log = np.log(np.clip(restitution, 1e-3, 0.999))
    return -log / np.sqrt(np.pi**2 + log**2)
