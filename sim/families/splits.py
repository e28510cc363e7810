"""Splits of a family's tasks: held-out tasks come from regions without training tasks."""

import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array, Mask

SPLITS = ("train", "heldout")


def heldout(split: str) -> bool:
    """Whether a split is the held-out one.

    Raises:
        BadArgumentError: there is no such split.
    """
    if split not in SPLITS:
        raise BadArgumentError(f"split must be {' or '.join(SPLITS)}, got {split!r}")
    return split == "heldout"


def interleaved(rng: np.random.Generator, n: int, split: str, fields: int = 16) -> Array:
    """Draw numbers of the unit interval: training ones on white fields, held-out ones on black.

    The colors do not alternate, which would give one split the low end of the range and the other
    one the high end. They follow the Thue-Morse sequence, white, black, black, white, black, white,
    white, black, ...: a field is black if the binary number of its index has an odd number of ones.
    Both splits then have the same mean and the same standard deviation, and with 16 fields training
    has both ends of the range. A gap is at most two fields wide.

    Args:
        rng: source of randomness.
        n: number of points.
        split: ``"train"`` or ``"heldout"``.
        fields: number of fields in the interval; 16, or another power of 4.

    Returns:
        Numbers (n, 1) in [0, 1].

    Raises:
        BadArgumentError: there is no such split.
    """
    points = rng.random((n, 1))
    field = _field(points, fields)
    ones = np.bitwise_count(field[:, 0])  # in the binary number of the index
    is_black = ones % 2 == 1
    _recolor(points, field, fields, is_black != heldout(split))
    return points


def checkerboard(
    rng: np.random.Generator,
    n: int,
    axes: int,
    split: str,
    fields: int = 8,
) -> Array:
    """Draw points of the unit cube: training ones on white fields, held-out ones on black fields.

    Along every axis both splits are evenly distributed, and no held-out point lies in a field that
    training uses.

    Args:
        rng: source of randomness.
        n: number of points.
        axes: dimensions of the cube, at least 2; on a line the splits would have different means,
            see ``interleaved``.
        split: ``"train"`` or ``"heldout"``.
        fields: fields along each axis; an even number.

    Returns:
        Points (n, axes) in [0, 1].

    Raises:
        BadArgumentError: there is no such split, or there are fewer than 2 axes.
    """
    if axes < 2:
        raise BadArgumentError(f"a checkerboard has at least 2 axes, got {axes}: see interleaved")
    points = rng.random((n, axes))
    field = _field(points, fields)
    is_black = field.sum(-1) % 2 == 1
    _recolor(points, field, fields, is_black != heldout(split))
    return points


def _field(points: Array, fields: int) -> NDArray[np.int64]:
    """The index of each point's field along each axis, (n, axes)."""
    return np.floor(points * fields).astype(np.int64)


def _recolor(points: Array, field: NDArray[np.int64], fields: int, wrong: Mask) -> None:
    """Move points on fields of the wrong color by one field along the first axis.

    Fields 0 and 1, 2 and 3, ... of this axis always have different colors, and points move within
    such a pair: both colors remain evenly covered.
    """
    is_even = field[wrong, 0] % 2 == 0
    steps = np.where(is_even, 1, -1)
    points[wrong, 0] += steps / fields
