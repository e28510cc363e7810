"""A window shows a trial as a picture does, ends when it is closed, and says where it cannot be."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
import pytest
from mujoco import viewer

from adaptation import cli
from adaptation.jobs.view import check_screen, view
from robots.errors import BadArgumentError
from sim.families import make_family
from sim.rendering import Clip, record_trial, show_window
from sim.rendering.open_stage import open_stage

OPEN_AND_CLOSE = """
import threading
from adaptation import cli
from mujoco import viewer

launch = viewer.launch_passive

def launch_for_a_moment(*args, **options):
    window = launch(*args, **options)
    threading.Timer(0.5, window.close).start()
    return window

viewer.launch_passive = launch_for_a_moment
raise SystemExit(cli.main(["view", "suite/fish-swim"]))
"""


class FakeWindow:
    """Stands for MuJoCo's viewer; a user closes it after some pictures."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, pictures: int) -> None:
        self.model = model
        self.data = data
        self.cam = mujoco.MjvCamera()
        self.texts: list[str] = []
        self.lookat: list[float] = []  # x of every picture, m
        self.body: list[float] = []  # qpos[0] of every picture
        self._left = pictures

    def __enter__(self) -> "FakeWindow":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def lock(self) -> threading.Lock:
        return threading.Lock()

    def is_running(self) -> bool:
        return self._left > 0

    def set_texts(self, texts: tuple[Any, Any, str, Any]) -> None:
        self.texts.append(texts[2])

    def sync(self) -> None:
        self._left -= 1
        self.lookat.append(float(self.cam.lookat[0]))
        self.body.append(float(self.data.qpos[0]))


def show_pictures(
    monkeypatch: pytest.MonkeyPatch, name: str, pictures: int
) -> tuple[FakeWindow, list[Clip], dict[str, bool]]:
    """What a window shows of a family until it is closed, the trial, and the viewer's options."""
    windows = []
    given: dict[str, bool] = {}

    def launch(model: mujoco.MjModel, data: mujoco.MjData, **options: bool) -> FakeWindow:
        given.update(options)
        windows.append(FakeWindow(model, data, pictures))
        return windows[0]

    def no_wait(seconds: float) -> None: ...

    monkeypatch.setattr(viewer, "launch_passive", launch)
    monkeypatch.setattr("sim.rendering.window.time.sleep", no_wait)
    family = make_family(name)
    clips = record_trial(family, seed=0)
    show_window(family, clips)
    return windows[0], clips, given


def test_a_window_that_is_closed_shows_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The episode that it is closed in has thirty pictures and more to come."""
    window, clips, _ = show_pictures(monkeypatch, "slide", pictures=3)
    assert len(clips[0].frame_times()) > 30
    assert len(window.body) == 3


def test_episodes_follow_one_another_and_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    window, clips, _ = show_pictures(monkeypatch, "cheetah_vel", pictures=700)
    titles = [clip.title for clip in clips]
    rounds = len(window.texts) // len(titles) + 1
    assert rounds >= 2
    assert window.texts == (rounds * titles)[: len(window.texts)]


def test_the_picture_is_not_covered_by_the_panels_of_a_simulation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They hid half of the window, the target of ``slide`` among it."""
    _, _, options = show_pictures(monkeypatch, "slide", pictures=1)
    assert options == {"show_left_ui": False, "show_right_ui": False}


def test_the_camera_goes_along_with_a_body_that_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    window, _, _ = show_pictures(monkeypatch, "cheetah_vel", pictures=30)
    assert np.ptp(window.body) > 0.05
    np.testing.assert_allclose(window.lookat, window.body, atol=1e-6)


@pytest.mark.parametrize("name", ["reach", "suite/fish-swim"])
def test_a_window_looks_from_where_a_picture_does(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A fish was a speck: a window had not the camera of its task."""
    window, clips, _ = show_pictures(monkeypatch, name, pictures=1)
    family = make_family(name)
    stage = open_stage(family.body, family.scene, clips[0])
    assert stage is not None
    camera = stage.camera(clips[0], 0)
    for part in ("type", "fixedcamid", "distance", "azimuth", "elevation"):
        assert getattr(window.cam, part) == getattr(camera, part), part
    np.testing.assert_allclose(window.cam.lookat, camera.lookat)


def test_a_window_needs_a_body_with_a_model() -> None:
    family = make_family("point")
    with pytest.raises(BadArgumentError, match="nothing to show in a window"):
        show_window(family, record_trial(family, seed=0))


def test_without_a_screen_there_is_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BadArgumentError, match="needs a screen"):
        check_screen()


def test_a_window_and_a_file_are_not_asked_for_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["play", "runs/none", "--window", "--out", "play.mp4"]) == 2
    assert "not both" in capsys.readouterr().err


def test_a_screen_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4321")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(BadArgumentError, match="does not answer"):
        view("reach")


@contextmanager
def screen(*options: str) -> Iterator[dict[str, str]]:
    """The environment of programs that are shown on a screen of memory."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    readable, writable = os.pipe()
    command = ["Xvfb", "-displayfd", str(writable), "-screen", "0", "800x600x24", *options]
    server = subprocess.Popen(command, pass_fds=[writable], stderr=subprocess.DEVNULL)
    try:
        with os.fdopen(readable) as answer:
            number = answer.readline().strip()
        yield {**os.environ, "DISPLAY": f":{number}"}
    finally:
        server.terminate()
        server.wait()
        os.close(writable)


def run(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_a_real_window_opens_and_closes() -> None:
    with screen() as environment:
        ended = run(OPEN_AND_CLOSE, environment)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_screen_without_opengl_is_said() -> None:
    with screen("-extension", "GLX") as environment:
        ended = run(OPEN_AND_CLOSE, environment)
    assert ended.returncode == 2
    assert "shows no OpenGL" in ended.stderr
