"""Corners of a tag to a small part of a pixel: lines are fitted to its edges, and intersected.

OpenCV's own refinement (``cornerSubPix``) places the corners of a blurred square inside it, by 0.4
pixels where the blur is 0.7. The position of a straight edge has no such bias: a symmetric blur
widens it on both sides alike. The idea is that of ``refine_edges`` in the AprilTag library.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from robots.signals import Array

SAMPLES = 24  # places along an edge at which its position is measured
MARGIN = 0.15  # share of an edge at each end that is left out: there the other edge begins
ACROSS = 25  # samples across an edge
ENDS = 3  # of them at each end, which are taken as black and as white
REACH = (1.5, 5.0)  # pixels, at least and at most
CELLS = 8  # across a tag with its black border, at most: 8 of an AprilTag 36h11, 6 of a DICT_4X4
# Samples across an edge reach so many cells to each side; each round begins at the edges that the
# last one found. The black border is one cell wide.
ROUNDS = (0.9, 0.7, 0.5, 0.5)
FARTHEST = 4.0  # pixels that a corner may move
CONTRAST = 15.0  # gray levels across an edge, below which it is not trusted


def refine_corners(gray: NDArray[np.uint8], corners: Array) -> Array | None:
    """The corners of one tag, more exactly.

    Args:
        gray: (h, w) the picture.
        corners: (4, 2) pixels, clockwise.

    Returns:
        The corners (4, 2); None if the edges cannot be measured, and the tag is better left out.
    """
    refined = corners
    for cells in ROUNDS:
        moved = _intersect_edges(gray, refined, cells)
        if moved is None:
            return None
        refined = moved

    distance = np.linalg.norm(refined - corners, axis=1)
    return refined if distance.max() <= FARTHEST else None


def cell_widths(corners: Array) -> Array:
    """Pixels (4,) of a cell of the tag with these corners (4, 2), across each edge."""
    area = abs(cv2.contourArea(corners.astype(np.float32)))
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    widths: Array = area / lengths / CELLS
    return widths


def _intersect_edges(gray: NDArray[np.uint8], corners: Array, cells: float) -> Array | None:
    """The intersections (4, 2) of the lines fitted to the edges; None if one has no contrast."""
    ends = np.roll(corners, -1, axis=0)
    lengths = np.linalg.norm(ends - corners, axis=1)  # (4,)
    along = (ends - corners) / lengths[:, None]
    outward = np.stack([along[:, 1], -along[:, 0]], axis=1)

    share = np.linspace(MARGIN, 1 - MARGIN, SAMPLES)
    distances = lengths[:, None] * share  # (4, m) from the first corner
    on_edges = corners[:, None] + distances[..., None] * along[:, None]  # (4, m, 2)
    reach = np.clip(cells * cell_widths(corners), *REACH)
    offsets, contrast = _measure_edges(gray, on_edges, outward, reach)
    if (contrast < CONTRAST).any():
        return None

    slopes, intercepts = _fit_lines(distances, offsets)
    directions = along + slopes[:, None] * outward
    starts = corners + intercepts[:, None] * outward
    return _intersections(starts, directions)


def _measure_edges(
    gray: NDArray[np.uint8], on_edges: Array, outward: Array, reach: Array
) -> tuple[Array, Array]:
    """Where the edges are, from the lines between the corners.

    Args:
        gray: the picture.
        on_edges: (4, m, 2) places along these lines.
        outward: (4, 2) unit vectors across them, away from the tag.
        reach: (4,) pixels across them to each side.

    Returns:
        Pixels (4, m) outward, and the contrast (4,) in gray levels.
    """
    across = reach[:, None] * np.linspace(-1, 1, ACROSS)  # (4, k)
    shifts = across[..., None] * outward[:, None]  # (4, k, 2)
    points = on_edges[:, :, None] + shifts[:, None]  # (4, m, k, 2)
    grid = points.astype(np.float32).reshape(4 * SAMPLES, ACROSS, 2)
    levels = cv2.remap(gray, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    levels = levels.reshape(4, SAMPLES, ACROSS).astype(np.float64)

    # Black and white of each edge, and from them the share of white across it. The more white, the
    # farther inside is the edge. This is linear in the gray levels: noise shifts it to no side.
    black = levels[..., :ENDS].mean((1, 2))  # (4,)
    white = levels[..., -ENDS:].mean((1, 2))
    contrast = white - black
    above_black = levels.mean(-1) - black[:, None]
    share = above_black / np.maximum(contrast, 1.0)[:, None]  # (4, m)
    offsets = reach[:, None] * (1 - 2 * share)
    return offsets, contrast


def _fit_lines(distances: Array, offsets: Array) -> tuple[Array, Array]:
    """Slope (4,) and offset (4,) at distance 0 of least-squares lines through (4, m) places."""
    mean_distance = distances.mean(1)
    mean_offset = offsets.mean(1)
    centered = distances - mean_distance[:, None]
    slopes = (centered * offsets).sum(1) / (centered**2).sum(1)
    intercepts = mean_offset - slopes * mean_distance
    return slopes, intercepts


def _intersections(starts: Array, directions: Array) -> Array | None:
    """Where each line (4, 2) meets the one before it, which is at its first corner."""
    before_starts = np.roll(starts, 1, axis=0)
    before = np.roll(directions, 1, axis=0)
    cross = before[:, 0] * directions[:, 1] - before[:, 1] * directions[:, 0]
    if (np.abs(cross) < 0.05).any():  # nearly parallel: the tag is seen from its edge
        return None

    gap = starts - before_starts
    steps = (gap[:, 0] * directions[:, 1] - gap[:, 1] * directions[:, 0]) / cross
    points: Array = before_starts + steps[:, None] * before
    return points
