"""Which worlds need fine time steps: those whose tool is about to touch its object, or does.

At 1 m/s a tool travels 2 mm in a step of 2 ms. The phase of the first contact within a step is
random, and with it the blow: the same strike would scatter by centimeters. So a scene may ask for a
finer ``contact_timestep`` while tool and object are near. Axes: n worlds, 3 parts of an object.
"""

import numpy as np
from numpy.typing import NDArray

from robots.bodies import make_kinematics
from robots.scene import Scene
from robots.signals import Array, Mask
from sim import objects

# m from the tool's point to the object: a ball of 2 cm radius, and 1.5 m/s in a tick of 10 ms with
# 5 mm to spare.
NEAR = 0.04


class ContactSteps:
    """The objects of n worlds, and how near the tool is to them."""

    def __init__(self, scene: Scene, n: int) -> None:
        """Without a tool every world counts as near."""
        self._kinematics = make_kinematics(scene.body)
        shape = (n, 3, 3)
        self._size = np.zeros(shape)
        self._pos = np.zeros(shape)
        self._used = np.zeros((n, 3), dtype=bool)

    def describe(self, parts: objects.Parts, rows: NDArray[np.int64]) -> None:
        """Take the geometry of the objects in some worlds, one row of ``parts`` for each."""
        half_extent = parts.size.copy()
        disc = half_extent[:, objects.DISC]
        disc[:, 2] = disc[:, 1]  # of a cylinder: radius, half height
        disc[:, 1] = disc[:, 0]
        self._size[rows] = half_extent
        self._pos[rows] = parts.pos
        self._used[rows] = parts.used

    def near(self, q: Array, pos: Array, quat: Array) -> Mask:
        """Whether the tool is near the object, (n,).

        Args:
            q: (n, j) rad.
            pos: (n, 3) m, of the object.
            quat: (n, 4) w, x, y, z, of the object.
        """
        if self._kinematics is None:
            return np.ones(len(q), dtype=bool)
        tool = self._kinematics.position(q)
        in_object = _rotate_back(tool - pos, quat)
        # from the tool to each part, along the axes of the object
        outside = np.abs(in_object[:, None] - self._pos) - self._size
        distance = np.linalg.norm(np.maximum(outside, 0.0), axis=-1)
        distance = np.where(self._used, distance, np.inf)
        nearest = distance.min(1)
        return np.asarray(nearest < NEAR)


def _rotate_back(v: Array, quat: Array) -> Array:
    """Vectors (n, 3) in frames that are turned by quaternions (n, 4) w, x, y, z.

    With the vector part u of the inverse rotation, v' = v + 2·w·(u x v) + 2·u x (u x v).
    """
    w = quat[:, :1]
    u = -quat[:, 1:]
    cross = np.cross(u, v)
    turned: Array = v + 2 * w * cross + 2 * np.cross(u, cross)
    return turned
