"""One frame of a running world, for every kind of body."""

import mujoco
import numpy as np
import pytest

from sim.families import FAMILIES, arms_for, make_family
from sim.outlines import SHAPES
from sim.rendering import SIZE, record_trial, render_frame
from sim.rendering import canvas as canvas_module
from sim.rendering.arm import OBJECT_COLOR, TARGET_COLOR
from sim.rendering.canvas import open_canvas
from sim.rendering.clip import make_clip
from sim.rendering.opengl import offscreen_context
from sim.rendering.stage import Stage
from sim.vec_world import VecWorld

WIDTH, HEIGHT = SIZE


def running(name: str, engine: str | None = None) -> VecWorld:
    world = VecWorld(FAMILIES[name](), engine, n=2, seed=0)
    world.reset(world.family.sample(np.random.default_rng(0), 2))
    world.step(np.array([[1.0], [-1.0]]).repeat(len(world.family.action.spec), 1))
    return world


@pytest.mark.parametrize("name", ["point", "slide", "cheetah_vel"])
def test_a_frame_shows_the_world_that_is_asked_for(name: str) -> None:
    world = running(name)
    first = render_frame(world)
    second = render_frame(world, 1)
    for image in (first, second):
        assert image.shape == (HEIGHT, WIDTH, 3)
        assert image.dtype == np.uint8
        assert np.ptp(image) > 100
    assert (first != second).any()
    np.testing.assert_array_equal(render_frame(world), first)
    world.close()


def test_a_frame_does_not_disturb_physics_in_the_same_library() -> None:
    plain = running("slide", "bullet")
    watched = running("slide", "bullet")
    for _ in range(3):
        render_frame(watched)
        action = np.full((2, 2), 0.3)
        np.testing.assert_array_equal(watched.step(action).obs, plain.step(action).obs)
    plain.close()
    watched.close()


def test_a_world_must_be_reset_before_it_is_rendered() -> None:
    with pytest.raises(RuntimeError, match="reset"):
        render_frame(VecWorld(FAMILIES["point"]()))


@pytest.mark.parametrize("opengl", [True, False])
@pytest.mark.parametrize(
    ("name", "arm"),
    [("slide", None), ("cheetah_vel", None), *(("reach", arm) for arm in arms_for("reach"))],
)
def test_the_body_fills_its_share_of_the_picture(
    name: str, arm: str | None, opengl: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not opengl:
        monkeypatch.setattr(canvas_module, "offscreen_context", lambda: None)
    family = make_family(name, arm)
    clip = record_trial(family, 0)[0].resample(np.zeros(1))
    stage = Stage(family.scene, clip)
    links = stage.model.geom_bodyid > 0
    moves = links & (stage.model.body_mocapid[stage.model.geom_bodyid] < 0)
    shown = moves & (stage.model.geom_group < 3)
    assert shown.sum() >= 8, "the shapes of the body were discarded"
    assert stage.model.nlight >= 1
    stage.model.geom_rgba[shown] = (1, 0, 1, 1)
    stage.show(clip, 0)
    with open_canvas(stage) as canvas:
        red, green, blue = np.moveaxis(canvas.photograph(stage, "").astype(float), -1, 0)
    is_body = (red > 2 * green) & (blue > 2 * green)
    assert is_body.mean() > 0.02


@pytest.mark.parametrize(
    ("name", "shape"), [("slide", "CYLINDER"), ("reach", "SPHERE"), ("cripple_arm", "SPHERE")]
)
def test_a_target_on_the_table_is_a_disk_and_one_in_space_a_ball(name: str, shape: str) -> None:
    family = FAMILIES[name]()
    stage = Stage(family.scene, record_trial(family, 0)[0])
    has_its_color = np.isclose(stage.model.geom_rgba[:, :3], TARGET_COLOR).all(1)
    (target,) = np.flatnonzero(has_its_color)
    assert stage.model.geom_type[target] == getattr(mujoco.mjtGeom, f"mjGEOM_{shape}").value


def test_faces_that_coincide_are_not_drawn_in_speckles() -> None:
    """The bars of a cross overlap: where both are drawn, a pixel gets the light of two faces."""
    if offscreen_context() is None:
        pytest.skip("no OpenGL here")
    family = FAMILIES["slide"]()
    world = VecWorld(family, n=1, seed=0)
    drawn = family.sample(np.random.default_rng(0), 1)
    cross = np.full(1, float(SHAPES.index("cross")))
    task = drawn.with_columns({"object.shape": cross})
    world.reset(task)
    clip = make_clip("", task, np.zeros(1), [world.signals])
    world.close()
    stage = Stage(family.scene, clip)
    stage.show(clip, 0)
    with open_canvas(stage) as canvas:
        red, green, blue = np.moveaxis(canvas.photograph(stage, "").astype(float), -1, 0)
    is_object = (red > 2 * blue) & (green > 0.45 * red) & (green < 0.75 * red)
    assert is_object.sum() > 500
    assert red[is_object].max() <= 255 * OBJECT_COLOR[0]
