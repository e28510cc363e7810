"""``pliant calibrate``: the camera of the tag tracker, and an arm's latency, joints and payload."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from adaptation.commands.arguments import (
    Incomplete,
    Json,
    OptionalPath,
    check_counts,
    check_name,
)
from adaptation.commands.board_options import BoardOptions, require_opencv
from adaptation.commands.calibration_options import CalibrationOptions
from hw_interface.trackers.fiducial_config import Mount
from robots.catalog import ARMS
from robots.counting import counted
from robots.errors import BadArgumentError

if TYPE_CHECKING:
    from adaptation.jobs.calibrate_joints import JointsResult
    from adaptation.jobs.calibrate_latency import LatencyResult
    from adaptation.jobs.calibrate_payload import PayloadResult
    from hw_interface.trackers.calibration import CameraAnswer, HandEyeAnswer

OF_CAMERA = ("camera", "hand-eye")
Pattern = Literal["checkerboard", "charuco", "tags"]
LARGE_RESIDUAL_MM = 10.0  # a wrong mount or unit gives centimeters, a good calibration about 1 mm


@dataclass(frozen=True, kw_only=True)
class Calibrate(BoardOptions, CalibrationOptions):
    """Calibrate the tag tracker's camera, or an arm.

    `camera PATH`: its lens, from pictures of a board. `hand-eye PATH`: where it is, from pictures
    of a tagged object or a board, which the arm holds before a fixed camera, or which lies before
    a camera on the flange. Nothing moves; both print lines for the tracker's file.

    `latency`: how late an arm's joints follow, by small motions of each. `joints`: signs and zeros
    of an arm of servos, with you beside it. `payload`: mass and center of mass of what the flange
    carries, by standing in several postures. Before these three move an arm they say what will
    move; a real arm then waits for Enter.
    """

    pattern: Pattern | None = None
    """In the pictures: checkerboard (default for camera), charuco, or tags (default for
    hand-eye)."""
    mount: Mount | None = None
    """For hand-eye: fixed, or flange where the arm carries the camera. Default: as the tracker's
    file says."""
    tracker: OptionalPath = None
    """For hand-eye: the tracker's TOML file with the lens, and the tags if they are the pattern."""
    as_json: Json = False

    def run(
        self,
    ) -> "CameraAnswer | HandEyeAnswer | LatencyResult | JointsResult | PayloadResult | Incomplete":
        """Calibrate, and print the result with its residuals."""
        check_name(ARMS, self.arm)
        check_counts(repeats=self.repeats, postures=self.postures)
        self.check_names()
        if self.what not in OF_CAMERA:
            from adaptation.commands.calibrating_arm import calibrate_arm

            return calibrate_arm(self)
        if self.path is None:
            raise BadArgumentError(f"calibrate {self.what} needs a PATH")
        if self.what == "camera":
            return self._calibrate_camera(self.path)
        return self._calibrate_hand_eye(self.path)

    def _calibrate_camera(self, folder: Path) -> "CameraAnswer":
        if self.pattern == "tags":
            raise BadArgumentError("a lens is calibrated with a checkerboard or charuco, not tags")
        board = self.board_of(self.pattern or "checkerboard")
        if not folder.is_dir():
            raise BadArgumentError(f"{folder} is no folder of pictures")
        from hw_interface.trackers.calibration import calibrated_camera, toml_lines

        answer = calibrated_camera(folder, board)
        worst = max(answer.residuals, key=lambda name: answer.residuals[name])
        print(toml_lines(answer, ("width", "height", "matrix", "distortion")))
        used = counted(len(answer.residuals), "picture")
        print(f"\n{used} used, {len(answer.unused)} without the board")
        print(f"residual {answer.residual:.3f} pixels (RMS)")
        print(f"worst picture: {worst}, {answer.residuals[worst]:.3f} pixels")
        print(f"focal length: standard deviation {answer.focal_error:.2f} pixels")
        return answer

    def _calibrate_hand_eye(self, file: Path) -> "HandEyeAnswer":
        if self.arm is None or self.tracker is None:
            raise BadArgumentError("calibrate hand-eye needs --arm NAME and --tracker FILE")
        if self.pattern == "checkerboard":
            raise BadArgumentError("a checkerboard looks the same upside down: use charuco or tags")
        require_opencv()
        from hw_interface.trackers.calibration import calibrated_hand_eye, toml_lines

        board = self.board_of("charuco") if self.pattern == "charuco" else None
        arm = ARMS[self.arm]
        answer = calibrated_hand_eye(file, arm, self.tracker, self.mount, board)
        worst = max(answer.residuals_mm, key=lambda name: answer.residuals_mm[name])
        print(toml_lines(answer, ("mount", "position", "quaternion")))
        used = counted(len(answer.residuals_mm), "picture")
        print(f"\n{used} used, {len(answer.unused)} without the target")
        print(f"residual {answer.residual_mm:.2f} mm, {answer.residual_degrees:.3f} degrees (RMS)")
        print(f"worst picture: {worst}, {answer.residuals_mm[worst]:.2f} mm")
        print("standard deviation of the camera's pose that follows from the residuals:")
        print(f"  {answer.error_mm:.2f} mm, {answer.error_degrees:.3f} degrees")
        if answer.residual_mm > LARGE_RESIDUAL_MM:
            print(
                "pliant: warning: this residual is too large to use: check --mount, --arm, that q"
                " is in radians, and the sizes of the board or tags",
                file=sys.stderr,
            )
        return answer
