"""Pictures of flat boards by a lens with distortion: each pixel is traced back to the board."""

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np

from robots.signals import Array

WIDTH, HEIGHT = 640, 480
MATRIX = np.array([[610.0, 0, 325.0], [0, 605.0, 236.0], [0, 0, 1]])
DISTORTION = np.array([-0.12, 0.04, 0.001, -0.0005])
SMOOTHING = 2  # each pixel is the mean of so many, squared
BACKGROUND = 128  # gray level around a board

# gray levels (k,) of places x, y (k,) m on the board's plane
Paint = Callable[[Array, Array], Any]


@cache
def rays() -> Array:
    """Directions (3, k) in which the pixels of a larger picture look, without distortion."""
    x, y = np.meshgrid(np.arange(SMOOTHING * WIDTH), np.arange(SMOOTHING * HEIGHT))
    pixels = (np.stack([x.ravel(), y.ravel()], 1) + 0.5) / SMOOTHING - 0.5
    straight = cv2.undistortPoints(pixels[:, None], MATRIX, DISTORTION).reshape(-1, 2)
    return np.concatenate([straight, np.ones((len(straight), 1))], 1).T


def draw(paint: Paint, rotation: Array, position: Array) -> Any:
    """A board as the camera sees it.

    Args:
        paint: the board's gray levels.
        rotation: (3, 3) of the board in the camera's frame.
        position: (3,) m, of its origin there.
    """
    # a point X, Y of the board is seen along rotation @ (X, Y, 0) + position
    to_ray = np.stack([rotation[:, 0], rotation[:, 1], position], axis=1)
    on_board = np.linalg.inv(to_ray) @ rays()
    levels = paint(on_board[0] / on_board[2], on_board[1] / on_board[2])
    large = levels.astype(np.uint8).reshape(SMOOTHING * HEIGHT, SMOOTHING * WIDTH)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def checkerboard(board: tuple[int, int], square: float) -> Paint:
    """A board of so many inner corners, the first of them at the origin."""

    def paint(x: Array, y: Array) -> Any:
        columns = np.floor(x / square + 1)
        rows = np.floor(y / square + 1)
        is_inside = (columns >= 0) & (columns <= board[0]) & (rows >= 0) & (rows <= board[1])
        is_black = is_inside & ((columns + rows) % 2 == 0)
        return np.where(is_black, 20, 230)

    return paint


def printed(board: cv2.aruco.CharucoBoard) -> Paint:
    """A ChArUco board as OpenCV draws it, its upper left corner at the origin."""
    dots = 60  # per square
    columns, rows = board.getChessboardSize()
    picture = board.generateImage((dots * columns, dots * rows), marginSize=0)
    scale = dots / board.getSquareLength()

    def paint(x: Array, y: Array) -> Any:
        column = np.floor(scale * x).astype(int)
        row = np.floor(scale * y).astype(int)
        height, width = picture.shape
        is_inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        seen = picture[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
        return np.where(is_inside, np.clip(seen, 20, 230), BACKGROUND)

    return paint
