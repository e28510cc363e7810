"""Splits of a family's tasks: held-out tasks come from regions that no training task lies in."""

import numpy as np

from robots.errors import BadArgumentError
from robots.signals import Array

SPLITS = ("train", "heldout")


def heldout(split: str) -> bool:
    """Whether a split is the held-out one.

    Raises:
        BadArgumentError: there is no such split.
    """
    if split not in SPLITS:
        raise BadArgumentError(f"split must be {' or '.join(SPLITS)}, got {split!r}")
    return split == "heldout"


def checkerboard(
    rng: np.random.Generator,
    n: int,
    axes: int,
    split: str,
    fields: int = 8,
) -> Array:
    """Draw points of the unit cube: training ones on white fields, held-out ones on black fields.

    Both splits cover the cube evenly, and no held-out point lies in a field that training uses. A
    point on a field of the wrong color moves by one field along the first axis.

    Args:
        rng: source of randomness.
        n: number of points.
        axes: dimensions of the cube.
        split: ``"train"`` or ``"heldout"``.
        fields: fields along each axis; an even number.

    Returns:
        Points (n, axes) in [0, 1].

    Raises:
        BadArgumentError: there is no such split.
    """
    wants_black = heldout(split)
    points = rng.random((n, axes))
    scaled = points * fields
    field = np.floor(scaled).astype(int)  # (n, axes)
    parity = field.sum(-1) % 2
    is_black = parity == 1
    wrong = is_black != wants_black
    is_even = field[wrong, 0] % 2 == 0
    steps = np.where(is_even, 1, -1)
    points[wrong, 0] += steps / fields
    return points
