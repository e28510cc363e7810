"""A camera on the arm's flange: what it sees is placed by where the arm was at that moment.

MuJoCo moves the links and renders the pictures; it shares nothing with the tracker's kinematics but
the arm's URDF.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from fake import FakeTracker, Rig, replaced

from benchmarks.tag_studio import (
    AIM,
    OVER_THE_BOX,
    WristStudio,
    wrist_table,
    write_config,
)
from hw_interface.trackers.camera_mount import mounted_camera
from hw_interface.trackers.fiducial import Fiducial, FiducialOptions
from hw_interface.trackers.fiducial_config import FiducialConfig
from hw_interface.trackers.fiducial_process import Sighting, track
from hw_interface.trackers.fiducial_source import open_frames
from hw_interface.trackers.flange_history import GAP, KEPT, FlangeHistory, FlangePose
from hw_interface.trackers.flange_kinematics import FlangeKinematics
from robots.catalog.panda import PANDA
from robots.driver import NeedsJoints
from robots.rotations import angle_between, quaternion_from_matrix
from robots.signals import Array

WIDTH, HEIGHT = 480, 360
UPRIGHT = np.array([1.0, 0, 0, 0])
STATE_RATE = 100.0  # Hz, of the arm's states
PICTURE_RATE = 20.0  # Hz
DELAY = 0.04  # s, from exposure to arrival


@pytest.fixture(scope="module")
def studio() -> Iterator[WristStudio]:
    studio = WristStudio(WIDTH, HEIGHT)
    yield studio
    studio.renderer.close()


@pytest.fixture(scope="module")
def swing(studio: WristStudio) -> list[tuple[float, Any]]:
    """Pictures of the moving arm with the times of their exposures."""
    stamps = 0.1 + np.arange(16) / PICTURE_RATE
    return [(float(stamp), studio.photograph(joints_at(stamp))) for stamp in stamps]


def joints_at(stamp: float) -> Array:
    """The arm swings at up to 0.6 rad/s in its base and its wrist."""
    swung = 0.12 * np.sin(5.0 * stamp)
    return OVER_THE_BOX + swung * np.array([1, 0.5, 0, 0, 0, -1, 1])


def config_of(delay: float = 0.0) -> FiducialConfig:
    table = wrist_table(WIDTH, HEIGHT)
    table["camera"]["delay"] = delay
    return msgspec.convert(table, FiducialConfig)


FLANGE = FlangeKinematics(PANDA)


def flange_at(q: Array, stamp: float) -> FlangePose:
    pose = FLANGE(q)
    return FlangePose(stamp, pose[:3, 3], quaternion_from_matrix(pose[None, :3, :3])[0])


def measured_swing(since: float = 0.0, until: float = 1.2) -> FlangeHistory:
    """The arm's poses as it reports them."""
    history = FlangeHistory()
    for stamp in np.arange(since, until, 1 / STATE_RATE):
        history.add(flange_at(joints_at(stamp), float(stamp)))
    return history


def see(
    swing: list[tuple[float, Any]], history: FlangeHistory, delay: float, told: float
) -> list[Sighting]:
    """What the tracker makes of pictures that arrive ``delay`` s late, and is ``told`` about it."""
    config = config_of(told)
    frames = ((stamp + delay - told, picture) for stamp, picture in swing)
    return list(track(config, frames, mounted_camera(config.camera, history)))


def errors_of(sightings: list[Sighting]) -> tuple[Array, Array]:
    """Distances in m and angles in rad from where the box is, of what was measured."""
    poses = [sighting.pose for sighting in sightings if sighting.pose is not None]
    distances = [np.linalg.norm(pose.pos - AIM) for pose in poses]
    return np.array(distances), np.array([angle_between(pose.quat, UPRIGHT) for pose in poses])


def test_an_object_that_stands_still_is_where_it_is_while_the_arm_moves(
    swing: list[tuple[float, Any]],
) -> None:
    """Pictures that arrive late are placed by where the arm was when they were taken."""
    sightings = see(swing, measured_swing(), DELAY, told=DELAY)
    distances, angles = errors_of(sightings)
    assert len(distances) == len(swing)
    assert distances.max() < 0.5e-3
    assert np.degrees(angles.max()) < 0.5
    published = [sighting.published for sighting in sightings if sighting.published is not None]
    assert len(published) == len(swing) - 1
    speeds = [np.linalg.norm(state.vel[:3]) for state in published]
    assert max(speeds) < 0.01

    # the same pictures, placed by where the arm was when they arrived
    misplaced, _ = errors_of(see(swing, measured_swing(), DELAY, told=0.0))
    assert misplaced.max() > 5e-3


def test_without_the_poses_of_an_arm_nothing_is_measured(swing: list[tuple[float, Any]]) -> None:
    first = swing[:3]
    before = measured_swing(until=first[0][0] - 0.02)  # the arm has fallen silent
    after = measured_swing(since=first[-1][0] + 0.02)  # it was not measured yet
    for history in (FlangeHistory(), before, after):
        for sighting in see(first, history, 0.0, told=0.0):
            assert sighting.pose is None
            assert sighting.published is None


def test_between_two_poses_of_a_steady_motion_the_flange_is_where_it_passes() -> None:
    speed = np.array([0.2, -0.1, 0.3])  # m/s
    rate = 2.0  # rad/s about z
    history = FlangeHistory()
    for stamp in (1.0, 1.01, 1.03):
        half = rate * stamp / 2
        sign = -1.0 if stamp == 1.01 else 1.0  # the same rotation
        quat = sign * np.array([np.cos(half), 0, 0, np.sin(half)])
        history.add(FlangePose(stamp, speed * stamp, quat))
    for stamp in (1.0, 1.004, 1.01, 1.022, 1.03):
        pose = history.at(stamp, patience=0.0)
        assert pose is not None
        np.testing.assert_allclose(pose[:3, 3], speed * stamp, atol=1e-12)
        cosine, sine = np.cos(rate * stamp), np.sin(rate * stamp)
        turned = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
        np.testing.assert_allclose(pose[:3, :3], turned, atol=1e-6)
    assert history.at(0.999, patience=0.0) is None
    assert history.at(1.031, patience=0.0) is None


def test_over_a_gap_and_of_long_ago_nothing_is_said() -> None:
    history = FlangeHistory()
    end = 1.0 + 1.1 * GAP
    for stamp in (1.0, end, 0.5):  # the last one is out of order
        history.add(FlangePose(stamp, np.zeros(3), UPRIGHT))
    assert history.at(1.0 + GAP / 2, patience=0.0) is None
    assert history.at(end, patience=0.0) is not None
    history.add(FlangePose(end + KEPT, np.zeros(3), UPRIGHT))
    assert history.at(1.0, patience=0.0) is None


class Listener(FakeTracker):
    """A tracker that notes the joints that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Array] = []
        self.breaks = False

    def take_joints(self, q: Array) -> None:
        if self.breaks:
            raise RuntimeError("it is a bug")
        self.taken.append(q.copy())


def test_a_tracker_is_told_each_new_reading_of_the_arm_and_no_old_one() -> None:
    tracker = Listener()
    rig = Rig(tracker)
    rig.ticks(3)
    assert len(tracker.taken) == 3
    np.testing.assert_array_equal(tracker.taken[-1], rig.driver.q)

    rig.driver.disturb = replaced(stamp=rig.driver.clock)  # the link repeats its last reading
    rig.ticks(2)
    rig.driver.failing = {"read"}
    rig.ticks(2)
    assert len(tracker.taken) == 3


def test_a_tracker_that_fails_to_take_joints_does_not_stop_the_arm() -> None:
    tracker = Listener()
    rig = Rig(tracker)
    tracker.breaks = True
    rig.begin()
    rig.act()
    assert not rig.watchdog.latched


@pytest.fixture
def tracker(tmp_path: Path, studio: WristStudio) -> Iterator[Fiducial]:
    """In its process; the arm stands still, and a picture comes every 50 ms."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(tmp_path / "box.png"), studio.photograph(OVER_THE_BOX))
    for number in range(2000):
        os.link(tmp_path / "box.png", pictures / f"{number:04}.png")
    table = wrist_table(WIDTH, HEIGHT)
    table["camera"] |= {"source": str(pictures), "rate": 20.0}
    write_config(tmp_path / "eyes.toml", table)
    tracker = Fiducial(PANDA, FiducialOptions(str(tmp_path / "eyes.toml")))
    yield tracker
    tracker.close()


def newest_stamp(tracker: Fiducial) -> float:
    """Of the newest pose, s; NaN before the first."""
    with contextlib.suppress(OSError):
        return tracker.read().stamp
    return np.nan


def test_in_a_process_of_its_own_it_needs_the_arm_all_the_time(tracker: Fiducial) -> None:
    assert isinstance(tracker, NeedsJoints)
    time.sleep(0.5)  # pictures come, but no pose of the arm
    with pytest.raises(OSError, match="or the arm was not measured at that time"):
        tracker.read()

    deadline = time.monotonic() + 40
    while np.isnan(newest_stamp(tracker)) and time.monotonic() < deadline:
        tracker.take_joints(OVER_THE_BOX)
        time.sleep(0.005)
    state = tracker.read()
    np.testing.assert_allclose(state.pos, AIM, atol=0.5e-3)
    assert angle_between(state.quat, UPRIGHT) < 0.01
    assert state.stamp <= time.monotonic()

    silent_since = time.monotonic()
    time.sleep(0.7)
    assert newest_stamp(tracker) <= silent_since


def test_the_delay_of_a_camera_is_subtracted_from_the_stamps(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((HEIGHT, WIDTH), dtype=np.uint8))
    table = wrist_table(WIDTH, HEIGHT)
    table["camera"] |= {"source": str(tmp_path), "delay": DELAY}
    config = msgspec.convert(table, FiducialConfig)
    ((stamp, _),) = open_frames(config.camera, paced=False)
    assert stamp == -DELAY
