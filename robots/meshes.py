"""Meshes of a URDF: finding their files, and reading them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array

if TYPE_CHECKING:
    from trimesh import Trimesh

Color = tuple[float, float, float]  # red, green, blue in [0, 1]

PACKAGE_SCHEMES = ("package", "model")
METERS = "meters"
FLAT = 1e-6  # a mesh is flat if its thickness is below this share of its size


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles."""

    vertices: Array  # (v, 3) m
    faces: NDArray[np.int64]  # (f, 3), vertices of each triangle, counterclockwise from outside
    color: Color | None = None  # from its file


def find_mesh(filename: str, urdf: Path) -> Path:
    """The file of a mesh that a URDF names.

    A relative path begins at the URDF's folder. ``package://NAME/...`` is searched for in the
    URDF's folder and its parents, the nearest first: each may be the package or contain NAME.

    Raises:
        BadArgumentError: there is no such file.
    """
    for path in _candidates(filename, urdf):
        if path.is_file():
            return path
    folder = urdf.resolve().parent
    raise BadArgumentError(f"there is no file of the mesh {filename!r}, as seen from {folder}")


def read_meshes(path: Path, scale: Array) -> list[Mesh]:
    """The parts of a mesh file, each of one color.

    Args:
        path: any format that trimesh reads, among them STL, OBJ and DAE.
        scale: (3,) factors of x, y and z.

    Raises:
        BadArgumentError: the file cannot be read, or holds no triangle.
    """
    meshes = []
    for part in _load(path):
        mirrored = scale.prod() < 0
        faces = part.faces[:, ::-1] if mirrored else part.faces  # outside stays outside
        mesh = Mesh(part.vertices * scale, faces, _color(part))
        meshes.append(mesh)
    return meshes


def convex_hull(path: Path, scale: Array) -> str:
    """The convex hull of a mesh file, as a file in the format OBJ.

    Args:
        path: see ``read_meshes``.
        scale: (3,) factors of x, y and z.

    Raises:
        BadArgumentError: the file cannot be read, or is flat.
    """
    return _hull_text(path, tuple(scale.tolist()), path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _hull_text(path: Path, scale: tuple[float, ...], modified: int) -> str:
    """See ``convex_hull``; ``modified`` is when the file was written, ns."""
    import trimesh

    solid = hull(path, np.array(scale))
    text: str = trimesh.exchange.obj.export_obj(solid, include_normals=False, digits=12)
    return text


def hull(path: Path, scale: Array) -> "Trimesh":
    """The convex hull of a mesh file; see ``convex_hull``."""
    import trimesh

    vertices = np.concatenate([mesh.vertices for mesh in read_meshes(path, np.array(scale))])
    extents = np.linalg.svd(vertices - vertices.mean(0), compute_uv=False)  # largest first
    if extents[-1] < FLAT * extents[0]:
        raise BadArgumentError(f"the mesh {path} is flat, so nothing can touch it")
    solid: Trimesh = trimesh.convex.convex_hull(vertices)
    return solid


def write_obj(vertices: Array, faces: NDArray[np.int64]) -> str:
    """A mesh (see ``Mesh``) in the format OBJ."""
    lines = []
    for x, y, z in vertices.tolist():
        lines.append(f"v {x:.9g} {y:.9g} {z:.9g}\n")
    numbers = faces + 1  # the format counts from 1
    for a, b, c in numbers.tolist():
        lines.append(f"f {a} {b} {c}\n")
    return "".join(lines)


def read_obj(text: str) -> Mesh:
    """A mesh that ``write_obj`` has written."""
    rows: dict[str, list[list[str]]] = {"v": [], "f": []}
    for line in text.splitlines():
        kind, *numbers = line.split()
        rows[kind].append(numbers)
    vertices = np.array(rows["v"], dtype=np.float64)
    faces = np.array(rows["f"], dtype=np.int64)
    return Mesh(vertices, faces - 1)


def _candidates(filename: str, urdf: Path) -> list[Path]:
    """The places where a mesh may be."""
    folder = urdf.resolve().parent
    scheme, separator, rest = filename.partition("://")
    if not separator:
        return [folder / filename]
    place = unquote(rest)
    if scheme == "file":
        return [folder / place]
    if scheme not in PACKAGE_SCHEMES:
        raise BadArgumentError(f"the mesh {filename!r} is not in a file or a package")
    _, _, in_package = place.partition("/")
    candidates = []
    for parent in (folder, *folder.parents):
        candidates.append(parent / place)
        candidates.append(parent / in_package)
    return candidates


def _load(path: Path) -> "list[Trimesh]":
    """The parts of a mesh file in m."""
    import trimesh

    try:
        scene = trimesh.load_scene(path)
        factor = trimesh.units.unit_conversion(scene.units or METERS, METERS)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except Exception as error:  # the parsers of the formats raise errors of many types
        reason = str(error).strip().splitlines()
        words = reason[0] if reason else type(error).__name__
        raise BadArgumentError(f"the mesh {path} cannot be read: {words}") from error
    filled = [part for part in parts if len(part.faces)]
    if not filled:
        raise BadArgumentError(f"the mesh {path} cannot be read: it holds no triangle")
    for part in filled:
        part.apply_scale(factor)
    return filled


def _color(part: "Trimesh") -> Color | None:
    """The main color that a file gives to a part; None where it gives none."""
    from trimesh.visual import ColorVisuals, TextureVisuals

    visual = part.visual
    if isinstance(visual, TextureVisuals):
        rgba = visual.material.main_color
    elif isinstance(visual, ColorVisuals) and visual.defined:
        rgba = visual.main_color
    else:
        return None
    red, green, blue = (np.asarray(rgba)[:3] / 255).tolist()
    return red, green, blue
