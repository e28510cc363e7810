"""Boards and tags on paper: black rectangles at their true size, as PDF, SVG or PNG."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D

from hw_interface.trackers.charuco import CharucoBoard, marker_dictionary
from hw_interface.trackers.checkerboard import Checkerboard
from robots.errors import BadArgumentError
from robots.signals import Array

PAPERS = {  # mm, upright
    "a4": (210.0, 297.0),
    "a3": (297.0, 420.0),
    "a2": (420.0, 594.0),
    "a1": (594.0, 841.0),
    "letter": (215.9, 279.4),
    "tabloid": (279.4, 431.8),
}
MARGIN = 8.0  # mm around everything, which printers may leave white
FOOT = 10.0  # mm below the board, for a line of 100 mm and the caption
RULER = 100.0  # mm
INCH = 25.4  # mm
DOTS = 300  # per inch, of a PNG
FONT = 8.0  # points


@dataclass(frozen=True)
class Sheet:
    """What is printed; x to the right and y down, from the upper left corner of the board."""

    width: float  # mm
    height: float
    black: Array  # (k, 4) mm: x, y, width and height of each black rectangle
    caption: str


def charuco_sheet(board: CharucoBoard, caption: str) -> Sheet:
    """A ChArUco board. OpenCV says where its markers are; a square without one is black."""
    opencv = board.opencv
    columns, rows = board.squares
    edge = 1000 * board.square
    is_black = np.ones((columns, rows), dtype=bool)
    rectangles = []
    for marker, corners in zip(np.ravel(opencv.getIds()), opencv.getObjPoints(), strict=True):
        column, row = np.floor(np.mean(corners, axis=0)[:2] / board.square).astype(int)
        is_black[column, row] = False
        place = 1000 * np.min(corners, axis=0)[:2]
        rectangles.append(place_marker(board.dictionary, int(marker), 1000 * board.marker, place))
    rectangles.append(_squares(is_black, edge))
    return Sheet(columns * edge, rows * edge, np.concatenate(rectangles), caption)


def checkerboard_sheet(board: Checkerboard, caption: str) -> Sheet:
    """A plain checkerboard."""
    columns, rows = np.add(board.corners, 1).tolist()
    edge = 1000 * board.square
    column, row = np.indices((columns, rows))
    black = _squares((column + row) % 2 == 0, edge)
    return Sheet(columns * edge, rows * edge, black, caption)


def tag_sheet(dictionary: str, number: int, edge: float, caption: str) -> Sheet:
    """One tag, as the tracker ``fiducial`` looks for it.

    Args:
        dictionary: name of OpenCV's.
        number: the tag's id.
        edge: m, of the black square.
        caption: a line of text below it.

    Raises:
        BadArgumentError: the dictionary has no such tag.
    """
    count = len(marker_dictionary(dictionary).bytesList)
    if not 0 <= number < count:
        raise BadArgumentError(f"{dictionary} has the tags 0 to {count - 1}, got --id {number}")
    black = place_marker(dictionary, number, 1000 * edge, np.zeros(2))
    return Sheet(1000 * edge, 1000 * edge, black, caption)


def _squares(is_black: Array, edge: float) -> Array:
    """The black squares (k, 4) mm of a board, from which are black, (columns, rows)."""
    places = edge * np.argwhere(is_black)
    return np.concatenate([places, np.full_like(places, edge)], axis=1)


def place_marker(dictionary: str, number: int, edge: float, place: Array) -> Array:
    """The black cells (k, 4) mm of a marker whose upper left corner is at ``place``, (2,) mm."""
    family = marker_dictionary(dictionary)
    count = family.markerSize + 2  # with its black border
    cells = cv2.aruco.generateImageMarker(family, number, count)
    cell = edge / count
    rows_and_columns = np.argwhere(cells == 0)
    places = place + cell * rows_and_columns[:, ::-1]
    return np.concatenate([places, np.full_like(places, cell)], axis=1)


def write_sheet(sheet: Sheet, paper: str, file: Path) -> None:
    """Write the sheet in the middle of a page of paper, upright or sideways.

    Args:
        sheet: what is printed.
        paper: a name in ``PAPERS``.
        file: .pdf, .svg or .png.

    Raises:
        BadArgumentError: it does not fit on the paper.
        OSError: the file cannot be written.
    """
    width, height = _page(sheet, paper)
    figure = Figure(figsize=(width / INCH, height / INCH))
    axes = figure.add_axes((0, 0, 1, 1), frameon=False, xticks=[], yticks=[])
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)

    left = (width - sheet.width) / 2
    top = (height - sheet.height - FOOT) / 2
    _fill(axes, sheet.black + np.array([left, top, 0, 0]))
    _draw_foot(axes, sheet.caption, width / 2, top + sheet.height + FOOT / 2)
    figure.savefig(file, dpi=DOTS)


def _page(sheet: Sheet, paper: str) -> tuple[float, float]:
    """Width and height, mm, of the page on which the sheet fits."""
    if paper not in PAPERS:
        raise BadArgumentError(f"no paper {paper!r}; there are: {', '.join(PAPERS)}")
    short, long = PAPERS[paper]
    needed = (max(sheet.width, RULER) + 2 * MARGIN, sheet.height + FOOT + 2 * MARGIN)
    for page in ((short, long), (long, short)):
        if needed[0] <= page[0] and needed[1] <= page[1]:
            return page
    size = f"{sheet.width:.0f} x {sheet.height:.0f} mm"
    raise BadArgumentError(f"{size} does not fit on {paper}: take a larger --paper, or print less")


def _fill(axes: Axes, rectangles: Array) -> None:
    """Fill rectangles (k, 4) black, as one path: between two paths viewers show fine lines."""
    unit = Outline.unit_rectangle()
    outlines = []
    for left, top, width, height in rectangles:
        placed = Affine2D().scale(width, height).translate(left, top)
        outlines.append(unit.transformed(placed))
    outline = Outline.make_compound_path(*outlines)
    axes.add_patch(PathPatch(outline, facecolor="black", linewidth=0))


def _draw_foot(axes: Axes, caption: str, middle: float, y: float) -> None:
    """A line of known length, and the caption."""
    ends = (middle - RULER / 2, middle + RULER / 2)
    axes.plot(ends, (y, y), color="black", linewidth=0.5, marker="|", markersize=4)
    axes.text(
        middle,
        y + 1.5,
        f"{caption} (line: {RULER:.0f} mm)",
        size=FONT,
        horizontalalignment="center",
        va="top",
    )
