"""ChArUco boards: printed at their size, and a lens calibrated with pictures of parts of them."""

import json
import re
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from board_scene import DISTORTION, HEIGHT, MATRIX, WIDTH, draw, printed
from PIL import Image
from tag_scene import config_of, write_config

from adaptation.cli import main
from hw_interface.trackers.camera_calibration import calibrate_camera
from hw_interface.trackers.charuco import CharucoBoard
from hw_interface.trackers.fiducial_config import FiducialConfig
from hw_interface.trackers.fiducial_pose import TagDetector
from hw_interface.trackers.flange_kinematics import FlangeKinematics
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.rotations import angle_between, quaternion_from_matrix, rotation_about, transform
from robots.signals import Array

BOARD = CharucoBoard((7, 5), 0.03, 0.022, "DICT_5X5_50")
MIDDLE = np.array([3.5, 2.5, 0]) * BOARD.square
POINTS_PER_MM = 72 / 25.4


def opencv_board(dictionary: int) -> cv2.aruco.CharucoBoard:
    family = cv2.aruco.getPredefinedDictionary(dictionary)
    return cv2.aruco.CharucoBoard(BOARD.squares, BOARD.square, BOARD.marker, family)


PAINT = printed(opencv_board(cv2.aruco.DICT_5X5_50))


def picture(turn: Array, middle: Array, paint: Any = PAINT) -> Any:
    """The board, turned, with its middle at a place in the camera's frame."""
    rotation, _ = cv2.Rodrigues(turn)
    return draw(paint, rotation, middle - rotation @ MIDDLE)


@pytest.fixture(scope="module")
def tilted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the board tilted to every side, of which each shows a part only."""
    folder = tmp_path_factory.mktemp("tilted")
    for number in range(9):
        angle = 2 * np.pi * number / 9
        direction = np.array([np.cos(angle), np.sin(angle), 0])
        turn = 0.5 * np.array([-direction[1], direction[0], 0])
        seen = picture(turn, 0.09 * direction + np.array([0, 0, 0.3]))
        cv2.imwrite(str(folder / f"{number}.png"), seen)
    return folder


def test_a_lens_is_found_from_parts_of_a_board(tilted: Path) -> None:
    for file in tilted.iterdir():
        seen = BOARD.find(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
        assert seen is not None
        assert len(seen.points) < 24, "the whole board is in the picture"

    found = calibrate_camera(tilted, BOARD)
    assert len(found.residuals) == 9
    assert found.residual < 0.3
    np.testing.assert_allclose(found.matrix, MATRIX, atol=6.0)
    # what both lenses do to points around the middle of the picture
    rays = np.array([[0.2, 0.15, 1.0], [-0.2, 0.15, 1.0], [-0.2, -0.15, 1.0], [0.2, -0.15, 1.0]])
    still = np.zeros(3)
    true, _ = cv2.projectPoints(rays, still, still, MATRIX, DISTORTION)
    ours, _ = cv2.projectPoints(rays, still, still, found.matrix, found.distortion)
    np.testing.assert_allclose(np.ptp(ours, axis=0), np.ptp(true, axis=0), rtol=0.01)
    np.testing.assert_allclose(ours, true, atol=8.0)


@pytest.mark.parametrize(
    ("board", "advice"),
    [
        (CharucoBoard((7, 5), 0.03, 0.022, "DICT_4X4_50"), "are of --dictionary DICT_5X5_50"),
        (CharucoBoard((5, 7), 0.03, 0.022, "DICT_5X5_50"), "check --board, which counts squares"),
    ],
)
def test_another_board_than_the_one_in_the_pictures_is_refused_with_what_to_do(
    tilted: Path, board: CharucoBoard, advice: str
) -> None:
    with pytest.raises(BadArgumentError, match=f"in 0 of 9 pictures .*{advice}"):
        calibrate_camera(tilted, board)


def test_pictures_without_a_board_or_with_too_little_of_it_are_refused(tmp_path: Path) -> None:
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((HEIGHT, WIDTH), 90, dtype=np.uint8))
    with pytest.raises(BadArgumentError, match="no marker is seen"):
        calibrate_camera(tmp_path, BOARD)

    corner = picture(np.zeros(3), np.array([0.2, 0.14, 0.4]))  # the other corners are outside
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), corner)
    with pytest.raises(BadArgumentError, match=r"too few corners .*show more of the board"):
        calibrate_camera(tmp_path, BOARD)


def test_corners_on_one_line_are_too_few() -> None:
    """One row of inner corners says nothing about the tilt about it."""
    wide = CharucoBoard((13, 3), 0.015, 0.011, "DICT_5X5_50")
    paint = printed(wide.opencv)
    two_rows_of_squares = 1.95 * wide.square

    def paint_one_row(x: Array, y: Array) -> Any:
        return np.where(y < two_rows_of_squares, paint(x, y), 255)

    middle = np.array([6.5, 1.0, 0]) * wide.square
    row = draw(paint_one_row, np.eye(3), np.array([0, 0, 0.25]) - middle)
    corners, _, _, _ = cv2.aruco.CharucoDetector(wide.opencv).detectBoard(row)
    assert corners is not None
    assert len(corners) >= 8, "OpenCV does not see the row"
    assert wide.find(row) is None


def test_pictures_from_the_same_side_are_refused(tmp_path: Path) -> None:
    same = picture(np.array([0.05, 0, 0]), np.array([0, 0, 0.35]))
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), same)
    with pytest.raises(BadArgumentError, match="tilt it more, to every side"):
        calibrate_camera(tmp_path, BOARD)


def test_a_printed_board_is_found_by_opencv_at_its_size_in_millimeters(tmp_path: Path) -> None:
    file = tmp_path / "board.png"
    words = "--board 7x5 --square 0.03 --marker 0.022"
    assert main(["board", "charuco", "--out", str(file), *words.split()]) == 0
    image = Image.open(file)
    dots_per_inch = image.info["dpi"][0]
    corners, ids, _, markers = cv2.aruco.CharucoDetector(
        opencv_board(cv2.aruco.DICT_5X5_50)
    ).detectBoard(np.asarray(image.convert("L")))
    assert len(ids) == 6 * 4
    assert len(markers) == 17
    extent = np.ptp(corners.reshape(-1, 2), axis=0) * 25.4 / dots_per_inch
    np.testing.assert_allclose(extent, [5 * 30, 3 * 30], atol=0.05)


def test_a_printed_tag_is_the_one_that_the_tracker_looks_for(tmp_path: Path) -> None:
    file = tmp_path / "tag.png"
    words = "--id 7 --marker 0.04 --paper A3"
    assert main(["board", "tag", "--out", str(file), *words.split()]) == 0
    found = TagDetector(FiducialConfig(config_of().camera, ()).dictionary)(
        np.asarray(Image.open(file).convert("L"))
    )
    assert set(found) == {7}
    upper_left, upper_right, lower_right, _ = found[7] * 25.4 / 300
    np.testing.assert_allclose(upper_right - upper_left, [40, 0], atol=0.1)
    np.testing.assert_allclose(lower_right - upper_right, [0, 40], atol=0.1)


NUMBER = r"(-?[\d.]+)"
SVG_PAGE = f'width="{NUMBER}pt" height="{NUMBER}pt"'
SVG_POINT = f"[ML] {NUMBER} {NUMBER}"
PDF_PAGE = rf"MediaBox \[ 0 0 {NUMBER} {NUMBER} \]"
PDF_POINT = rf"{NUMBER} {NUMBER} [ml]\n"


def largest_outline(file: Path) -> tuple[Array, list[float]]:
    """The points (k, 2) of the longest outline in a drawing, and the two sides of its page, mm."""
    data = file.read_bytes().decode("latin-1")
    if file.suffix == ".svg":
        outlines = re.findall(r' d="([^"]*)"', data)
        point, page = SVG_POINT, SVG_PAGE
    else:
        content = "".join(inflate(stream) for stream in PDF_STREAM.findall(file.read_bytes()))
        outlines = re.findall(r"(?:[-\d. ]+ [ml]\n|h\n)+", content)
        point, page = PDF_POINT, PDF_PAGE
    longest = re.findall(point, max(outlines, key=len))
    found = re.search(page, data)
    assert found is not None
    points = np.array(longest, dtype=np.float64)
    return points / POINTS_PER_MM, [float(side) / POINTS_PER_MM for side in found.groups()]


PDF_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)


def inflate(stream: bytes) -> str:
    """A stream of a PDF file; empty if it is no text."""
    try:
        return zlib.decompress(stream).decode("latin-1")
    except zlib.error:
        return ""


@pytest.mark.parametrize("ending", ["svg", "pdf"])
@pytest.mark.parametrize(("kind", "squares"), [("charuco", (8, 6)), ("checkerboard", (9, 7))])
def test_drawings_are_as_large_as_the_board_on_their_paper(
    tmp_path: Path, ending: str, kind: str, squares: tuple[int, int]
) -> None:
    file = tmp_path / f"board.{ending}"
    words = "--board 8x6 --square 0.02 --marker 0.015 --paper letter"
    assert main(["board", kind, "--out", str(file), *words.split()]) == 0
    points, page = largest_outline(file)
    np.testing.assert_allclose(sorted(page), [215.9, 279.4], atol=0.1)
    extent = np.ptp(points, axis=0)
    np.testing.assert_allclose(extent, 20.0 * np.array(squares), atol=0.05)


ON_FLANGE = transform(rotation_about(np.array([0.0, 0, 1]), 0.4), np.array([0.06, -0.02, 0.05]))
ON_TABLE = transform(rotation_about(np.array([1.0, 0, 0]), np.pi), np.array([0.4, 0.1, 0.06]))
OVER_THE_TABLE = np.array([0.0, -0.3, 0.0, -2.2, 0.0, 1.9, 0.8])  # rad
# rad: the flange turns about two axes, and the board stays in the picture in part
OFFSETS = 0.1 * np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 2, 0, 3],
        [0, 0, 0, 0, 0, 2, -3],
        [1, 0, 0, 0, -2, 0, 0],
        [0, 1, 0, 0, 0, -2, 1],
        [-1, 0, 1, 1, 0, 2, 2],
        [0, -1, 0, 0, 2, 2, -2],
    ]
)
LENS = {
    "source": 0,
    "width": WIDTH,
    "height": HEIGHT,
    "matrix": MATRIX.tolist(),
    "distortion": DISTORTION.tolist(),
    "position": [0.0, 0.0, 0.0],
    "quaternion": [1.0, 0.0, 0.0, 0.0],
}


@pytest.fixture(scope="module")
def over_the_table(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that calibrate a camera on the Panda's flange, with pictures of a board on a table."""
    folder = tmp_path_factory.mktemp("table")
    flange = FlangeKinematics(PANDA)
    lines = []
    for number, offset in enumerate(OFFSETS):
        q = OVER_THE_TABLE + offset
        in_camera = np.linalg.inv(flange(q) @ ON_FLANGE) @ ON_TABLE
        seen = draw(PAINT, in_camera[:3, :3], in_camera[:3, 3])
        cv2.imwrite(str(folder / f"{number}.png"), seen)
        lines += ["[[pose]]", f'picture = "{number}.png"', f"q = {q.tolist()}"]
    (folder / "poses.toml").write_text("\n".join(lines))
    tracker = write_config(folder, camera=LENS, tag=[])
    words = ["calibrate", "hand-eye", str(folder / "poses.toml"), "--arm", "panda"]
    return [*words, "--tracker", str(tracker), "--json"]


BOARD_WORDS = ["--pattern", "charuco", "--board", "7x5", "--square", "0.03", "--marker", "0.022"]


def test_a_camera_on_the_flange_is_found_and_a_wrong_mount_is_warned_of(
    over_the_table: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*over_the_table, *BOARD_WORDS, "--mount", "flange"]) == 0
    out, err = capfd.readouterr()
    answer = json.loads(out.splitlines()[-1])
    assert answer["mount"] == "flange"
    assert len(answer["residuals_mm"]) == len(OFFSETS)
    assert answer["residual_mm"] < 1.0
    np.testing.assert_allclose(answer["position"], ON_FLANGE[:3, 3], atol=2.5e-3)
    true = quaternion_from_matrix(ON_FLANGE[None, :3, :3])[0]
    assert angle_between(np.array(answer["quaternion"]), true) < 5e-3

    assert "warning" not in err
    assert main([*over_the_table, *BOARD_WORDS, "--mount", "fixed"]) == 0
    assert "too large to use: check --mount" in capfd.readouterr().err


def test_pictures_of_another_size_than_the_lens_are_refused(
    over_the_table: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = write_config(tmp_path, camera=LENS | {"width": 2 * WIDTH, "height": 2 * HEIGHT})
    words = [str(other) if word.endswith("eyes.toml") else word for word in over_the_table]
    assert main([*words, *BOARD_WORDS]) == 1
    assert "0.png is a picture of 640x480, and the camera was" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pattern", "checkerboard"], "a checkerboard looks the same upside down"),
        ([], "no [[tag]] is on the object"),
        (
            [*BOARD_WORDS, "--dictionary", "DICT_6X6_50"],
            "in 0 of 7 pictures; 6 are needed: the markers in the pictures are of --dictionary",
        ),
    ],
)
def test_a_hand_eye_calibration_with_another_pattern_says_what_to_do(
    over_the_table: list[str],
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    assert main([*over_the_table, *words]) == 2
    assert message in capfd.readouterr().err


def test_tags_that_no_picture_shows_are_named(
    over_the_table: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tagged = write_config(tmp_path, camera=LENS)
    words = [str(tagged) if word.endswith("eyes.toml") else word for word in over_the_table]
    assert main(words) == 2
    message = "in 0 of 7 pictures; 6 are needed: check dictionary, ids and sizes of the tags"
    assert message in capfd.readouterr().err
