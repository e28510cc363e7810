"""What it means to be held out: training and held-out tasks that no draw can confuse."""

import numpy as np

from robots.signals import Array

SPLITS = ("train", "heldout")


def heldout(split: str) -> bool:
    """Whether a split is the held-out one; ValueError for a name that is neither."""
    if split not in SPLITS:
        raise ValueError(f"split must be {' or '.join(SPLITS)}, got {split!r}")
    return split == "heldout"


def checkerboard(rng: np.random.Generator, n: int, axes: int, split: str, fields: int = 8) -> Array:
    """Points of the unit cube (n, axes): training ones on the white fields of a chequerboard, held-out on the black.

    Both cover the cube evenly, and every held-out point lies in a field that was never trained in.
    """
    black = heldout(split)
    unit = rng.random((n, axes))
    field = np.floor(unit * fields).astype(int)
    wrong = (field.sum(-1) % 2 == 1) != black
    unit[wrong, 0] += (
        np.where(field[wrong, 0] % 2 == 0, 1, -1) / fields
    )  # to the neighbour, of the other colour
    return unit
