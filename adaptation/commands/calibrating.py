"""``pliant calibrate``: the camera of the tag tracker."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from adaptation.commands.arguments import (
    Json,
    OptionalName,
    OptionalPath,
    check_name,
    check_positive,
)
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import BadArgumentError, MissingExtraError

if TYPE_CHECKING:
    from hw_interface.trackers.calibration import CameraAnswer, HandEyeAnswer

MISSING = "pliant calibrate needs an extra: pip install 'pliant[eyes]'"


@dataclass(frozen=True)
class Calibrate:
    """Calibrate the tag tracker's camera from pictures; prints lines for the tracker's file.

    `camera`: its lens, from pictures of a checkerboard. `hand-eye`: where it stands, from pictures
    of a tagged object that the arm holds. Nothing moves.
    """

    what: Annotated[Positional[Literal["camera", "hand-eye"]], arg(metavar="WHAT")]
    """camera or hand-eye."""
    path: Annotated[Positional[Path], arg(metavar="PATH")]
    """For camera: folder with the pictures. For hand-eye: TOML file with pictures and joints."""
    board: str = "9x6"
    """Inner corners of the checkerboard along its two sides."""
    square: float = 0.025
    """Edge of its squares, m."""
    arm: OptionalName = None
    """Arm that holds the object, for hand-eye."""
    tracker: OptionalPath = None
    """For hand-eye: the tracker's TOML file with the lens, and the tags on what the arm holds."""
    as_json: Json = False

    def run(self) -> "CameraAnswer | HandEyeAnswer":
        """Calibrate, and print the result with its residuals."""
        check_name(ARMS, self.arm)
        check_positive(square=self.square)
        board = parse_board(self.board)
        try:
            import cv2  # noqa: F401
        except ModuleNotFoundError as missing:
            raise MissingExtraError(MISSING) from missing

        if self.what == "camera":
            return self._calibrate_camera(board)
        return self._calibrate_hand_eye()

    def _calibrate_camera(self, board: tuple[int, int]) -> "CameraAnswer":
        from hw_interface.trackers.calibration import calibrated_camera, toml_lines

        if not self.path.is_dir():
            raise BadArgumentError(f"{self.path} is no folder of pictures")
        answer = calibrated_camera(self.path, board, self.square)
        worst = max(answer.residuals, key=lambda name: answer.residuals[name])
        print(toml_lines(answer, ("width", "height", "matrix", "distortion")))
        used = counted(len(answer.residuals), "picture")
        print(f"\n{used} used, {len(answer.unused)} without a whole board")
        print(f"residual {answer.residual:.3f} pixels (RMS)")
        print(f"worst picture: {worst}, {answer.residuals[worst]:.3f} pixels")
        print(f"focal length: standard deviation {answer.focal_error:.2f} pixels")
        return answer

    def _calibrate_hand_eye(self) -> "HandEyeAnswer":
        from hw_interface.trackers.calibration import calibrated_hand_eye, toml_lines

        if self.arm is None or self.tracker is None:
            raise BadArgumentError("calibrate hand-eye needs --arm NAME and --tracker FILE")
        answer = calibrated_hand_eye(self.path, ARMS[self.arm], self.tracker)
        worst = max(answer.residuals_mm, key=lambda name: answer.residuals_mm[name])
        print(toml_lines(answer, ("position", "quaternion")))
        used = counted(len(answer.residuals_mm), "picture")
        print(f"\n{used} used, {len(answer.unused)} without the object")
        print(f"residual {answer.residual_mm:.2f} mm, {answer.residual_degrees:.3f} degrees (RMS)")
        print(f"worst picture: {worst}, {answer.residuals_mm[worst]:.2f} mm")
        print("standard deviation of the camera's pose that follows from the residuals:")
        print(f"  {answer.error_mm:.2f} mm, {answer.error_degrees:.3f} degrees")
        return answer


def parse_board(text: str) -> tuple[int, int]:
    """The numbers of ``9x6``.

    Raises:
        BadArgumentError: it is something else, or a number is below 3.
    """
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()) or min(int(columns), int(rows)) < 3:
        raise BadArgumentError(f"--board takes inner corners such as 9x6, got {text!r}")
    return int(columns), int(rows)
