"""Rough ground: bumps of a height field that rise from a level plane.

The batches of MuJoCo share the heights of a field among all worlds, but not its place. So the field
lies just below the plane, and a task's ``fixture.NAME.z`` is how far its highest bumps rise above
the plane: the higher it is lifted, the higher and the wider bumps are, and the more there are.
"""

import numpy as np

from robots.scene import Fixture
from robots.signals import Array

CELL = 0.1  # m, between two points of the grid
BUMP = 0.4  # m, between two of the points whose heights are drawn
SEED = 0  # of the heights: the bumps are the same in every task


def rough_ground(
    name: str,
    height: float,
    center: tuple[float, float],
    size: tuple[float, float],
    level: tuple[float, float],
) -> Fixture:
    """A field of random bumps, whose highest point is at z = 0, with a level place at the origin.

    Args:
        name: of the fixture.
        height: m, from its lowest to its highest point: the most that bumps can rise.
        center: m, x and y of its middle.
        size: m, half extents along x and y.
        level: m, the radius within which it has no bumps, and that from which they are of full
            height.
    """
    x, y = (
        np.linspace(middle - half, middle + half, round(2 * half / CELL) + 1)
        for middle, half in zip(center, size, strict=True)
    )
    bumps = _noise(np.random.default_rng(SEED), x, y)
    inner, outer = level
    radius = np.hypot(x[None, :], y[:, None])
    share = np.clip((radius - inner) / (outer - inner), 0.0, 1.0)
    heights = height * (share * bumps / bumps.max() - 1)
    position = (*center, 0.0)
    return Fixture(name, "height_field", size, position, heights=heights)


def _noise(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Random heights in [0, 1], smooth over ``BUMP`` m: a grid (y, x)."""
    columns = np.arange(x[0], x[-1] + BUMP, BUMP)
    rows = np.arange(y[0], y[-1] + BUMP, BUMP)
    drawn = rng.random((len(rows), len(columns)))
    along_x = [np.interp(x, columns, row) for row in drawn]
    by_column = np.transpose(along_x)  # (x, rows)
    along_y = [np.interp(y, rows, column) for column in by_column]
    return np.transpose(along_y)
