"""Solids of a picture, added to its MuJoCo model."""

from dataclasses import replace

import mujoco
import numpy as np

from robots.appearance import Shape
from robots.meshes import Mesh
from robots.rotations import quaternion_from_matrix
from robots.scene import Fixture
from sim.rendering.arm import GROUND_COLORS
from sim.scene_contents import add_fixture

GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}


def add_shape(spec: mujoco.MjSpec, link: mujoco.MjsBody, shape: Shape) -> None:
    """Add a visible geom without collisions to a link of a model."""
    rotation = shape.pose[None, :3, :3]
    geom = link.add_geom(
        type=GEOMS[shape.kind],
        size=_geom_size(shape),
        pos=shape.pose[:3, 3],
        quat=quaternion_from_matrix(rotation)[0],
        rgba=(*shape.color, 1),
        contype=0,
        conaffinity=0,
    )
    if shape.mesh is not None:
        geom.meshname = _add_mesh(spec, shape.mesh)


def _add_mesh(spec: mujoco.MjSpec, mesh: Mesh) -> str:
    """Add a mesh to a model; returns its name.

    As a shell it may be open or flat, which MuJoCo refuses of a solid. It needs at least four
    vertices, also where it is a single triangle.
    """
    vertices = mesh.vertices
    missing = max(4 - len(vertices), 0)
    vertices = np.concatenate([vertices, vertices[:missing]])
    name = f"shown_mesh{len(spec.meshes)}"
    added = spec.add_mesh(name=name, inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
    added.uservert = vertices.ravel()
    added.userface = mesh.faces.ravel()
    return name


def _geom_size(shape: Shape) -> tuple[float, ...]:
    """MuJoCo's size (3,) of a shape: half edges, or radius and half length, then zeros.

    Of a mesh all are zero: it has its size itself.
    """
    if shape.mesh is not None:
        return (0.0, 0.0, 0.0)
    if shape.kind == "box":
        return tuple(edge / 2 for edge in shape.size)
    radius, *length = shape.size
    half_lengths = [value / 2 for value in length]
    padded = (radius, *half_lengths, 0.0, 0.0)
    return padded[:3]


def add_height_fields(
    spec: mujoco.MjSpec, task: dict[str, float], fixtures: tuple[Fixture, ...]
) -> None:
    """Add the height fields among the fixtures of a task to a model, without collisions."""
    for fixture in fixtures:
        if fixture.kind != "height_field":
            continue
        x, y, z = (
            task.get(f"fixture.{fixture.name}.{axis}", default)
            for axis, default in zip("xyz", fixture.position, strict=True)
        )
        add_fixture(spec, replace(fixture, position=(x, y, z), touches_body=False), [])
        spec.geom(fixture.name).rgba = (*GROUND_COLORS[0], 1)
