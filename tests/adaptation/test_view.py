"""A family can be viewed without a screen."""

from pathlib import Path

import av
import matplotlib.image
import numpy as np
import pytest

from adaptation.jobs.view import view
from robots.errors import BadArgumentError
from sim.rendering import FRAME_RATE, SIZE

WIDTH, HEIGHT = SIZE


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_a_picture_shows_the_arm_the_object_and_the_target(tmp_path: Path) -> None:
    path = view("slide", tmp_path / "slide.png")
    assert path is not None
    pixels = matplotlib.image.imread(path)[..., :3]
    assert pixels.shape[:2] == (HEIGHT, WIDTH)
    red, green, blue = np.moveaxis(pixels, -1, 0)
    is_striker = (red > 0.6) & (green < 0.5 * red) & (blue < 0.35 * red)
    is_target = (green > 1.5 * red) & (green > 1.3 * blue)
    assert is_striker.sum() > 10
    assert is_target.sum() > 50


def test_a_picture_shows_the_body_that_runs(tmp_path: Path) -> None:
    path = view("cheetah_cripple", tmp_path / "cheetah.png")
    assert path is not None
    red, green, blue = np.moveaxis(matplotlib.image.imread(path)[..., :3], -1, 0)
    is_body = (red > 0.35) & (green < 0.6 * red) & (blue < 0.4 * red)
    rows, columns = np.nonzero(is_body)
    assert len(rows) > 3000
    assert abs(columns.mean() - WIDTH / 2) < 200, "the camera runs beside it"
    assert np.ptp(columns) > np.ptp(rows) > 60, "longer than high, and with legs"


def test_a_video_lasts_as_long_as_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = view("point")
    assert path == Path("point.mp4")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert abs(len(frames) / FRAME_RATE - 3 * 20 * 0.1) < 0.2
    change = np.abs(frames[0].astype(int) - frames[-1])
    assert change.max() > 50, "something moved"


def test_a_picture_of_a_point_shows_its_path_so_far(tmp_path: Path) -> None:
    path = view("point", tmp_path / "point.png")
    assert path is not None
    plot = matplotlib.image.imread(path)[100:630, 170:1000, :3]  # without frame and legend
    darkest = plot.max(-1)
    is_gray = (darkest < 0.7) & (np.ptp(plot, axis=-1) < 0.1)
    assert is_gray.sum() > 50


def test_a_page_plays_an_arm_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = view("reach", tmp_path / "reach.html", arm="viperx")
    assert path is not None
    assert capfd.readouterr().out == "", "no address of a server that is gone by now"
    assert "<html" in path.read_text(encoding="utf-8").lower()


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match=r"\.mp4"):
        view("point", tmp_path / "point.avi")
    with pytest.raises(BadArgumentError, match="no arm"):
        view("point", tmp_path / "point.html")
