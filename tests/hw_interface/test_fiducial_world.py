"""The tag tracker in an arm's control process, as a deployment starts it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import FAMILY
from tag_scene import TOP, config_of, picture_of, table, write_config

from hw_interface.arm_world import ArmWorld
from hw_interface.drivers import DRIVERS
from robots.arm import ArmSpec
from robots.errors import ArmError
from robots.world import Start, Task

PLACE = np.array([0.5, 0.0, 0.03])  # m
UPRIGHT = np.array([1.0, 0, 0, 0])


class Person:
    """An ObjectPlacer."""

    def place(self, task: Task, start: Start) -> None:
        pass


def build(config: Path) -> ArmWorld:
    assert isinstance(FAMILY.body, ArmSpec)
    with DRIVERS.temporarily("fake", "fake:FakeDriver"):
        return ArmWorld(
            FAMILY,
            FAMILY.body,
            driver="fake",
            clock="realtime",
            placer=Person(),
            tracker="fiducial",
            tracker_options={"config": str(config)},
        )


def eventually(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def trackers_of(config: Path) -> list[str]:
    """The process ids of trackers with this configuration."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if str(config).encode() in words:
            found.append(folder.name)
    return found


def test_an_arm_sees_the_object_and_its_tracker_ends_with_it(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "0000.png"), picture_of(config_of(tag=TOP), PLACE, UPRIGHT))
    for number in range(1, 400):
        shutil.copy(pictures / "0000.png", pictures / f"{number:04}.png")
    camera = table()["camera"] | {"source": str(pictures), "rate": 10.0}
    config = write_config(tmp_path, tag=TOP, camera=camera)

    world = build(config)
    try:
        assert len(trackers_of(config)) == 1
        seen = eventually(lambda: bool(np.isfinite(world.control.state["object"]).all()))
        assert seen, "no pose reached the control process"
        np.testing.assert_allclose(world.control.state["object"][:3], PLACE, atol=1e-3)
    finally:
        world.close()
    assert eventually(lambda: not trackers_of(config)), "the tracker outlives its arm"


def test_an_arm_whose_tracker_has_no_camera_does_not_come_up(tmp_path: Path) -> None:
    camera = table()["camera"] | {"source": str(tmp_path / "none.avi")}
    config = write_config(tmp_path, camera=camera)
    with pytest.raises(ArmError, match=r"none\.avi is neither a video"):
        build(config)
    assert eventually(lambda: not trackers_of(config))
