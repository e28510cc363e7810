"""``pliant calibrate``: the camera of the tag tracker, and an arm's latency, joints and payload."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptation.commands.arguments import (
    Incomplete,
    Json,
    OptionalPath,
    check_counts,
    check_name,
    check_positive,
)
from adaptation.commands.calibration_options import CalibrationOptions
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import BadArgumentError, MissingExtraError

if TYPE_CHECKING:
    from adaptation.jobs.calibrate_joints import JointsResult
    from adaptation.jobs.calibrate_latency import LatencyResult
    from adaptation.jobs.calibrate_payload import PayloadResult
    from hw_interface.trackers.calibration import CameraAnswer, HandEyeAnswer

MISSING = "pliant calibrate needs an extra: pip install 'pliant[eyes]'"
OF_CAMERA = ("camera", "hand-eye")


@dataclass(frozen=True, kw_only=True)
class Calibrate(CalibrationOptions):
    """Calibrate the tag tracker's camera, or an arm.

    `camera PATH`: its lens, from pictures of a checkerboard. `hand-eye PATH`: where it stands, from
    pictures of a tagged object that the arm holds. Nothing moves; both print lines for the
    tracker's file.

    `latency`: how late an arm's joints follow, by small motions of each. `joints`: signs and zeros
    of an arm of servos, with you beside it. `payload`: mass and center of mass of what the flange
    carries, by standing in several postures. Before these three move an arm they say what will
    move; a real arm then waits for Enter.
    """

    board: str = "9x6"
    """Inner corners of the checkerboard along its two sides."""
    square: float = 0.025
    """Edge of its squares, m."""
    tracker: OptionalPath = None
    """For hand-eye: the tracker's TOML file with the lens, and the tags on what the arm holds."""
    as_json: Json = False

    def run(
        self,
    ) -> "CameraAnswer | HandEyeAnswer | LatencyResult | JointsResult | PayloadResult | Incomplete":
        """Calibrate, and print the result with its residuals."""
        check_name(ARMS, self.arm)
        check_positive(square=self.square)
        check_counts(repeats=self.repeats, postures=self.postures)
        self.check_names()
        if self.what not in OF_CAMERA:
            from adaptation.commands.calibrating_arm import calibrate_arm

            return calibrate_arm(self)
        board = parse_board(self.board)
        if self.path is None:
            raise BadArgumentError(f"calibrate {self.what} needs a PATH")
        try:
            import cv2  # noqa: F401
        except ModuleNotFoundError as missing:
            raise MissingExtraError(MISSING) from missing

        if self.what == "camera":
            return self._calibrate_camera(self.path, board)
        return self._calibrate_hand_eye(self.path)

    def _calibrate_camera(self, folder: Path, board: tuple[int, int]) -> "CameraAnswer":
        from hw_interface.trackers.calibration import calibrated_camera, toml_lines

        if not folder.is_dir():
            raise BadArgumentError(f"{folder} is no folder of pictures")
        answer = calibrated_camera(folder, board, self.square)
        worst = max(answer.residuals, key=lambda name: answer.residuals[name])
        print(toml_lines(answer, ("width", "height", "matrix", "distortion")))
        used = counted(len(answer.residuals), "picture")
        print(f"\n{used} used, {len(answer.unused)} without a whole board")
        print(f"residual {answer.residual:.3f} pixels (RMS)")
        print(f"worst picture: {worst}, {answer.residuals[worst]:.3f} pixels")
        print(f"focal length: standard deviation {answer.focal_error:.2f} pixels")
        return answer

    def _calibrate_hand_eye(self, file: Path) -> "HandEyeAnswer":
        from hw_interface.trackers.calibration import calibrated_hand_eye, toml_lines

        if self.arm is None or self.tracker is None:
            raise BadArgumentError("calibrate hand-eye needs --arm NAME and --tracker FILE")
        answer = calibrated_hand_eye(file, ARMS[self.arm], self.tracker)
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
