"""``pliant board``: a board to print, with which a camera is calibrated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from adaptation.commands.arguments import Json
from adaptation.commands.board_options import BoardKind, BoardOptions
from adaptation.runs.files import check_writable, whole_file

FORMATS = (".pdf", ".svg", ".png")


@dataclass(frozen=True, kw_only=True)
class Board(BoardOptions):
    """Write a board to print: a ChArUco board or a checkerboard, at its true size.

    Print it without scaling ("100 %", not "fit to page"), and measure the line of 100 mm below it.
    """

    kind: Annotated[Positional[BoardKind], arg(metavar="KIND")] = "charuco"
    """charuco or checkerboard."""
    out: Path
    """File to write: .pdf, .svg or .png."""
    paper: str = "a4"
    """a4, a3, a2, a1, letter or tabloid."""
    as_json: Json = False

    def run(self) -> dict[str, str | float | int]:
        """Write the file."""
        check_writable(self.out, FORMATS)
        board = self.board_of(self.kind)
        from hw_interface.trackers.board_sheet import charuco_sheet, checkerboard_sheet, write_sheet
        from hw_interface.trackers.charuco import CharucoBoard

        words = f"--pattern {self.kind} --board {self.board} --square {self.square}"
        if isinstance(board, CharucoBoard):
            words += f" --marker {self.marker} --dictionary {self.dictionary}"
            sheet = charuco_sheet(board, words)
        else:
            sheet = checkerboard_sheet(board, words)
        with whole_file(self.out) as new:
            write_sheet(sheet, self.paper, new)
        print(f"{self.out}: {board.description}, {sheet.width:.1f} x {sheet.height:.1f} mm")
        print("print it at 100 % and measure the line of 100 mm; then")
        print(f"  pliant calibrate camera PICTURES {words}")
        return {
            "file": str(self.out),
            "width_mm": sheet.width,
            "height_mm": sheet.height,
            "options": words,
        }
