"""Episodes in MuJoCo's own viewer, in real time and over again, until the window is closed."""

import threading
import time
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import mujoco

from robots.errors import BadArgumentError
from robots.world import Family
from sim.rendering.clip import Clip
from sim.rendering.open_stage import open_stage
from sim.rendering.stage import Stage

if TYPE_CHECKING:
    from mujoco.viewer import Handle

CLOSING = 10.0  # s that the viewer is waited for, once its window is closed


def show_window(family: Family, clips: Sequence[Clip], camera: str | None = None) -> None:
    """Show episodes of one task, one after the other.

    The camera goes along with a body that walks; apart from that the mouse moves it. It begins
    where the scene's camera of this name is.

    Raises:
        BadArgumentError: this kind of body has no model to show, or the scene no such camera.
    """
    from mujoco import viewer  # needs a display

    stage = open_stage(family.body, family.scene.seen_by(camera), clips[0])
    if stage is None:
        message = f"{family.name} has nothing to show in a window; name a .mp4 or .png with --out"
        raise BadArgumentError(message)
    stage.place(clips[0], 0)
    before = threading.enumerate()
    window = viewer.launch_passive(stage.model, stage.data, show_left_ui=False, show_right_ui=False)
    try:
        with window:
            _aim(window, stage.camera(clips[0], 0))
            _replay(window, stage, clips)
    finally:  # a program that ends while the viewer still draws hangs, or dies of an X error
        for thread in threading.enumerate():
            if thread not in before:
                thread.join(CLOSING)


def _aim(window: "Handle", camera: mujoco.MjvCamera) -> None:
    """Look through a camera."""
    with window.lock():
        window.cam.type = camera.type
        window.cam.fixedcamid = camera.fixedcamid
        window.cam.distance = camera.distance
        window.cam.azimuth = camera.azimuth
        window.cam.elevation = camera.elevation
        window.cam.lookat[:] = camera.lookat


def _replay(window: "Handle", stage: Stage, clips: Sequence[Clip]) -> None:
    """Show clips in turn; the camera goes along with the body from where the mouse has moved it."""
    last_lookat = stage.camera(clips[0], 0).lookat.copy()
    for clip in cycle(clips):
        shown = clip.resample(clip.frame_times())
        window.set_texts((None, None, clip.title, None))
        began = time.monotonic()
        for i, t in enumerate(shown.t - shown.t[0]):
            if not window.is_running():
                return
            stage.place(shown, i)
            lookat = stage.camera(shown, i).lookat.copy()
            with window.lock():
                window.cam.lookat[:] += lookat - last_lookat
            last_lookat = lookat
            window.sync()
            time.sleep(max(began + float(t) - time.monotonic(), 0.0))
