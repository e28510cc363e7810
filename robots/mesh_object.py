"""A solid object of a user, as numbers: after it is read, its mesh file is not needed any more."""

from functools import lru_cache

import msgspec
import numpy as np

from robots.meshes import Mesh, read_obj
from robots.signals import Array

Interval = tuple[float, float]  # low and high of what a task draws, evenly; equal: always the same
Point = tuple[float, float, float]


class MeshObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Convex parts with mass and friction. The origin is the mesh's centroid, and z points up."""

    name: str
    parts: tuple[str, ...]  # convex solids, which collide: each in the format OBJ, m
    inertia: tuple[Point, Point, Point]  # m², the tensor about the centroid, for a mass of 1 kg
    mass: Interval  # kg
    friction: Interval  # Coulomb's coefficient against a table and a tool
    restitution: Interval  # of an impact by the body, in [0, 1]
    center_of_mass: Point = (0.0, 0.0, 0.0)  # m, from the centroid
    # Volume that the convex parts have in addition to the mesh, as a share of the mesh's volume;
    # None where the mesh is not closed, so that its mass is spread over the parts.
    added_volume: float | None = None
    heldout: bool = False  # whether it is for held-out tasks only

    @property
    def half_extent(self) -> Array:
        """Half the edges of the smallest box about the centroid that holds it, (3,) m."""
        half: Array = np.abs(_corners(self)).max(0)
        return half

    @property
    def rest_height(self) -> float:
        """Height of the centroid over a table that it stands on, m."""
        return float(-_corners(self)[:, 2].min())


@lru_cache(maxsize=256)
def convex_parts(item: MeshObject) -> tuple[Mesh, ...]:
    """The parts as meshes, in the object's frame."""
    return tuple(read_obj(text) for text in item.parts)


def _corners(item: MeshObject) -> Array:
    """The vertices of all parts, (v, 3) m."""
    return np.concatenate([part.vertices for part in convex_parts(item)])
