"""A scene's cameras and lights: what they show, and the numbers that they refuse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robots.camera import Camera, Light
from robots.errors import BadArgumentError
from robots.scene import Fixture, Scene
from robots.signals import Array
from sim.families import make_family
from sim.rendering import SIZE, canvas, record_trial, render_clip
from sim.rendering.arm import TARGET_COLOR
from sim.rendering.clip import Clip, Image

WIDTH, HEIGHT = SIZE
FAR = Camera("far", (1.6, -1.2, 0.9), (0.6, 0.1, 0.0))
NEAR = Camera("near", (1.0, 0.9, 0.5), (0.7, 0.0, 0.1), field_of_view=1.1)


def slide_with(**changes: Any) -> tuple[Any, Clip]:
    """The family slide with another scene, and its first episode."""
    family: Any = make_family("slide")
    clip = record_trial(family, seed=0)[0]
    family.scene = replace(family.scene, **changes)
    return family, clip


def pixel_of(point: Array, camera: Camera) -> Array:
    """Column and row of a point (3,) m in the picture of a pinhole camera."""
    at = np.array(camera.look_at)
    eye = np.array(camera.position)
    forward = (at - eye) / np.linalg.norm(at - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    focal = HEIGHT / 2 / np.tan(camera.field_of_view / 2)
    x, y, depth = (axis @ (point - eye) for axis in (right, down, forward))
    return np.array([WIDTH / 2 + focal * x / depth, HEIGHT / 2 + focal * y / depth])


def center_of_target(image: Image) -> Array:
    """Column and row of the middle of the pixels that have the target's hue."""
    color = np.array(TARGET_COLOR)
    pixels = image / np.maximum(image.max(-1, keepdims=True), 1)
    is_target = np.abs(pixels - color / color.max()).max(-1) < 0.06
    rows, columns = np.nonzero(is_target)
    return np.array([columns.mean(), rows.mean()])


@pytest.mark.parametrize("opengl", [True, False])
@pytest.mark.parametrize("camera", [FAR, NEAR], ids=["far", "near"])
def test_a_point_is_where_a_pinhole_camera_shows_it(
    opengl: bool, camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opengl:
        monkeypatch.setattr(canvas, "offscreen_context", lambda: None)
    family, clip = slide_with(cameras=(FAR, NEAR))
    (image,) = render_clip(family, clip, clip.t[:1], camera.name)
    target = clip.marker + np.array([0.0, 0.0, 0.001])
    np.testing.assert_allclose(center_of_target(image), pixel_of(target, camera), atol=3.0)


def test_the_first_camera_takes_the_picture_where_none_is_named() -> None:
    family, clip = slide_with(cameras=(NEAR, FAR))
    (named,) = render_clip(family, clip, clip.t[:1], "near")
    (default,) = render_clip(family, clip, clip.t[:1])
    np.testing.assert_array_equal(named, default)


def test_a_scene_is_as_bright_as_its_lights() -> None:
    brightness = []
    for lights in ((), (Light(brightness=0.3),), (Light(brightness=0.3), Light((1, 0, -1), 0.3))):
        family, clip = slide_with(lights=lights)
        (image,) = render_clip(family, clip, clip.t[:1])
        brightness.append(float(image.mean()))
    assert brightness == sorted(set(brightness))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"position": (np.nan, 0, 1)}, "finite"),
        ({"look_at": FAR.position}, "looks at the point where it is"),
        ({"field_of_view": np.pi}, "field of view"),
        ({"follows": 3}, "follows"),
    ],
)
def test_impossible_cameras_are_refused(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArgumentError, match=f"far.*{message}"):
        replace(FAR, **numbers)


@pytest.mark.parametrize(
    "numbers", [{"direction": (0, 0, 0)}, {"direction": (np.inf, 0, 0)}, {"brightness": 1.5}]
)
def test_impossible_lights_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(BadArgumentError):
        Light(**numbers)


def test_cameras_have_names_of_their_own() -> None:
    body = make_family("slide").body
    with pytest.raises(BadArgumentError, match="near, near"):
        Scene(body, cameras=(NEAR, NEAR))
    with pytest.raises(BadArgumentError, match="a name occurs twice"):
        Scene(body, fixtures=(Fixture("near", "plane"),), cameras=(NEAR,))
    with pytest.raises(BadArgumentError, match="no camera 'side'; it has: near, far"):
        Scene(body, cameras=(NEAR, FAR)).seen_by("side")
