"""Loose objects as data: parameters, geometry and mass properties. Pure NumPy.

An object is a flat body of up to three parts: two boxes and an upright cylinder. Parts that a shape
does not need are tiny and hidden inside the first one that it uses. Axes: n objects, 3 parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
DEFAULT_POSITION = (0.5, 0.0, 0.02)  # m, of an object where the start does not give a position
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


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned rectangle in the plane for each of n objects."""

    half: Array  # (n, 2) m, half extents
    center: Array  # (n, 2) m


@dataclass(frozen=True)
class Outline:
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
    size, pos = _footprints(p)
    used = size[..., 0] > HIDDEN
    _set_heights(size, used, p["object.size_z"])
    pos = _hide_unused(pos, used)
    weight = area(size) * used
    centroid = _weighted_mean(pos, weight)
    return Parts(size, pos - centroid[:, None], used)


def _weighted_mean(pos: Array, weight: Array) -> Array:
    """The mean of the parts' positions (n, 3, 3) with weights (n, 3), (n, 3)."""
    total = weight.sum(1)
    weighted = weight[..., None] * pos
    return np.asarray(weighted.sum(1) / total[:, None])


def _footprints(p: dict[str, Array]) -> tuple[Array, Array]:
    """Sizes of the parts in the plane and their centers, (n, 3, 3) each; heights are not set."""
    codes = p["object.shape"].astype(int)
    _check_shapes(codes)
    outlines = _outlines(p["object.size_x"], p["object.size_y"])
    shape_of_parts = (len(codes), 3, 3)
    size = np.empty(shape_of_parts)
    pos = np.zeros(shape_of_parts)
    for code, shape in enumerate(SHAPES):
        rows = codes == code
        outline = outlines[shape]
        for part, box in enumerate(outline.boxes):
            size[rows, part, :2] = box.half[rows]
            pos[rows, part, :2] = box.center[rows]
        size[rows, DISC, 0] = outline.radius[rows]
    return size, pos


def _check_shapes(codes: NDArray[np.int64]) -> None:
    count = len(SHAPES)
    unknown = (codes < 0) | (codes >= count)
    if not unknown.any():
        return
    allowed = dict(enumerate(SHAPES))
    given = sorted(set(codes.tolist()))
    raise BadArgumentError(f"object.shape must be one of {allowed}, got {given}")


def _outlines(x: Array, y: Array) -> dict[str, Outline]:
    """The footprint of every shape with half extents x and y, (n,) m each."""
    zero = np.zeros(len(x))
    tiny = np.full(len(x), HIDDEN)
    # half widths of bars along y and along x
    bar_x = BAR_WIDTH * x
    bar_y = BAR_WIDTH * y
    unused = _rectangle(tiny, tiny, zero, zero)
    full = _rectangle(x, y, zero, zero)
    # a cross
    along_x = _rectangle(x, bar_y, zero, zero)
    along_y = _rectangle(bar_x, y, zero, zero)
    # an L and a T: a bar along y at the low end of x, and one from there to the high end of x
    rest = x - bar_x
    left = _rectangle(bar_x, y, -x + bar_x, zero)
    low = _rectangle(rest, bar_y, bar_x, -y + bar_y)
    middle = _rectangle(rest, bar_y, bar_x, zero)
    return {
        "box": Outline((full, unused), tiny),
        "cross": Outline((along_x, along_y), tiny),
        "cylinder": Outline((unused, unused), x),
        "L": Outline((left, low), tiny),
        "T": Outline((left, middle), tiny),
    }


def _rectangle(half_x: Array, half_y: Array, center_x: Array, center_y: Array) -> Rectangle:
    """From (n,) m each."""
    half = np.stack([half_x, half_y], -1)
    center = np.stack([center_x, center_y], -1)
    return Rectangle(half, center)


def _set_heights(size: Array, used: Mask, half_height: Array) -> None:
    """Complete the sizes (n, 3, 3) of parts, those of unused ones with tiny heights."""
    height = np.where(used, half_height[:, None], HIDDEN)
    size[:, :DISC, 2] = height[:, :DISC]
    size[:, DISC, 1] = height[:, DISC]
    size[:, DISC, 2] = 0.0


def _hide_unused(pos: Array, used: Mask) -> Array:
    """Positions (n, 3, 3) with the unused parts at the first used one."""
    rows = np.arange(len(pos))
    first_used = pos[rows, used.argmax(-1)]
    return np.where(used[..., None], pos, first_used[:, None])


def area(size: Array) -> Array:
    """Footprint of parts with sizes (n, 3, 3), m² (n, 3)."""
    half_x = size[:, :DISC, 0]
    half_y = size[:, :DISC, 1]
    radius = size[:, DISC:, 0]
    boxes = 4 * half_x * half_y
    disc = np.pi * radius**2
    return np.concatenate([boxes, disc], 1)


def inertia(p: dict[str, Array], geometry: Parts) -> Inertia:
    """Mass properties at uniform density; an offset of the center of mass does not change moments.

    Where the two bars of a cross overlap, the overlap counts twice: a hub.
    """
    mass = p["object.mass"]
    part_mass = _part_masses(mass, geometry)
    tensor = _tensor(part_mass, geometry)
    moments, axes = np.linalg.eigh(tensor)
    handedness = np.sign(np.linalg.det(axes))
    axes[..., 2] *= handedness[:, None]  # a rotation, not a reflection
    com_x = p["object.com_x"]
    com_y = p["object.com_y"]
    com_z = np.zeros(len(mass))
    return Inertia(
        mass=mass,
        com=np.stack([com_x, com_y, com_z], -1),
        moments=moments,
        quat=quaternion_from_matrix(axes),
    )


def _tensor(part_mass: Array, geometry: Parts) -> Array:
    """Inertia tensors about the centroid, (n, 3, 3) kg·m², of parts with masses (n, 3)."""
    own = part_mass[..., None] * _moments_per_mass(geometry.size)
    shifted = part_mass[..., None, None] * _steiner_per_mass(geometry.pos)
    tensors = own[..., None] * np.eye(3) + shifted
    return np.asarray(tensors.sum(1))


def _part_masses(mass: Array, geometry: Parts) -> Array:
    """The mass of each part, (n, 3) kg; zero for those that are not used."""
    footprint = area(geometry.size) * geometry.used
    total = footprint.sum(1, keepdims=True)
    return np.asarray(mass[:, None] * footprint / total)


def _moments_per_mass(size: Array) -> Array:
    """Principal moments of the parts about their own centers for a mass of 1 kg, (n, 3, 3) m²."""
    boxes = _box_moments(size[:, :DISC])
    disc = _disc_moments(size[:, DISC:])
    return np.concatenate([boxes, disc], 1)


def _box_moments(half: Array) -> Array:
    """Those of boxes with half extents (..., 3) m, (..., 3) m²."""
    x2 = half[..., 0] ** 2
    y2 = half[..., 1] ** 2
    z2 = half[..., 2] ** 2
    moments = np.stack([y2 + z2, x2 + z2, x2 + y2], -1)
    return moments / 3


def _disc_moments(size: Array) -> Array:
    """Those of cylinders along z with radius, half height, 0 (..., 3) m, (..., 3) m²."""
    radius2 = size[..., 0] ** 2
    height2 = size[..., 1] ** 2
    upright = radius2 / 2
    sideways = radius2 / 4 + height2 / 3
    return np.stack([sideways, sideways, upright], -1)


def _steiner_per_mass(pos: Array) -> Array:
    """What a mass of 1 kg at ``pos`` adds to the tensor about the origin: |r|²·1 - r·rᵀ."""
    squared = (pos**2).sum(-1)
    outer = pos[..., :, None] * pos[..., None, :]
    return np.asarray(squared[..., None, None] * np.eye(3) - outer)
