"""What stands around an arm: its table, its target, and the object and fixtures of a task."""

import mujoco
import numpy as np

from robots.appearance import Shape
from robots.mesh_object import convex_parts
from robots.meshes import Mesh
from robots.scene import FLAT_OBJECT, Fixture, LooseObject
from sim import objects
from sim.mesh_choices import chosen

TABLE_SIZE = (2.4, 1.3, 0.7)  # m, its top just below z = 0
TABLE_POSITION = (1.0, 0.0, -0.351)
TABLE_COLOR = (0.86, 0.84, 0.80)
TARGET_SIZE = (0.05, 0.002)  # m, radius and height
TARGET_COLOR = (0.25, 0.63, 0.38)
FIXTURE_COLOR = (0.52, 0.58, 0.64)
LOWER = 5e-4  # m, see ``fixture_shapes``
OBJECT_COLOR = (226 / 255, 136 / 255, 42 / 255)


def object_shapes(task: dict[str, float], item: LooseObject = FLAT_OBJECT) -> list[Shape]:
    """What an object of a task looks like, in its own frame."""
    if item.kind == "mesh":
        solid = objects.mesh_hull(item)
        return [_mesh_shape(Mesh(solid.vertices, solid.faces))]
    if item.kind == "meshes":
        codes = np.array([task.get(f"{item.name}.shape", 0.0)])
        (row,) = chosen(item.choices, codes)
        return [_mesh_shape(part) for part in convex_parts(item.choices[row])]
    values = {}
    for name, default in objects.defaults(item).items():
        value = task.get(f"{item.name}.{name}", default)
        values[name] = np.array([value])
    parts = objects.parts(item, values)
    (used,) = parts.used
    (sizes,) = parts.size
    (positions,) = parts.pos
    result = []
    for part in np.flatnonzero(used).tolist():
        pose = np.eye(4)
        pose[:3, 3] = positions[part]
        kind = parts.kinds[part]
        size = _full_size(kind, sizes[part].tolist())
        shape = Shape(kind, size, link=0, pose=pose, color=OBJECT_COLOR)
        result.append(shape)
    return result


def fixture_shapes(task: dict[str, float], fixtures: tuple[Fixture, ...]) -> list[Shape]:
    """The boxes and cylinders among the fixtures of a task, in the world.

    Each is a little lower than the one before: faces that coincide are drawn in speckles.
    """
    result: list[Shape] = []
    for fixture in fixtures:
        if fixture.kind not in ("box", "cylinder"):
            continue
        pose = np.eye(4)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, np.array(fixture.quat))
        pose[:3, :3] = turn.reshape(3, 3)
        for axis, (name, default) in enumerate(zip("xyz", fixture.position, strict=True)):
            pose[axis, 3] = task.get(f"fixture.{fixture.name}.{name}", default)
        pose[2, 3] -= LOWER * len(result)
        size = _full_size(fixture.kind, [*fixture.size, 0.0])
        result.append(Shape(fixture.kind, size, link=-1, pose=pose, color=FIXTURE_COLOR))
    return result


def _mesh_shape(mesh: Mesh) -> Shape:
    return Shape("mesh", (), link=0, pose=np.eye(4), color=OBJECT_COLOR, mesh=mesh)


def _full_size(kind: str, size: list[float]) -> tuple[float, ...]:
    """The full size (m) of an object's part: edges, or radius and length."""
    if kind == "box":
        return tuple(2 * half for half in size[:3])
    radius, half_length, *_ = size
    return (radius,) if kind == "sphere" else (radius, 2 * half_length)
