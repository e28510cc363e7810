"""Bodies of dm_control's suite whose MJCF is at hand, so that fixtures can be put beside them."""

import warnings
from collections.abc import Callable

import mujoco

from robots.mujoco_model import compile_model
from robots.scene import Fixture
from sim.scene_contents import add_fixture

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a screen, which is not needed
    from dm_control.suite import common, quadruped

QUADRUPED_FLOOR = 10.0  # m, half extent of the floor as it is drawn, as in quadruped-walk


def _quadruped_walk() -> mujoco.MjSpec:
    xml = quadruped.make_model(floor_size=QUADRUPED_FLOOR).decode()
    included = {name.removeprefix("./"): text for name, text in common.ASSETS.items()}
    return mujoco.MjSpec.from_string(xml, include=included)


EDITABLE: dict[str, Callable[[], mujoco.MjSpec]] = {"quadruped-walk": _quadruped_walk}


def model_with_fixtures(body: str, fixtures: tuple[Fixture, ...]) -> mujoco.MjModel:
    """The model of a body in ``EDITABLE``, with fixtures beside its own floor."""
    spec = EDITABLE[body]()
    own_geoms = [geom.name for geom in spec.geoms]
    for fixture in fixtures:
        add_fixture(spec, fixture, own_geoms)
    return compile_model(spec)
