"""Meshes of a URDF: where their files lie, and what is in them."""

from dataclasses import dataclass
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

PACKAGE_SCHEMES = ("package://", "model://")
FILE_SCHEME = "file://"
METERS = "meters"


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles."""

    vertices: Array  # (v, 3) m
    faces: NDArray[np.int64]  # (f, 3), vertices of each triangle, counterclockwise from outside
    color: Color | None = None  # that its file gives it


def find_mesh(filename: str, urdf: Path) -> Path:
    """The file of a mesh that a URDF names.

    A relative path begins at the URDF's folder. ``package://NAME/...`` is looked for in every
    folder above the URDF: as the folder of the package itself, or as the one that holds it.

    Raises:
        BadArgumentError: there is no such file.
    """
    candidates = _candidates(filename, urdf)
    for path in candidates:
        if path.is_file():
            return path
    looked_at = ", ".join(str(path) for path in candidates)
    raise BadArgumentError(f"there is no file of the mesh {filename!r}; looked for {looked_at}")


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
    import trimesh
    from scipy.spatial import QhullError

    vertices = [mesh.vertices for mesh in read_meshes(path, scale)]
    try:
        hull = trimesh.convex.convex_hull(np.concatenate(vertices))
    except QhullError as error:
        raise BadArgumentError(f"the mesh {path} is flat, so nothing can touch it") from error
    text: str = trimesh.exchange.obj.export_obj(hull, include_normals=False, digits=12)
    return text


def _candidates(filename: str, urdf: Path) -> list[Path]:
    """The places where a mesh may be."""
    folder = urdf.resolve().parent
    for scheme in PACKAGE_SCHEMES:
        if filename.startswith(scheme):
            in_package = unquote(filename.removeprefix(scheme))
            package, _, rest = in_package.partition("/")
            candidates = []
            for parent in (folder, *folder.parents):
                if parent.name == package:
                    candidates.append(parent / rest)
                candidates.append(parent / package / rest)
            return candidates
    if filename.startswith(FILE_SCHEME):
        filename = unquote(filename.removeprefix(FILE_SCHEME))
    return [folder / filename]


def _load(path: Path) -> "list[Trimesh]":
    """The parts of a mesh file in m."""
    import trimesh

    try:
        scene = trimesh.load_scene(path)
        factor = trimesh.units.unit_conversion(scene.units or METERS, METERS)
        parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    except Exception as error:  # each format's parser raises what it happens to meet
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
