"""The tag tracker: poses against the truth of drawn pictures, jumps, dropouts, its own process."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tag_scene import (
    HEIGHT,
    SIDE,
    TOP,
    WIDTH,
    config_of,
    picture_of,
    project,
    random_pose,
    solver_of,
    spoil,
    table,
    write_config,
)

from hw_interface.control.first_reading import read_object
from hw_interface.trackers import TRACKERS
from hw_interface.trackers.fiducial import Fiducial, FiducialOptions
from hw_interface.trackers.fiducial_config import (
    LimitsEntry,
    read_fiducial_config,
    rotation_of,
    tag_corners,
)
from hw_interface.trackers.fiducial_pose import ObjectPose, TagDetector
from hw_interface.trackers.fiducial_source import open_frames
from hw_interface.trackers.pose_track import Track
from robots.catalog.panda import PANDA
from robots.errors import BadArgumentError, MissingExtraError
from robots.rotations import angle_between
from robots.signals import Array

UPRIGHT = np.array([1.0, 0, 0, 0])
PLACE = np.array([0.5, 0.0, 0.03])  # below the camera
RATE = 25.0  # Hz, of the videos


def corners_at(config: Any, pos: Array, quat: Array, noise: Array) -> dict[int, Array]:
    """The corners of all tags, with noise (tags, 4, 2) in pixels."""
    seen = {}
    for number, tag in enumerate(config.tag):
        seen[tag.id] = project(config, tag_corners(tag), pos, quat) + noise[number]
    return seen


def test_drawn_tags_are_measured_to_a_millimeter_and_a_degree() -> None:
    config = config_of()
    detect = TagDetector(config.dictionary)
    solve = solver_of(config)
    rng = np.random.default_rng(0)
    distances = []
    angles = []
    for _ in range(20):
        pos, quat = random_pose(rng)
        picture = spoil(picture_of(config, pos, quat), rng, blur=0.7, noise=3.0)
        pose = solve(detect(picture))
        assert pose is not None
        distances.append(np.linalg.norm(pose.pos - pos))
        angles.append(angle_between(pose.quat, quat))
    assert np.median(distances) < 0.3e-3
    assert np.max(distances) < 1e-3
    assert np.degrees(np.max(angles)) < 0.5


def test_a_lens_with_distortion_changes_nothing_once_it_is_known() -> None:
    """The corners are distorted by the formula of the model, apart from OpenCV's own."""
    camera = table()["camera"] | {"distortion": [-0.2, 0.05, 0.001, -0.002, 0.0]}
    config = config_of(camera=camera)
    k1, k2, p1, p2, _ = camera["distortion"]
    pos, quat = random_pose(np.random.default_rng(3))
    focal = 900.0
    center = np.array([479.5, 359.5])
    seen = {}
    for tag in config.tag:
        x, y = ((project(config, tag_corners(tag), pos, quat) - center) / focal).T
        r2 = x**2 + y**2
        radial = 1 + k1 * r2 + k2 * r2**2
        distorted_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
        distorted_y = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
        seen[tag.id] = focal * np.stack([distorted_x, distorted_y], -1) + center
    pose = solver_of(config)(seen)
    assert pose is not None
    np.testing.assert_allclose(pose.pos, pos, atol=1e-7)
    assert angle_between(pose.quat, quat) < 1e-6


@pytest.mark.parametrize("tags", [[TOP[0]], TOP, [*TOP, SIDE]])
def test_errors_are_as_large_as_the_covariance_says(tags: list[dict[str, Any]]) -> None:
    """The squared error in units of the covariance is 6 on average, for 6 numbers.

    One tag has 2 redundant numbers only: the noise, which is never taken as smaller than
    configured, is then overestimated, on average by 1.4.
    """
    noise = 0.1
    config = config_of(tag=tags)
    solve = solver_of(config)
    rng = np.random.default_rng(1)
    quat = random_pose(rng)[1]
    squares = []
    for _ in range(200):
        shape = (len(tags), 4, 2)
        pose = solve(corners_at(config, PLACE, quat, rng.normal(0, noise, shape)), quat)
        assert pose is not None
        turn, _ = cv2.Rodrigues(rotation_of(pose.quat) @ rotation_of(quat).T)
        error = np.concatenate([pose.pos - PLACE, turn.ravel()])
        squares.append(error @ np.linalg.solve(pose.covariance, error))
    assert 3.0 < np.mean(squares) < 9.0


def test_two_tags_beat_one() -> None:
    rng = np.random.default_rng(2)
    quat = random_pose(rng)[1]
    errors = []
    for tags in ([TOP[0]], TOP):
        config = config_of(tag=tags)
        solve = solver_of(config)
        squares = []
        for _ in range(60):
            noise = rng.normal(0, 0.1, (len(tags), 4, 2))
            pose = solve(corners_at(config, PLACE, quat, noise), quat)
            assert pose is not None
            squares.append(((pose.pos - PLACE) ** 2).sum())
        errors.append(np.mean(squares))
    assert errors[1] < 0.7 * errors[0]


def test_a_tag_seen_from_its_edge_is_used_only_where_it_is_the_only_one() -> None:
    """Its corners are not exact: here they are 1 pixel off, which would move the others' pose."""
    config = config_of()
    tilted = np.array([np.cos(0.05), -np.sin(0.05), 0, 0])  # the side is seen at an angle of 6°
    seen = corners_at(config, PLACE, tilted, np.zeros((3, 4, 2)))
    seen[5] = seen[5] + 1.0
    pose = solver_of(config)(seen)
    assert pose is not None
    assert pose.tags == 2
    np.testing.assert_allclose(pose.pos, PLACE, atol=1e-6)
    alone = solver_of(config)({5: seen[5]}, tilted)
    assert alone is not None
    assert alone.covariance[0, 0] > 10 * pose.covariance[0, 0]


def test_a_flat_tag_that_may_be_tilted_either_way_is_refused_without_a_last_pose() -> None:
    far = np.array([0.5, 0.0, -2.0])  # 2.7 m from the camera: the tag has 13 pixels
    tilted = np.array([np.cos(0.15), np.sin(0.15), 0, 0])
    config = config_of(tag=[TOP[0] | {"position": [0, 0, 0]}])
    solve = solver_of(config)
    seen = corners_at(config, far, tilted, np.zeros((1, 4, 2)))
    assert solve(seen) is None
    pose = solve(seen, tilted)
    assert pose is not None
    assert angle_between(pose.quat, tilted) < 0.01


def test_tags_that_do_not_fit_together_give_no_pose() -> None:
    """One of them has come off, or the file has a wrong size."""
    config = config_of()
    seen = corners_at(config, PLACE, UPRIGHT, np.zeros((3, 4, 2)))
    seen[3] = seen[3] + 15.0
    assert solver_of(config)(seen) is None


def test_an_id_that_is_seen_twice_is_left_out() -> None:
    config = config_of(tag=TOP)
    picture = picture_of(config, PLACE, UPRIGHT)
    twice = np.concatenate([picture, picture])
    assert set(TagDetector(config.dictionary)(picture)) == {3, 4}
    assert TagDetector(config.dictionary)(twice) == {}


def pose_at(x: float) -> ObjectPose:
    return ObjectPose(np.array([x, 0.0, 0.0]), UPRIGHT, 1e-8 * np.eye(6), 0.1, 2)


def test_a_jump_is_refused_until_it_is_confirmed() -> None:
    track = Track(LimitsEntry(speed=1.0, jump=0.01, confirmations=3))
    published = []
    places = [0.0, 0.0, 0.3, 0.0, 0.3, 0.3, 0.3, 0.3]
    for number, x in enumerate(places):
        state = track.take(number / RATE, pose_at(x))
        published.append(None if state is None else float(state.pos[0]))
    # one wild pose is never seen; three that agree are believed, and the next has a velocity
    assert published == [None, 0.0, None, 0.0, None, None, None, 0.3]
    assert track.refused == 4


def test_wild_poses_that_disagree_confirm_nothing() -> None:
    track = Track(LimitsEntry(speed=1.0, jump=0.01, confirmations=3))
    track.take(0.0, pose_at(0.0))
    for number, x in enumerate([0.3, -0.4, 0.9, -0.8, 0.5, -0.3]):
        assert track.take((number + 1) / RATE, pose_at(x)) is None


def test_the_velocity_is_that_of_the_poses_and_is_not_carried_over_a_gap() -> None:
    track = Track(LimitsEntry())
    velocity = np.array([0.3, -0.2, 0.1])
    rate = 2.0  # rad/s about z
    state = None
    for number in range(5):
        stamp = number / RATE
        angle = rate * stamp
        quat = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
        pose = replace(pose_at(0.0), pos=velocity * stamp, quat=quat)
        state = track.take(stamp, pose)
    assert state is not None
    np.testing.assert_allclose(state.vel, [*velocity, 0, 0, rate], atol=1e-9)
    assert track.take(stamp + 1.0, pose) is None  # alone in its window
    assert track.take(stamp + 1.0, pose) is None  # the same frame again


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tag": []}, "no \\[\\[tag\\]\\]"),
        ({"tag": [TOP[0], TOP[0]]}, "tag 3 occurs twice"),
        ({"tag": [TOP[0] | {"size": -1.0}]}, "size"),
        ({"tag": [TOP[0] | {"quaternion": [1, 1, 0, 0]}]}, "tag 3: the length of its quaternion"),
        ({"dictionary": "DICT_MINE"}, "dictionary"),
        ({"speling": 1}, "speling"),
        ({"camera": table()["camera"] | {"distortion": [0.1]}}, "distortion has"),
        ({"camera": table()["camera"] | {"position": [0, 0, float("nan")]}}, "finite"),
        (
            {"camera": table()["camera"] | {"matrix": [[0, 0, 5], [0, 9, 5], [0, 0, 1]]}},
            "fx and fy above 0",
        ),
        ({"camera": table()["camera"] | {"width": 100}}, "is outside a picture of 100x720"),
    ],
)
def test_a_wrong_file_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = write_config(tmp_path, **changes)
    with pytest.raises(BadArgumentError, match=message) as error:
        read_fiducial_config(str(file))
    assert str(file) in str(error.value)


def write_video(file: Path, pictures: list[Any]) -> None:
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    video = cv2.VideoWriter(str(file), codec, RATE, (WIDTH, HEIGHT))
    for picture in pictures:
        video.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    video.release()


@pytest.fixture
def tracker(tmp_path: Path) -> Iterator[Fiducial]:
    """Of pictures in which the object stands for 2 s, then is hidden for 60 s."""
    config = config_of(tag=TOP)
    shown = picture_of(config, PLACE, UPRIGHT)
    hidden = picture_of(config, PLACE, UPRIGHT, hidden=(3, 4))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(tmp_path / "shown.png"), shown)
    cv2.imwrite(str(tmp_path / "hidden.png"), hidden)
    for number in range(round(62 * RATE)):
        name = "shown.png" if number < 2 * RATE else "hidden.png"
        os.link(tmp_path / name, pictures / f"{number:04}.png")
    camera = table()["camera"] | {"source": str(pictures), "rate": RATE}
    file = write_config(tmp_path, tag=TOP, camera=camera)
    kind = TRACKERS["fiducial"]
    tracker = kind(PANDA, kind.Options(config=str(file)))
    yield tracker
    tracker.close()


def read_until_old(tracker: Fiducial, age: float) -> list[tuple[Array, float]]:
    """Readings as the control process takes them, (13,) and stamp, until a pose is so old, s."""
    readings = []
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        state, stamp, _ = read_object(tracker)
        readings.append((state, stamp))
        if time.monotonic() - stamp > age:  # False before the first pose, whose stamp is NaN
            break
        time.sleep(0.002)
    return readings


def test_in_a_process_of_its_own_it_measures_and_a_dropout_leaves_the_stamp_old(
    tracker: Fiducial,
) -> None:
    readings = read_until_old(tracker, age=1.0)
    seen = [(state, stamp) for state, stamp in readings if not np.isnan(stamp)]
    assert seen, "no pose came"
    for state, _ in seen:
        np.testing.assert_allclose(state[:3], PLACE, atol=1e-3)
        assert angle_between(state[3:7], UPRIGHT) < 0.01
    state, stamp = readings[-1]
    assert np.isfinite(state).all()  # while it is hidden, the last pose comes again
    _, stamp, age = read_object(tracker)
    assert 1.0 < age <= time.monotonic() - stamp  # counted from its picture
    assert tracker.quality is not None
    assert tracker.quality.tags == 2
    assert np.linalg.eigvalsh(tracker.quality.covariance).min() > 0


def test_a_process_that_dies_is_a_lost_tracker(tracker: Fiducial) -> None:
    os.kill(tracker.pid, signal.SIGKILL)
    tracker._process.wait()
    with pytest.raises(OSError, match="process has ended"):
        tracker.read()
    state, stamp, _ = read_object(tracker)
    assert np.isnan(state).all()
    assert np.isnan(stamp)


def test_a_video_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    camera = table()["camera"] | {"source": str(tmp_path / "none.avi")}
    file = write_config(tmp_path, camera=camera)
    with pytest.raises(OSError, match=r"none\.avi is neither a video"):
        Fiducial(PANDA, FiducialOptions(str(file)))


def test_pictures_of_another_size_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((48, 64), dtype=np.uint8))
    entry = config_of(camera=table()["camera"] | {"source": str(tmp_path)}).camera
    with pytest.raises(OSError, match="64x48, and the camera was calibrated at 960x720"):
        next(open_frames(entry))


def test_a_folder_and_a_video_give_the_times_of_their_pictures(tmp_path: Path) -> None:
    picture = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    write_video(tmp_path / "video.avi", [picture] * 4)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    for source in (tmp_path / "video.avi", folder):
        camera = table()["camera"] | {"source": str(source), "rate": RATE}
        stamps = [stamp for stamp, _ in open_frames(config_of(camera=camera).camera, paced=False)]
        np.testing.assert_allclose(np.diff(stamps), 1 / RATE, atol=1e-6)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if "trackers.fiducial" in name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pip install '/path/to/pliant\[eyes\]'"):
        TRACKERS["fiducial"]
