"""What stands around an arm: its table, its target, and the object and fixtures of a task."""

import mujoco
import numpy as np

from robots.appearance import Shape
from robots.mesh_object import convex_parts
from robots.meshes import Mesh
from robots.rotations import transform
from robots.scene import Fixture, SceneObject
from robots.world import Task
from sim import objects
from sim.mesh_choices import chosen
from sim.slopes import tilted_boxes

TABLE_SIZE = (2.4, 1.3, 0.7)  # m, its top just below z = 0
TABLE_POSITION = (1.0, 0.0, -0.351)
TABLE_COLOR = (0.86, 0.84, 0.80)
TARGET_SIZE = (0.05, 0.002)  # m, radius and height
TARGET_COLOR = (0.25, 0.63, 0.38)
FIXTURE_COLOR = (0.52, 0.58, 0.64)
GROUND_COLORS = ((0.55, 0.60, 0.52), (0.68, 0.73, 0.64))  # of neighbors in a row of boxes
LOWER = 5e-4  # m, see ``fixture_shapes``
OBJECT_COLOR = (226 / 255, 136 / 255, 42 / 255)


def object_shapes(task: dict[str, float], item: SceneObject) -> list[Shape]:
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
        pose = transform(np.eye(3), positions[part])
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
    row = Task(tuple(task), np.array([list(task.values())]), np.arange(1))
    tilted = tilted_boxes(fixtures, row)
    for fixture in fixtures:
        if fixture.kind not in ("box", "cylinder"):
            continue
        place = np.array(fixture.position)
        for axis, name in enumerate("xyz"):
            place[axis] = task.get(f"fixture.{fixture.name}.{name}", place[axis])
        quat = np.array(fixture.quat)
        size = [*fixture.size, 0.0]
        if fixture.name in tilted:
            box = tilted[fixture.name]
            place += box.shift[0]
            quat = box.quat[0]
            size = box.size[0].tolist()
        place[2] -= LOWER * len(result)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, quat)
        pose = transform(turn.reshape(3, 3), place)
        color = FIXTURE_COLOR if fixture.after is None else GROUND_COLORS[len(result) % 2]
        full = _full_size(fixture.kind, size)
        result.append(Shape(fixture.kind, full, link=-1, pose=pose, color=color))
    return result


def _mesh_shape(mesh: Mesh) -> Shape:
    return Shape("mesh", (), link=0, pose=np.eye(4), color=OBJECT_COLOR, mesh=mesh)


def _full_size(kind: str, size: list[float]) -> tuple[float, ...]:
    """The full size (m) of an object's part: edges, or radius and length."""
    if kind == "box":
        return tuple(2 * half for half in size[:3])
    radius, half_length, *_ = size
    return (radius,) if kind == "sphere" else (radius, 2 * half_length)
