"""The flat shapes of objects: the footprints of boxes, crosses, cylinders, Ls and Ts. Pure NumPy.

Each consists of up to three parts: two boxes and an upright cylinder. Parts that a shape does not
need are tiny and hidden inside the first part that it uses. Axes: n objects, 3 parts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask

SHAPES = ("box", "cross", "cylinder", "L", "T")  # ``NAME.shape`` of a task is an index into these
PART_KINDS = ("box", "box", "cylinder")
DISC = 2  # index of the cylinder among the parts; the other two are boxes
HIDDEN = 1e-3  # m, half size of a part that is not needed
BAR_WIDTH = 0.4  # of a cross, an L or a T, as a share of its extent


@dataclass(frozen=True)
class Rectangle:
    """An axis-aligned rectangle in the plane for each of n objects."""

    half: Array  # (n, 2) m, half extents
    center: Array  # (n, 2) m


@dataclass(frozen=True)
class Outline:
    """The footprint of n objects of one shape."""

    boxes: tuple[Rectangle, Rectangle]
    radius: Array  # (n,) m, of the cylinder


def outline_parts(p: dict[str, Array]) -> tuple[Array, Array, Mask]:
    """The parts of flat objects with parameters (n,) each.

    Returns:
        Sizes as for MuJoCo's geoms, (n, 3, 3) m; centers, (n, 3, 3) m; and a mask of the used
        parts, (n, 3).

    Raises:
        BadArgumentError: a shape code does not exist.
    """
    size, pos = _footprints(p)
    used = size[..., 0] > HIDDEN
    _set_heights(size, used, p["size_z"])
    return size, _hide_unused(pos, used), used


def _footprints(p: dict[str, Array]) -> tuple[Array, Array]:
    """Sizes of the parts in the plane and their centers, (n, 3, 3) each; heights are not set."""
    codes = p["shape"].astype(int)
    _check_shapes(codes)
    outlines = _outlines(p["size_x"], p["size_y"])
    shape_of_parts = (len(codes), 3, 3)
    size = np.empty(shape_of_parts)
    pos = np.zeros(shape_of_parts)
    for code, shape in enumerate(SHAPES):
        rows = codes == code
        outline = outlines[shape]
        for part, box in enumerate(outline.boxes):
            size[rows, part, :2] = box.half[rows]
            pos[rows, part, :2] = box.center[rows]
        size[rows, DISC, 0] = outline.radius[rows]
    return size, pos


def _check_shapes(codes: NDArray[np.int64]) -> None:
    count = len(SHAPES)
    unknown = (codes < 0) | (codes >= count)
    if not unknown.any():
        return
    allowed = dict(enumerate(SHAPES))
    given = sorted(set(codes.tolist()))
    raise BadArgumentError(f"an object's shape must be one of {allowed}, got {given}")


def _outlines(x: Array, y: Array) -> dict[str, Outline]:
    """The footprint of every shape with half extents x and y, (n,) m each."""
    zero = np.zeros(len(x))
    tiny = np.full(len(x), HIDDEN)
    # half widths of bars along y and along x
    bar_x = BAR_WIDTH * x
    bar_y = BAR_WIDTH * y
    unused = _rectangle(tiny, tiny, zero, zero)
    full = _rectangle(x, y, zero, zero)
    # a cross
    along_x = _rectangle(x, bar_y, zero, zero)
    along_y = _rectangle(bar_x, y, zero, zero)
    # an L and a T: a bar along y at the low end of x, and one from there to the high end of x
    rest = x - bar_x
    left = _rectangle(bar_x, y, -x + bar_x, zero)
    low = _rectangle(rest, bar_y, bar_x, -y + bar_y)
    middle = _rectangle(rest, bar_y, bar_x, zero)
    return {
        "box": Outline((full, unused), tiny),
        "cross": Outline((along_x, along_y), tiny),
        "cylinder": Outline((unused, unused), x),
        "L": Outline((left, low), tiny),
        "T": Outline((left, middle), tiny),
    }


def _rectangle(half_x: Array, half_y: Array, center_x: Array, center_y: Array) -> Rectangle:
    """From (n,) m each."""
    half = np.stack([half_x, half_y], -1)
    center = np.stack([center_x, center_y], -1)
    return Rectangle(half, center)


def _set_heights(size: Array, used: Mask, half_height: Array) -> None:
    """Complete the sizes (n, 3, 3) of parts, those of unused ones with tiny heights."""
    height = np.where(used, half_height[:, None], HIDDEN)
    size[:, :DISC, 2] = height[:, :DISC]
    size[:, DISC, 1] = height[:, DISC]
    size[:, DISC, 2] = 0.0


def _hide_unused(pos: Array, used: Mask) -> Array:
    """Positions (n, 3, 3) with the unused parts at the first used one."""
    rows = np.arange(len(pos))
    first_used = pos[rows, used.argmax(-1)]
    return np.where(used[..., None], pos, first_used[:, None])
