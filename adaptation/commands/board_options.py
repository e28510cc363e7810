"""Options that describe a printed board."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from adaptation.commands.arguments import check_positive
from robots.errors import BadArgumentError, MissingExtraError, install_extra

if TYPE_CHECKING:
    from hw_interface.trackers.charuco import CharucoBoard
    from hw_interface.trackers.checkerboard import Checkerboard

BoardKind = Literal["checkerboard", "charuco"]
BOARD_DICTIONARY = "DICT_5X5_50"
TAG_DICTIONARY = "DICT_APRILTAG_36h11"  # the one that the tracker looks for by default


@dataclass(frozen=True, kw_only=True)
class BoardOptions:
    """The numbers of a board."""

    board: str = "9x6"
    """Along its two sides: inner corners of a checkerboard, squares of a ChArUco board."""
    square: float = 0.025
    """Edge of a square, m."""
    marker: float = 0.018
    """Edge of a marker of a ChArUco board, m."""
    dictionary: str | None = None
    """Dictionary of its markers, by OpenCV's name. Default: DICT_5X5_50; for one tag
    DICT_APRILTAG_36h11, which is the tracker's default too."""

    def board_of(self, kind: BoardKind) -> "Checkerboard | CharucoBoard":
        """The board with these numbers.

        Raises:
            BadArgumentError: there can be no such board.
            MissingExtraError: OpenCV is not installed.
        """
        check_positive(square=self.square, marker=self.marker)
        size = parse_board(self.board)
        require_opencv()
        from hw_interface.trackers.charuco import CharucoBoard
        from hw_interface.trackers.checkerboard import Checkerboard

        if kind == "checkerboard":
            return Checkerboard(size, self.square)
        dictionary = self.dictionary or BOARD_DICTIONARY
        return CharucoBoard(size, self.square, self.marker, dictionary)


def require_opencv() -> None:
    """Raise MissingExtraError, with what to install, where OpenCV is missing."""
    try:
        import cv2  # noqa: F401
    except ModuleNotFoundError as missing:
        message = f"printed tags and boards need an extra: {install_extra('eyes')}"
        raise MissingExtraError(message) from missing


def parse_board(text: str) -> tuple[int, int]:
    """The two counts of a text such as ``9x6``.

    Raises:
        BadArgumentError: it is something else, or a count is below 3.
    """
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()) or min(int(columns), int(rows)) < 3:
        raise BadArgumentError(f"--board takes two counts such as 9x6, got {text!r}")
    return int(columns), int(rows)
