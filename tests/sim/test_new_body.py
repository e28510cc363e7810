"""A new kind of body takes one file: the toy cart's registers everything, and runs."""

from dataclasses import dataclass

import numpy as np
import pytest
from toys.body import CART, Push

from robots.arm import Body
from robots.errors import BadArgumentError
from robots.scene import Scene
from sim.engines import engine_for
from sim.rendering import SIZE, render_frame
from sim.scene_model import body_model
from sim.vec_world import VecWorld

N = 3


@pytest.fixture
def world() -> VecWorld:
    world = VecWorld(Push(), n=N)
    world.reset(Push().sample(np.random.default_rng(0), N))
    return world


def test_it_runs_in_mujoco_and_moves_as_newton_says(world: VecWorld) -> None:
    assert engine_for(Push.scene) == "mujoco"
    share = np.array([[1.0], [-0.5], [0.0]])
    for _ in range(5):
        step = world.step(share)
    force = CART.limits.tau * share  # (n, 1) N
    acceleration = force[:, 0] / CART.mass
    np.testing.assert_allclose(step.obs[:, 1], acceleration * 0.5, atol=1e-9)  # after 0.5 s
    np.testing.assert_allclose(world.signals.tau, force)
    assert np.isnan(world.signals.tool_pos).all()
    assert not step.verdict.any()


def test_it_is_rendered(world: VecWorld) -> None:
    image = render_frame(world)
    assert image.shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("engine", ["bullet", "ideal"])
def test_engines_without_support_refuse_it(engine: str) -> None:
    with pytest.raises(BadArgumentError, match=f"cart runs on mujoco, not on {engine}"):
        VecWorld(Push(), engine)


def test_without_a_model_it_is_refused_by_every_engine_with_physics() -> None:
    @dataclass(frozen=True)
    class Ghost(Body):
        """A kind of body that nothing is registered for."""

    ghost = Ghost("ghost", CART.joints, CART.home, CART.limits)
    assert engine_for(Scene(ghost)) == "ideal"
    with pytest.raises(BadArgumentError, match="none is registered for a Ghost"):
        body_model(ghost)
