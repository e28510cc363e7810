"""Reads a folder of a user's own objects: ``objects.toml``, and a mesh file for each object."""

import tomllib
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from robots.errors import BadArgumentError, MissingExtraError
from robots.mesh_object import Interval, MeshObject, Point
from robots.meshes import Mesh, hull, read_meshes, write_obj
from robots.signals import Array
from sim.decomposition import convex_solids

if TYPE_CHECKING:
    from trimesh import Trimesh

TABLE_FILE = "objects.toml"
FORMATS = (".obj", ".stl", ".dae")
ADDED_VOLUME = 0.05  # share of a mesh's volume; a hull that adds less is like the mesh
BOTTOM = 0.002  # m, over the lowest point: what is that low stands on the table
FIELDS = (
    "mesh (a file), mass (kg) and friction, and perhaps restitution, scale, up, center_of_mass "
    "(m), parts and heldout"
)
Numbers = float | tuple[float, float]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``objects.toml`` says about one object; tasks draw evenly between two numbers."""

    mesh: str  # file, from the folder
    mass: Numbers  # kg
    friction: Numbers  # Coulomb's coefficient against a table and a tool
    restitution: Numbers = 0.3  # of an impact by the body, in [0, 1]
    scale: float | Point = 1.0  # from the file's unit to m; one factor, or one for each axis
    up: Literal["x", "y", "z", "-x", "-y", "-z"] = "z"  # axis of the file that points up
    center_of_mass: Point | None = None  # m, from the centroid, z up; None: at the centroid
    parts: bool = False  # whether convex parts of the mesh collide, by coacd, instead of its hull
    heldout: bool = False  # whether training never sees it


def read_objects(folder: Path) -> tuple[MeshObject, ...]:
    """Read all objects of a folder, in the order of its ``objects.toml``.

    Raises:
        BadArgumentError: the folder or a file is missing or broken, a number is missing or
            impossible, or a mesh has no volume or would fall over. The message names the file and
            the object.
    """
    path = folder / TABLE_FILE
    if not path.is_file():
        raise BadArgumentError(f"{folder} is no folder of objects: it has no {TABLE_FILE}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadArgumentError(f"{path}: {error}") from error
    if not table:
        raise BadArgumentError(f"{path} names no object: it needs a table for each, such as [mug]")
    return tuple(_read_object(path, name, given) for name, given in table.items())


def describe_hull(item: MeshObject) -> str:
    """Where the solid that collides differs from the mesh, in words; empty where it does not."""
    if item.added_volume is None:
        return f"the mesh of {item.name} is not closed: its convex hull is taken as a solid"
    if item.added_volume < ADDED_VOLUME:
        return ""
    added = f"{100 * item.added_volume:.0f} %"
    if len(item.parts) > 1:
        return f"the convex parts of {item.name} have {added} more volume than its mesh"
    return (
        f"the mesh of {item.name} is not convex: its hull collides, which has {added} more volume; "
        "with parts = true convex parts collide"
    )


def _read_object(path: Path, name: str, given: object) -> MeshObject:
    """One object, by its table."""
    where = f"{path}: {name}"
    try:
        entry = msgspec.convert(given, Entry)
    except msgspec.ValidationError as error:
        raise BadArgumentError(f"{where}: {error}; an object has {FIELDS}") from error
    scale = _scale(where, entry.scale)
    mesh_file = path.parent / entry.mesh
    if mesh_file.suffix.lower() not in FORMATS:
        allowed = ", ".join(FORMATS)
        raise BadArgumentError(f"{where}: the mesh must be one of {allowed}, got {entry.mesh!r}")
    if not mesh_file.is_file():
        raise BadArgumentError(f"{where}: there is no mesh file {mesh_file}")
    try:
        solid = _Solid(mesh_file, scale, _upright(entry.up), entry.parts)
    except (BadArgumentError, MissingExtraError) as error:
        raise type(error)(f"{where}: {error}") from error
    item = MeshObject(
        name=name,
        parts=tuple(write_obj(part.vertices, part.faces) for part in solid.parts),
        inertia=solid.inertia,
        mass=_interval(where, "mass", entry.mass, _is_positive, "above 0 kg"),
        friction=_interval(where, "friction", entry.friction, _is_positive, "above 0"),
        restitution=_interval(where, "restitution", entry.restitution, _is_share, "in [0, 1]"),
        center_of_mass=entry.center_of_mass or (0.0, 0.0, 0.0),
        added_volume=solid.added_volume,
        heldout=entry.heldout,
    )
    vertices = np.concatenate([part.vertices for part in solid.parts])
    if not _stands(vertices, np.array(item.center_of_mass)):
        raise BadArgumentError(
            f"{where}: {mesh_file} falls over with {entry.up} up: its center of mass is not above "
            "what stands on the table; set up to another axis: x, y, z, -x, -y or -z"
        )
    return item


class _Solid:
    """A mesh file as convex parts about the mesh's centroid, with z up."""

    def __init__(self, path: Path, scale: Array, upright: Array, divided: bool) -> None:
        """Read it; ``divided``: into parts, else as one hull.

        Raises:
            BadArgumentError: it is broken, has no volume, or is to be divided and is not closed.
            MissingExtraError: it is to be divided, and coacd is not installed.
        """
        shell = hull(path, scale)
        body = _closed(path, scale)
        self.added_volume: float | None = None
        solids = [shell]
        if body is None:
            if divided:
                raise BadArgumentError(f"{path} is not closed, so it cannot be divided into parts")
            body = shell
        else:
            if divided:
                solids = convex_solids(body)
            volume = sum(solid.volume for solid in solids)
            self.added_volume = max(float(volume / body.volume) - 1, 0.0)
        self.parts = []
        for solid in solids:
            vertices = (solid.vertices - body.center_mass) @ upright.T
            self.parts.append(Mesh(vertices, solid.faces))
        tensor = upright @ (body.moment_inertia / body.volume) @ upright.T  # trimesh's density is 1
        xx, yy, zz = tensor.tolist()
        self.inertia = (tuple(xx), tuple(yy), tuple(zz))


def _closed(path: Path, scale: Array) -> "Trimesh | None":
    """The mesh itself, if it encloses a volume."""
    import trimesh

    meshes = read_meshes(path, scale)
    parts = [trimesh.Trimesh(mesh.vertices, mesh.faces) for mesh in meshes]
    whole = trimesh.util.concatenate(parts)
    assert isinstance(whole, trimesh.Trimesh)
    whole.merge_vertices()
    if not whole.is_watertight:
        return None
    whole.fix_normals()
    return whole if whole.volume > 0 else None


def _upright(up: str) -> Array:
    """The rotation (3, 3) that turns an axis of a file upward; other axes follow in their order."""
    first = "xyz".index(up[-1])
    rotation = np.roll(np.eye(3), 2 - first, axis=1).T
    if up.startswith("-"):
        rotation[1:] *= -1
    return rotation


def _scale(where: str, given: float | Point) -> Array:
    factors = np.broadcast_to(np.array(given, dtype=np.float64), 3)
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise BadArgumentError(f"{where}: scale must be above 0, got {given}")
    return factors


def _interval(
    where: str, name: str, given: Numbers, is_allowed: Callable[[float], bool], words: str
) -> Interval:
    """A number, or low and high, as an interval."""
    low, high = given if isinstance(given, tuple) else (given, given)
    if not (is_allowed(low) and is_allowed(high) and low <= high):
        raise BadArgumentError(
            f"{where}: {name} must be a number {words}, or [low, high] of such, got {given}"
        )
    return float(low), float(high)


def _is_positive(value: float) -> bool:
    return isfinite(value) and value > 0


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def _stands(vertices: Array, center_of_mass: Array) -> bool:
    """Whether a solid (v, 3) m keeps standing on a table, z up.

    Seen from its center of mass, the points that it stands on must surround it: between two
    neighbors there is less than half a turn.
    """
    is_low = vertices[:, 2] < vertices[:, 2].min() + BOTTOM
    x, y = (vertices[is_low, :2] - center_of_mass[:2]).T
    angles = np.sort(np.arctan2(y, x))
    around = np.append(angles, angles[0] + 2 * np.pi)
    return bool(np.diff(around).max() < np.pi)
