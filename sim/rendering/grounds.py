"""A walker over floating blocks, as it is seen."""

import mujoco

from robots.arm import Walker
from robots.camera import Camera
from sim.pier import BLOCKS, SAG, PierWalker, block_name
from sim.rendering.arm import GROUND_COLORS
from sim.rendering.camera import camera_for, walker_camera
from sim.rendering.stage import add_visuals


@camera_for.register
def _(body: PierWalker) -> Camera:
    """From further away than on even ground, so that several blocks are seen."""
    return walker_camera(2.5)


@add_visuals.register
def _(body: PierWalker, spec: mujoco.MjSpec) -> None:
    """A walker in its color, and blocks in two colors by turns, where they float at rest.

    A clip does not have their motion.
    """
    color_walker = add_visuals.dispatch(Walker)
    color_walker(body, spec)
    for number in range(len(BLOCKS)):
        block = spec.body(block_name(number))
        block.pos[2] -= SAG
        spec.geom(block_name(number)).rgba = (*GROUND_COLORS[number % 2], 1)
