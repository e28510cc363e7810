"""Pictures of an arm, its object and its target: primitives, placed by kinematics."""

import numpy as np

from robots.appearance import Shape, link_poses, shapes
from robots.arm import ArmSpec
from robots.rotations import skew
from robots.signals import Array
from sim import objects
from sim.rendering.canvas import Canvas, Image, open_canvas
from sim.rendering.clip import Clip

# The camera, in the base frame of the arm.
EYE = (1.55, -1.1, 0.8)  # m
AT = (0.55, 0.0, 0.3)  # m, the point that it looks at
FIELD = 0.7  # rad, vertical field of view
FAR = 5.0  # m

TABLE_SIZE = (1.5, 0.9, 0.02)  # m, its top just below z = 0
TABLE_POSITION = (0.6, 0.0, -0.011)
TABLE_COLOR = (0.73, 0.75, 0.77)
TARGET_SIZE = (0.05, 0.002)  # m, radius and height
TARGET_COLOR = (0.25, 0.63, 0.38)
OBJECT_COLOR = (226 / 255, 136 / 255, 42 / 255)


def draw_arm(arm: ArmSpec, clip: Clip) -> list[Image]:
    """One picture for every moment of a clip."""
    object_parts = []
    if np.isfinite(clip.object_pos).all():
        object_parts = object_shapes(clip.task)
    images = []
    with open_canvas(FIELD, FAR) as canvas:
        canvas.add("box", TABLE_SIZE, TABLE_COLOR, TABLE_POSITION)
        if np.isfinite(clip.marker).all():
            canvas.add("cylinder", TARGET_SIZE, TARGET_COLOR, clip.marker.tolist())
        arm_solids = _add_shapes(canvas, shapes(arm))
        object_solids = _add_shapes(canvas, object_parts)
        all_links = link_poses(arm, clip.q)  # the base first, (T, 1 + j, 4, 4)
        for i, links in enumerate(all_links):
            for solid, shape in arm_solids:
                link = links[shape.link + 1]
                canvas.move(solid, link @ shape.pose)
            for solid, shape in object_solids:
                frame = _pose(clip.object_pos[i], clip.object_quat[i])
                canvas.move(solid, frame @ shape.pose)
            image = canvas.photograph(EYE, AT)
            images.append(image)
    return images


def object_shapes(task: dict[str, float]) -> list[Shape]:
    """What the object of a task looks like, in its own frame."""
    values = objects.DEFAULTS | task
    parameters = {name: np.array([values[name]]) for name in objects.DEFAULTS}
    parts = objects.parts(parameters)
    (used,) = parts.used
    (sizes,) = parts.size
    (positions,) = parts.pos
    result = []
    for part in np.flatnonzero(used).tolist():
        pose = np.eye(4)
        pose[:3, 3] = positions[part]
        kind, size = _solid(sizes[part].tolist(), part)
        shape = Shape(kind, size, link=0, pose=pose, color=OBJECT_COLOR)
        result.append(shape)
    return result


def _solid(size: list[float], part: int) -> tuple[str, tuple[float, ...]]:
    """Kind and full size (m) of an object's part."""
    if part == objects.DISC:
        radius, half_height, _ = size
        return "cylinder", (radius, 2 * half_height)
    return "box", tuple(2 * half for half in size)


def _add_shapes(canvas: Canvas, new: list[Shape]) -> list[tuple[int, Shape]]:
    """The numbers of the new solids, and their shapes."""
    solids = []
    for shape in new:
        solid = canvas.add(shape.kind, shape.size, shape.color)
        solids.append((solid, shape))
    return solids


def _pose(pos: Array, quat: Array) -> Array:
    """The matrix (4, 4) of a position (3,) and a quaternion (4,) of any length.

    A rotation matrix is 1 + 2·w·[v] + 2·[v]² for the unit quaternion (w, v) and the matrix [v] of
    the cross product with v.
    """
    length = np.linalg.norm(quat)
    unit = quat / length
    w = unit[0]
    cross = skew(unit[1:])
    pose = np.eye(4)
    rotation = pose[:3, :3]
    rotation += 2 * w * cross
    rotation += 2 * cross @ cross
    pose[:3, 3] = pos
    return pose
