"""``pliant board``: a board or a tag to print, for cameras."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json, check_positive
from adaptation.commands.board_options import TAG_DICTIONARY, BoardOptions, require_opencv
from adaptation.runs.files import check_writable, whole_file

if TYPE_CHECKING:
    from hw_interface.trackers.board_sheet import Sheet

FORMATS = (".pdf", ".svg", ".png")


@dataclass(frozen=True, kw_only=True)
class Board(BoardOptions):
    """Write a board to print at its true size: a ChArUco board or a checkerboard; or one tag.

    Print it without scaling ("100 %", not "fit to page"), and measure the line of 100 mm below it.
    """

    kind: Annotated[Positional[Literal["charuco", "checkerboard", "tag"]], arg(metavar="KIND")]
    """charuco, checkerboard or tag."""
    out: Path
    """File to write: .pdf, .svg or .png."""
    id: int = 0
    """Number of the tag in --dictionary; --marker is the edge of its black square."""
    paper: str = "a4"
    """a4, a3, a2, a1, letter or tabloid."""
    as_json: Json = False

    def run(self) -> dict[str, str | float]:
        """Write the file."""
        check_writable(self.out, FORMATS)
        require_opencv()
        sheet = self._sheet()
        from hw_interface.trackers.board_sheet import write_sheet

        with whole_file(self.out) as new:
            write_sheet(sheet, self.paper.lower(), new)
        print(f"{self.out}: {sheet.width:.1f} x {sheet.height:.1f} mm: {sheet.caption}")
        print("print it at 100 %, and measure the line of 100 mm")
        return {
            "file": str(self.out),
            "width_mm": sheet.width,
            "height_mm": sheet.height,
            "caption": sheet.caption,
        }

    def _sheet(self) -> "Sheet":
        """What is printed. Its caption has the options that describe it to other commands."""
        from hw_interface.trackers.board_sheet import charuco_sheet, checkerboard_sheet, tag_sheet
        from hw_interface.trackers.charuco import CharucoBoard

        if self.kind == "tag":
            check_positive(marker=self.marker)
            dictionary = self.dictionary or TAG_DICTIONARY
            caption = f"{dictionary}, id {self.id}, size {self.marker} m"
            return tag_sheet(dictionary, self.id, self.marker, caption)

        board = self.board_of(self.kind)
        caption = f"--pattern {self.kind} --board {self.board} --square {self.square}"
        if isinstance(board, CharucoBoard):
            caption += f" --marker {self.marker} --dictionary {board.dictionary}"
            return charuco_sheet(board, caption)
        return checkerboard_sheet(board, caption)
