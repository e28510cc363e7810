"""What stands around an arm: its table, its target and the object of a task."""

import numpy as np

from robots.appearance import Shape
from sim import objects

TABLE_SIZE = (2.4, 1.3, 0.7)  # m, its top just below z = 0
TABLE_POSITION = (1.0, 0.0, -0.351)
TABLE_COLOR = (0.86, 0.84, 0.80)
TARGET_SIZE = (0.05, 0.002)  # m, radius and height
TARGET_COLOR = (0.25, 0.63, 0.38)
OBJECT_COLOR = (226 / 255, 136 / 255, 42 / 255)


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
