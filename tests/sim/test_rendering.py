"""One frame of a running world, for every kind of body."""

import numpy as np
import pytest

from sim.families import FAMILIES
from sim.rendering import SIZE, render_frame
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
