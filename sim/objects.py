"""Objects as data: parameters, geometry and mass properties. Pure NumPy.

Axes: n objects, p parts of each.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robots.meshes import hull
from robots.rotations import quaternion_from_matrix
from robots.scene import SceneObject
from robots.signals import Array, Mask
from robots.world import Task
from sim import outlines
from sim.mesh_choices import choice_numbers, choice_parts, chosen, numbers_of, part_count
from sim.object_joints import chosen_joint_numbers, joint_numbers

SIZE_NAMES = {
    "outline": ("size_x", "size_y", "size_z"),  # m, half extents; of a cylinder x is the radius
    "box": ("size_x", "size_y", "size_z"),
    "sphere": ("radius",),
    "cylinder": ("radius", "half_length"),
    "capsule": ("radius", "half_length"),
    "mesh": (),
    "meshes": (),
}
CENTER_OF_MASS = ("com_x", "com_y", "com_z")  # m, from the centroid


@dataclass(frozen=True)
class Parts:
    """Geometry of n objects, in a frame at the centroid of each."""

    kinds: tuple[str, ...]  # (p,)
    # (n, p, 3) m: of a box and a mesh half extents; of others radius, half length or 0, 0
    size: Array
    pos: Array  # (n, p, 3) m
    used: Mask  # (n, p)

    def half_extent(self) -> Array:
        """Half the edges of the parts' bounding boxes, (n, p, 3) m."""
        result = self.size.copy()
        for part, kind in enumerate(self.kinds):
            radius = self.size[:, part, 0]
            half_length = self.size[:, part, 1]
            if kind in ("box", "mesh"):
                continue
            top = radius + half_length if kind in ("sphere", "capsule") else half_length
            result[:, part] = np.stack([radius, radius, top], -1)
        return result


@dataclass(frozen=True)
class Inertia:
    """Mass properties of n objects: principal moments in a frame at the center of mass."""

    mass: Array  # (n,) kg
    com: Array  # (n, 3) m
    moments: Array  # (n, 3) kg·m²
    quat: Array  # (n, 4) w, x, y, z


@dataclass(frozen=True)
class Objects:
    """Everything that an engine needs to know about one object in n tasks."""

    parameters: dict[str, Array]  # every name of ``defaults``, (n,) each
    parts: Parts
    inertia: Inertia


@dataclass(frozen=True)
class Hull:
    """The convex hull of a mesh, about its centroid."""

    vertices: Array  # (v, 3) m
    faces: NDArray[np.int64]  # (f, 3)
    tensor: Array  # (3, 3) m², its inertia for a mass of 1 kg
    half_extent: Array  # (3,) m, of the smallest box about the centroid that holds it


def describe(item: SceneObject, task: Task) -> Objects:
    """An object with the parameters of n tasks.

    Raises:
        BadArgumentError: a shape code does not exist, or the mesh cannot be read.
    """
    values = parameters(item, task)
    geometry = parts(item, values)
    return Objects(values, geometry, inertia(item, values, geometry))


def defaults(item: SceneObject) -> dict[str, float]:
    """Every parameter of an object with its value in the scene; in a task: ``NAME.PARAMETER``."""
    if item.kind == "meshes":
        return choice_numbers(item.choices[0])
    values = dict(zip(SIZE_NAMES[item.kind], item.size, strict=False))
    if item.kind == "outline":
        values["shape"] = 0.0
    values["mass"] = item.mass
    values["friction"] = item.friction
    values["restitution"] = item.restitution
    values |= dict.fromkeys(CENTER_OF_MASS, 0.0)
    if item.joints:
        values["joint"] = 0.0
        values |= joint_numbers(item.joints[0])
    return values


def parameters(item: SceneObject, task: Task) -> dict[str, Array]:
    """Every parameter in ``defaults``, (n,) each: the task's value, else the scene's.

    Raises:
        BadArgumentError: a task chooses an object of a user that does not exist.
    """
    values = {}
    for name, default in _defaults_by_task(item, task).items():
        full_name = f"{item.name}.{name}"
        values[name] = task[full_name] if full_name in task.names else default
    return values


def _defaults_by_task(item: SceneObject, task: Task) -> dict[str, Array]:
    """``defaults``, (n,) each; of several objects of a user those of the one that a task has."""
    n = len(task)
    if item.kind != "meshes":
        values = {name: np.full(n, default) for name, default in defaults(item).items()}
        if item.joints:
            values |= chosen_joint_numbers(item, task)
        return values
    code = f"{item.name}.shape"
    codes = task[code] if code in task.names else np.zeros(n)
    return numbers_of(item.choices, chosen(item.choices, codes))


def part_kinds(item: SceneObject) -> tuple[str, ...]:
    """The kinds of an object's parts, (p,)."""
    if item.kind == "meshes":
        return ("mesh",) * part_count(item.choices)
    return outlines.PART_KINDS if item.kind == "outline" else (item.kind,)


def parts(item: SceneObject, p: dict[str, Array]) -> Parts:
    """The geometry of an object with parameters (n,) each.

    Raises:
        BadArgumentError: a shape code does not exist, or the mesh cannot be read.
    """
    kinds = part_kinds(item)
    if item.kind == "outline":
        size, pos, used = outlines.outline_parts(p)
        weight = volume(kinds, size) * used
        centroid = _weighted_mean(pos, weight)
        return Parts(kinds, size, pos - centroid[:, None], used)
    if item.kind == "meshes":
        rows = chosen(item.choices, p["shape"])
        table = choice_parts(item.choices)
        return Parts(kinds, table.size[rows], table.pos[rows], table.used[rows])
    n = len(p["mass"])
    size = np.zeros((n, 1, 3))
    for column, name in enumerate(SIZE_NAMES[item.kind]):
        size[:, 0, column] = p[name]
    if item.kind == "mesh":
        size[:, 0] = mesh_hull(item).half_extent
    pos = np.zeros_like(size)
    used = np.ones((n, 1), dtype=bool)
    return Parts(kinds, size, pos, used)


def _weighted_mean(pos: Array, weight: Array) -> Array:
    """The mean of the parts' positions (n, p, 3) with weights (n, p), (n, 3)."""
    total = weight.sum(1)
    weighted = weight[..., None] * pos
    return np.asarray(weighted.sum(1) / total[:, None])


def volume(kinds: tuple[str, ...], size: Array) -> Array:
    """Volumes of primitive parts with sizes (n, p, 3), m³ (n, p)."""
    columns = []
    for part, kind in enumerate(kinds):
        x, y, z = size[:, part].T
        disc = np.pi * x**2
        ball = disc * x * 4 / 3
        values = {
            "box": 8 * x * y * z,
            "mesh": 8 * x * y * z,  # of its bounding box
            "sphere": ball,
            "cylinder": disc * 2 * y,
            "capsule": disc * 2 * y + ball,
        }
        columns.append(values[kind])
    return np.stack(columns, -1)


def inertia(item: SceneObject, p: dict[str, Array], geometry: Parts) -> Inertia:
    """Mass properties at uniform density; an offset of the center of mass does not change moments.

    The overlap of the two bars of a cross counts twice, like a hub.
    """
    mass = p["mass"]
    if item.kind == "mesh":
        tensor = mass[:, None, None] * mesh_hull(item).tensor
    elif item.kind == "meshes":
        tensors = np.array([choice.inertia for choice in item.choices])
        rows = chosen(item.choices, p["shape"])
        tensor = mass[:, None, None] * tensors[rows]
    else:
        tensor = _tensor(mass, geometry)
    moments, axes = np.linalg.eigh(tensor)
    handedness = np.sign(np.linalg.det(axes))
    axes[..., 2] *= handedness[:, None]  # a rotation, not a reflection
    return Inertia(
        mass=mass,
        com=np.stack([p[name] for name in CENTER_OF_MASS], -1),
        moments=moments,
        quat=quaternion_from_matrix(axes),
    )


def _tensor(mass: Array, geometry: Parts) -> Array:
    """Inertia tensors of masses (n,) about the centroid, (n, 3, 3) kg·m²."""
    share = volume(geometry.kinds, geometry.size) * geometry.used
    share /= share.sum(1, keepdims=True)
    part_mass = mass[:, None] * share  # (n, p)
    columns = []
    for part, kind in enumerate(geometry.kinds):
        size = geometry.size[:, part]
        columns.append(_moments_per_mass(kind, size))
    per_mass = np.stack(columns, 1)
    own = part_mass[..., None] * per_mass
    shifted = part_mass[..., None, None] * _steiner_per_mass(geometry.pos)
    tensors = own[..., None] * np.eye(3) + shifted
    return np.asarray(tensors.sum(1))


def _moments_per_mass(kind: str, size: Array) -> Array:
    """Principal moments of parts (n, 3) about their centers for a mass of 1 kg, (n, 3) m²."""
    x, y, z = (size**2).T
    if kind == "box":
        return np.stack([y + z, x + z, x + y], -1) / 3
    ball = 0.4 * x
    upright = x / 2  # of a cylinder along z
    sideways = x / 4 + y / 3
    if kind == "sphere":
        return np.stack([ball, ball, ball], -1)
    if kind == "cylinder":
        return np.stack([sideways, sideways, upright], -1)
    # a capsule: a cylinder between two halves of a ball, whose centers of mass lie 3/8 radii out
    radius = size[:, 0]
    half_length = size[:, 1]
    ball_length = 4 / 3 * radius  # of a cylinder as large as both caps
    caps = ball_length / (ball_length + 2 * half_length)  # their share of the mass
    caps_sideways = ball + y + 0.75 * half_length * radius
    along = (1 - caps) * upright + caps * ball
    across = (1 - caps) * sideways + caps * caps_sideways
    return np.stack([across, across, along], -1)


def _steiner_per_mass(pos: Array) -> Array:
    """The inertia tensor of a point mass of 1 kg at ``pos`` about the origin: |r|²·1 - r·rᵀ."""
    squared = (pos**2).sum(-1)
    outer = pos[..., :, None] * pos[..., None, :]
    return np.asarray(squared[..., None, None] * np.eye(3) - outer)


def mesh_hull(item: SceneObject) -> Hull:
    """The hull of an object's mesh.

    Raises:
        BadArgumentError: the file is missing, cannot be read or is flat.
    """
    assert item.mesh is not None
    return _read_hull(item.mesh, item.size)


@lru_cache(maxsize=64)
def _read_hull(path: Path, scale: tuple[float, ...]) -> Hull:
    """See ``mesh_hull``."""
    solid = hull(path, np.array(scale))
    vertices = solid.vertices - solid.center_mass
    return Hull(
        vertices=vertices,
        faces=solid.faces,
        tensor=solid.moment_inertia / solid.volume,  # trimesh's density is 1
        half_extent=np.abs(vertices).max(0),
    )
