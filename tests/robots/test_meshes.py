"""Mesh files of a URDF: where they are found, and what is read from them."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from robots.errors import BadArgumentError
from robots.meshes import convex_hull, find_mesh, read_meshes
from robots.signals import Array

BOX = np.array([0.3, 0.1, 0.2])  # m
SAME_SCALE = np.ones(3)


def write_box(path: Path, *, color: tuple[int, int, int] | None = None) -> Path:
    box = trimesh.creation.box(BOX)
    if color is not None:
        box.visual.vertex_colors = [(*color, 255)] * len(box.vertices)
    box.export(path)
    return path


def volume(vertices: Array, faces: Array) -> float:
    """Signed: negative where the triangles are clockwise seen from outside."""
    a, b, c = vertices[faces].swapaxes(0, 1)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


@pytest.mark.parametrize("extension", ["stl", "obj", "dae", "ply", "glb"])
def test_every_format_gives_the_same_box(tmp_path: Path, extension: str) -> None:
    if extension == "dae":
        pytest.importorskip("collada")
    (mesh,) = read_meshes(write_box(tmp_path / f"box.{extension}"), SAME_SCALE)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), BOX, atol=1e-7)
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(BOX.prod(), rel=1e-6)


def test_a_text_stl_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "box.stl"
    trimesh.creation.box(BOX).export(path, file_type="stl_ascii")
    (mesh,) = read_meshes(path, SAME_SCALE)
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(BOX.prod(), rel=1e-6)


@pytest.mark.parametrize("scale", [(0.001, 0.001, 0.001), (1, -2, 3)])
def test_a_scale_keeps_the_outside_outside(tmp_path: Path, scale: tuple[float, ...]) -> None:
    factors = np.array(scale, dtype=np.float64)
    (mesh,) = read_meshes(write_box(tmp_path / "box.obj"), factors)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), BOX * abs(factors), atol=1e-7)
    expected = BOX.prod() * abs(factors.prod())
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(expected, rel=1e-6)


def test_the_unit_of_a_dae_counts(tmp_path: Path) -> None:
    pytest.importorskip("collada")
    path = write_box(tmp_path / "box.dae")
    in_millimeters = '<unit name="millimeter" meter="0.001"/><up_axis>'
    path.write_text(path.read_text().replace("<up_axis>", in_millimeters))
    (mesh,) = read_meshes(path, SAME_SCALE)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), BOX / 1000, atol=1e-10)


@pytest.mark.parametrize("extension", ["obj", "ply"])
def test_a_mesh_may_bring_its_color(tmp_path: Path, extension: str) -> None:
    colored = write_box(tmp_path / f"red.{extension}", color=(255, 0, 51))
    (mesh,) = read_meshes(colored, SAME_SCALE)
    assert mesh.color == pytest.approx((1.0, 0.0, 0.2))
    (plain,) = read_meshes(write_box(tmp_path / "plain.stl"), SAME_SCALE)
    assert plain.color is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("garbage.stl", b"\x00\x01garbage" * 30),
        ("empty.stl", b""),
        ("broken.obj", b"v 1 2\nf x\n"),
        ("points.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"),
        ("broken.glb", b"glTF"),
        ("part.iges", b"1"),
        ("broken.dae", b"<COLLADA/>"),
    ],
)
def test_an_unreadable_mesh_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadArgumentError) as error:
        read_meshes(path, SAME_SCALE)
    assert f"the mesh {path} cannot be read: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_hull_is_convex_and_a_flat_mesh_has_none(tmp_path: Path) -> None:
    path = tmp_path / "two.obj"
    apart = trimesh.creation.box((0.1, 0.1, 0.1))
    apart.apply_translation((1, 0, 0))
    both = trimesh.util.concatenate([trimesh.creation.box((0.1, 0.1, 0.1)), apart])
    both.export(path)
    hull_file = tmp_path / "hull.obj"
    hull_file.write_text(convex_hull(path, SAME_SCALE))
    (hull,) = read_meshes(hull_file, SAME_SCALE)
    assert volume(hull.vertices, hull.faces) == pytest.approx(1.1 * 0.1 * 0.1)
    flat = tmp_path / "flat.obj"
    flat.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 4 3\n")
    with pytest.raises(BadArgumentError, match=r"flat.obj is flat"):
        convex_hull(flat, SAME_SCALE)


def test_packages_and_relative_paths_are_found(tmp_path: Path) -> None:
    package = tmp_path / "my arm"
    meshes = package / "meshes"
    urdf = package / "urdf" / "arm.urdf"
    for folder in (meshes, urdf.parent):
        folder.mkdir(parents=True)
    mesh = write_box(meshes / "a.stl")
    names = [
        "package://my arm/meshes/a.stl",
        "package://my%20arm/meshes/a.stl",
        "package://another_name/meshes/a.stl",  # the folder of the package was renamed
        "model://my arm/meshes/a.stl",
        "../meshes/a.stl",
        str(mesh),
        f"file://{mesh}",
    ]
    for name in names:
        assert find_mesh(name, urdf).samefile(mesh), name
    with pytest.raises(BadArgumentError, match=r"no file of the mesh 'package://my arm/b.stl'"):
        find_mesh("package://my arm/b.stl", urdf)
    with pytest.raises(BadArgumentError, match="is not in a file or a package"):
        find_mesh("https://example.org/a.stl", urdf)
