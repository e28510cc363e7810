"""What a camera on a Panda's flange measures of a box that stands still; ``eyes.py`` prints it.

The arm is at rest, or each joint turns at up to 0.5 rad/s and accelerates at up to 2 rad/s². Its
poses are sent as the tracker sends them; MuJoCo moves the links and renders what is seen.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from tag_studio import AIM, HEIGHT, OVER_THE_BOX, WIDTH, WristStudio, wrist_table

from hw_interface.trackers.camera_mount import mounted_camera
from hw_interface.trackers.fiducial import INTERVAL
from hw_interface.trackers.fiducial_config import FiducialConfig, lens_of
from hw_interface.trackers.fiducial_pose import ObjectPose, PoseSolver, TagDetector
from hw_interface.trackers.flange_history import FlangeHistory, FlangePose
from hw_interface.trackers.flange_kinematics import FlangeKinematics
from robots.catalog.panda import PANDA
from robots.rotations import quaternion_from_matrix
from robots.signals import Array

SPREAD = 0.25  # rad about the posture over the box
SPEED = 0.5  # rad/s
ACCELERATION = 2.0  # rad/s²
EDGE = 150  # pixels that the middle of the box stays away from the edge of the picture
WRONG_DELAY = 0.01  # s

FLANGE = FlangeKinematics(PANDA)


class Motion:
    """Joints over time, s, in rad; the picture is taken at 0."""

    def __init__(self, rng: np.random.Generator, is_moving: bool) -> None:
        self.q = OVER_THE_BOX + rng.uniform(-SPREAD, SPREAD, 7)
        self.speed = is_moving * rng.uniform(-SPEED, SPEED, 7)
        self.acceleration = is_moving * rng.uniform(-ACCELERATION, ACCELERATION, 7)
        self.phase = rng.uniform(0, INTERVAL)  # s, of the first pose that is sent after 0

    def __call__(self, time: float) -> Array:
        return self.q + time * self.speed + time**2 / 2 * self.acceleration

    def history(self) -> FlangeHistory:
        """The poses around the picture."""
        history = FlangeHistory()
        for number in range(-4, 4):
            stamp = self.phase + number * INTERVAL
            pose = FLANGE(self(stamp))
            quat = quaternion_from_matrix(pose[None, :3, :3])[0]
            history.add(FlangePose(stamp, pose[:3, 3], quat))
        return history


def wrist_poses(
    count: int, rng: np.random.Generator, spoil: Callable[[Any], Any]
) -> Iterator[tuple[str, ObjectPose | None]]:
    """The name of the row and what was measured: ``count`` poses for each row."""
    config = msgspec.convert(wrist_table(WIDTH, HEIGHT), FiducialConfig)
    detect = TagDetector(config.dictionary)
    solve = PoseSolver(config)
    studio = WristStudio(WIDTH, HEIGHT)
    for is_moving in (False, True):
        for _ in range(count):
            motion = draw_motion(rng, is_moving, config)
            detected = detect(spoil(studio.photograph(motion(0.0))))
            camera = mounted_camera(config.camera, motion.history())
            rows = {"on the arm, at rest": 0.0}
            if is_moving:
                rows = {"on the arm, in motion": 0.0, "the same, 10 ms late": WRONG_DELAY}
            for name, late in rows.items():
                pose = camera(late)
                assert pose is not None
                yield name, solve(detected, pose)
    studio.renderer.close()


def draw_motion(rng: np.random.Generator, is_moving: bool, config: FiducialConfig) -> Motion:
    """A random motion with the box in the picture."""
    matrix = lens_of(config.camera).matrix
    while True:
        motion = Motion(rng, is_moving)
        camera = mounted_camera(config.camera, motion.history())(0.0)
        assert camera is not None
        in_camera = camera[:3, :3].T @ (AIM - camera[:3, 3])
        pixel = (matrix @ in_camera / in_camera[2])[:2]
        if (pixel > EDGE).all() and (pixel < np.array([WIDTH, HEIGHT]) - EDGE).all():
            return motion
