"""A walker over floating blocks, as it is seen."""

import mujoco

from robots.arm import Walker
from sim.pier import BLOCKS, SAG, PierWalker, block_name
from sim.rendering.arm import GROUND_COLORS
from sim.rendering.camera import FAR, WALKER_AT, WALKER_EYE, View, view_of
from sim.rendering.stage import add_visuals


@view_of.register
def _(body: PierWalker) -> View:
    """From further away than on even ground, so that several blocks are seen."""
    return View(FAR * WALKER_EYE, WALKER_AT, follows=1)


@add_visuals.register
def _(body: PierWalker, spec: mujoco.MjSpec) -> None:
    """A walker in its color, and blocks in two colors by turns, where they float at rest.

    A clip does not have their motion.
    """
    _color_walker(body, spec)
    for number in range(len(BLOCKS)):
        block = spec.body(block_name(number))
        block.pos[2] -= SAG
        spec.geom(block_name(number)).rgba = (*GROUND_COLORS[number % 2], 1)


def _color_walker(body: Walker, spec: mujoco.MjSpec) -> None:
    color = add_visuals.dispatch(Walker)
    color(body, spec)
