"""Geometry and numbers of the objects of a user that a task chooses from.

``NAME.shape`` of a task is an index into the choices. Axes: c choices, p parts of all choices
together, n tasks.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.mesh_object import MeshObject, convex_parts
from robots.signals import Array, Mask
from sim.outlines import HIDDEN

Choices = tuple[MeshObject, ...]


@dataclass(frozen=True)
class ChoiceParts:
    """Bounding boxes of the convex parts of all choices, and which of them each choice has.

    The parts of the other choices count as tiny ones at the centroid.
    """

    size: Array  # (c, p, 3) m, half extents
    pos: Array  # (c, p, 3) m, centers, from the centroid
    used: Mask  # (c, p)


def part_count(choices: Choices) -> int:
    """The parts of all choices together."""
    return sum(len(choice.parts) for choice in choices)


@lru_cache(maxsize=16)
def choice_parts(choices: Choices) -> ChoiceParts:
    """The boxes of all choices."""
    shape = (len(choices), part_count(choices))
    size = np.full((*shape, 3), HIDDEN)
    pos = np.zeros((*shape, 3))
    used = np.zeros(shape, dtype=bool)
    part = 0
    for row, choice in enumerate(choices):
        for mesh in convex_parts(choice):
            low = mesh.vertices.min(0)
            high = mesh.vertices.max(0)
            size[row, part] = (high - low) / 2
            pos[row, part] = (high + low) / 2
            used[row, part] = True
            part += 1
    return ChoiceParts(size, pos, used)


def chosen(choices: Choices, codes: Array) -> NDArray[np.int64]:
    """Indices of choices from the shape codes (n,) of tasks.

    Raises:
        BadArgumentError: a code does not exist.
    """
    known = np.isin(codes, np.arange(len(choices)))
    if not known.all():
        allowed = {code: choice.name for code, choice in enumerate(choices)}
        given = sorted(set(codes.tolist()))
        raise BadArgumentError(f"an object's shape must be one of {allowed}, got {given}")
    return codes.astype(np.int64)


def choice_numbers(choice: MeshObject) -> dict[str, float]:
    """The parameters of a choice, as ``NAME.PARAMETER`` in a task; the middle of each interval."""
    x, y, z = choice.half_extent.tolist()
    com_x, com_y, com_z = choice.center_of_mass
    return {
        "shape": 0.0,
        "size_x": x,
        "size_y": y,
        "size_z": z,
        "mass": sum(choice.mass) / 2,
        "friction": sum(choice.friction) / 2,
        "restitution": sum(choice.restitution) / 2,
        "com_x": com_x,
        "com_y": com_y,
        "com_z": com_z,
    }


def numbers_of(choices: Choices, rows: NDArray[np.int64]) -> dict[str, Array]:
    """``choice_numbers`` of the choices of n tasks, (n,) each."""
    table = [choice_numbers(choice) for choice in choices]
    columns = {}
    for name in table[0]:
        column = np.array([numbers[name] for numbers in table])
        columns[name] = column[rows]
    columns["shape"] = rows.astype(np.float64)
    return columns
