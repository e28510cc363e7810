"""Calibration of the tag tracker's camera: drawn pictures and made-up poses of known truth."""

import json
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from board_scene import DISTORTION, HEIGHT, MATRIX, WIDTH, checkerboard, draw
from tag_scene import DICTIONARY, picture_of, table, write_config

from adaptation.cli import main
from hw_interface.trackers.arm_pictures import position_and_quaternion, read_picture_list
from hw_interface.trackers.boards import SeenBoard
from hw_interface.trackers.camera_calibration import calibrate_camera
from hw_interface.trackers.checkerboard import Checkerboard
from hw_interface.trackers.fiducial_config import FiducialConfig, Mount
from hw_interface.trackers.fiducial_pose import Picture
from hw_interface.trackers.hand_eye import solve_hand_eye
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError
from robots.kinematics import Kinematics
from robots.rotations import angle_between, rotation_to_axis
from robots.signals import Array

BOARD = (7, 5)
SQUARE = 0.03  # m
PAINT = checkerboard(BOARD, SQUARE)


def write_boards(folder: Path, tilt: float, count: int = 10) -> None:
    for number in range(count):
        angle = 2 * np.pi * number / count
        turn = tilt * np.array([np.cos(angle), np.sin(angle), 0])
        place = np.array([-0.09 + 0.05 * np.cos(angle), -0.06 + 0.04 * np.sin(angle), 0.4])
        cv2.imwrite(str(folder / f"{number}.png"), draw(PAINT, cv2.Rodrigues(turn)[0], place))


def test_the_lens_is_found_with_its_distortion(tmp_path: Path) -> None:
    write_boards(tmp_path, tilt=0.5)
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    found = calibrate_camera(tmp_path, Checkerboard(BOARD, SQUARE))
    np.testing.assert_allclose(found.matrix, MATRIX, atol=2.0)
    assert found.residual < 0.2
    assert found.unused == ("empty.png",)
    assert len(found.residuals) == 10
    # what both lenses do to a point near the edge of the picture
    ray = np.array([[0.4, 0.3, 1.0]])
    still = np.zeros(3)
    true, _ = cv2.projectPoints(ray, still, still, MATRIX, DISTORTION)
    ours, _ = cv2.projectPoints(ray, still, still, found.matrix, found.distortion)
    np.testing.assert_allclose(ours, true, atol=1.0)


def test_boards_that_are_not_tilted_and_too_few_boards_are_refused(tmp_path: Path) -> None:
    picture = draw(PAINT, np.eye(3), np.array([-0.09, -0.06, 0.4]))
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    with pytest.raises(BadArgumentError, match="tilt it more"):
        calibrate_camera(tmp_path, Checkerboard(BOARD, SQUARE))
    (tmp_path / "0.png").unlink()
    with pytest.raises(BadArgumentError, match=r"in 7 of 7 pictures of .*; 8 are needed"):
        calibrate_camera(tmp_path, Checkerboard(BOARD, SQUARE))


class FarBoard:
    """A board 3 m away, tilted by 9 degrees to either side; corners are 0.3 pixels off."""

    description = "a board that is far away"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def find(self, picture: Picture) -> SeenBoard:
        x, y = np.meshgrid(np.arange(6), np.arange(4))
        points = SQUARE * np.stack([x.ravel(), y.ravel(), np.zeros(24)], axis=1)
        turn = np.append(self.rng.choice([-0.16, 0.16], 2), 0.0)
        place = np.array([*self.rng.uniform(-0.5, 0.5, 2), 3.0])
        seen, _ = cv2.projectPoints(points, turn, place, MATRIX, np.zeros(5))
        return SeenBoard(points, seen.reshape(-1, 2) + self.rng.normal(0, 0.3, (24, 2)))

    def advise(self, pictures: list[Picture]) -> str:
        return ""


def test_an_uncertain_focal_length_is_refused(tmp_path: Path) -> None:
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    message = r"the focal length is uncertain by .* take more pictures, with the board nearer"
    with pytest.raises(BadArgumentError, match=message):
        calibrate_camera(tmp_path, FarBoard())


def pose_of(turn: Array, position: Array) -> Array:
    pose = np.eye(4)
    pose[:3, :3], _ = cv2.Rodrigues(turn)
    pose[:3, 3] = position
    return pose


CAMERA = pose_of(np.array([2.0, 0.3, -0.4]), np.array([0.9, -0.4, 0.6]))
TARGET = pose_of(np.array([0.2, -0.5, 1.1]), np.array([0.01, 0.02, 0.08]))


MOUNTS: list[Mount] = ["fixed", "flange"]


def motions(
    rng: np.random.Generator, count: int, axes: Array, mount: Mount = "fixed"
) -> tuple[Array, Array]:
    """Poses of the flange, turned about the axes, and of the target in the camera's frame."""
    flanges = []
    for _ in range(count):
        turn = rng.uniform(-0.6, 0.6, 3) * axes
        flanges.append(pose_of(turn, np.array([0.5, 0, 0.4]) + rng.uniform(-0.1, 0.1, 3)))
    stacked = np.array(flanges)
    if mount == "fixed":  # base -> flange -> target is base -> camera -> target
        return stacked, np.linalg.inv(CAMERA) @ stacked @ TARGET
    return stacked, np.linalg.inv(stacked @ CAMERA) @ TARGET


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_camera_is_found_exactly_from_exact_poses(mount: Mount) -> None:
    flanges, targets = motions(np.random.default_rng(0), 6, np.ones(3), mount)
    found = solve_hand_eye(flanges, targets, mount)
    np.testing.assert_allclose(found.camera, CAMERA, atol=1e-6)
    np.testing.assert_allclose(found.target, TARGET, atol=1e-6)
    assert found.position_residual < 1e-6


def test_a_camera_that_is_not_mounted_as_it_is_said_to_be_has_large_residuals() -> None:
    flanges, targets = motions(np.random.default_rng(0), 8, np.ones(3), "flange")
    assert solve_hand_eye(flanges, targets, "fixed").position_residual > 0.02


@pytest.mark.parametrize("mount", MOUNTS)
def test_residuals_and_the_error_of_the_camera_are_as_large_as_the_noise_makes_them(
    mount: Mount,
) -> None:
    rng = np.random.default_rng(1)
    noise = np.array([1e-2, 1e-2, 1e-2, 1e-3, 1e-3, 1e-3])  # rad, m: the lever makes them equal
    errors = []
    told = []
    for _ in range(20):
        flanges, targets = motions(rng, 12, np.ones(3), mount)
        for number, seen in enumerate(targets):
            drawn = rng.normal(0, noise)
            targets[number] = seen @ pose_of(drawn[:3], drawn[3:])
        found = solve_hand_eye(flanges, targets, mount)
        errors.append(np.sum((found.camera[:3, 3] - CAMERA[:3, 3]) ** 2))
        told.append(found.camera_position_error**2)
        assert 0.5e-3 * 3**0.5 < found.position_residual < 1.3e-3 * 3**0.5
    assert 0.5 < np.mean(errors) / np.mean(told) < 2.0


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize(
    ("count", "axes", "message"),
    [
        (5, [1, 1, 1], "needs 6 pictures, got 5"),
        (9, [0, 0, 1], "turn the wrist about two axes"),
        (9, [0, 0, 0], "turn the wrist about two axes"),
    ],
)
def test_too_few_and_degenerate_motions_are_refused(
    count: int, axes: list[float], message: str, mount: Mount
) -> None:
    flanges, targets = motions(np.random.default_rng(2), count, np.array(axes), mount)
    with pytest.raises(BadArgumentError, match=message):
        solve_hand_eye(flanges, targets, mount)


# Rad, around the Panda's home: the tool turns about two axes and stays in the picture.
OFFSETS = 0.12 * np.array(
    [
        [0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 3],
        [0, 1, 0, 1, 0, 0, -3],
        [0, 0, 1, 0, 2, 0, 1],
        [0, 0, 0, 0, -2, 2, 0],
        [-1, 0, 0, 1, 0, -2, 2],
        [0, -1, 0, 0, 2, 2, -2],
        [1, 1, 0, 1, -2, -2, 0],
    ]
)


def camera_in_front_of(place: Array) -> Array:
    """A camera 0.5 m from a place of the base frame, that looks at it from its front and below."""
    forward = np.array([-0.4, 0.1, 0.9])
    pose = rotation_to_axis(forward)
    pose[:3, 3] = place - 0.5 * forward / np.linalg.norm(forward)
    return pose


def test_hand_eye_by_its_command_from_drawn_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The tags are on a plate under the Panda's flange, seen from below."""
    kinematics = Kinematics(PANDA)
    joints = PANDA.home + OFFSETS
    positions, quaternions = kinematics.forward(joints)
    camera = camera_in_front_of(positions[0])
    place, quaternion = position_and_quaternion(camera)
    tags = [
        {"id": 3, "size": 0.05, "position": [-0.04, 0, 0]},
        {"id": 4, "size": 0.05, "position": [0.04, 0, 0]},
    ]
    there = table()["camera"] | {"position": place, "quaternion": quaternion}
    config = msgspec.convert(
        {"camera": there, "tag": tags, "dictionary": DICTIONARY}, FiducialConfig
    )

    lines = []
    for number, (q, pos, quat) in enumerate(zip(joints, positions, quaternions, strict=True)):
        picture = picture_of(config, pos, quat)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        lines += ["[[pose]]", f'picture = "{number}.png"', f"q = {q.tolist()}"]
    poses = tmp_path / "poses.toml"
    poses.write_text("\n".join(lines))
    tracker = write_config(tmp_path, tag=tags)  # whose camera stands elsewhere

    words = ["calibrate", "hand-eye", str(poses), "--arm", "panda", "--tracker", str(tracker)]
    assert main([*words, "--json"]) == 0
    answer = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert len(answer["residuals_mm"]) == len(joints)
    assert answer["residual_mm"] < 0.5
    np.testing.assert_allclose(answer["position"], place, atol=2e-3)
    assert angle_between(np.array(answer["quaternion"]), np.array(quaternion)) < 5e-3


def test_a_list_of_pictures_that_does_not_fit_the_arm_is_refused(tmp_path: Path) -> None:
    poses = tmp_path / "poses.toml"
    poses.write_text('[[pose]]\npicture = "a.png"\nq = [0.0, 1.0]')
    with pytest.raises(BadArgumentError, match=r"a\.png: panda has 7 joints"):
        read_picture_list(poses, PANDA)
    with pytest.raises(BadArgumentError, match="there is no file"):
        read_picture_list(tmp_path / "none.toml", PANDA)
