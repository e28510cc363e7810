"""The stage of a clip, for each kind of body.

A new kind of body that has no MuJoCo model of its own may register its stage:
``@open_stage.register``.
"""

from functools import singledispatch

from robots.arm import Body
from robots.scene import Scene
from sim.engines.base import is_registered
from sim.metaworld.body import MetaworldBody
from sim.rendering import grounds  # noqa: F401  shows walkers over floating blocks
from sim.rendering.clip import Clip
from sim.rendering.metaworld import MetaworldStage
from sim.rendering.stage import Stage
from sim.rendering.suite import SuiteStage
from sim.scene_model import body_model
from sim.suite.body import SuiteBody


@singledispatch
def open_stage(body: Body, scene: Scene, clip: Clip) -> Stage | None:
    """The stage of a clip of a body in its scene; None where the body has no model to show."""
    if not is_registered(body_model, body):
        return None
    return Stage(scene, clip)


@open_stage.register
def _(body: SuiteBody, scene: Scene, clip: Clip) -> Stage:
    return SuiteStage(body, scene, clip)


@open_stage.register
def _(body: MetaworldBody, scene: Scene, clip: Clip) -> Stage:
    return MetaworldStage(clip)
