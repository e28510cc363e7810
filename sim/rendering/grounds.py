"""Walkers whose ground differs between tasks: ramps as the clip's task has them, and blocks."""

import mujoco
import numpy as np

from robots.arm import Walker
from robots.camera import Camera
from robots.scene import Scene
from robots.world import Task
from sim.pier import BLOCKS, SAG, PierWalker, block_name
from sim.ramps import BOX_FIELDS, BOXES, SlopeWalker, box_geoms, write_ramps
from sim.rendering.camera import WALKER_AT, WALKER_EYE, camera_for
from sim.rendering.clip import Clip
from sim.rendering.stage import Stage, add_visuals

COLORS = ((0.55, 0.60, 0.52, 1.0), (0.68, 0.73, 0.64, 1.0))  # of neighbors

EXTENT = 10.0  # m


class RampStage(Stage):
    """A stage with the ramps of the clip's task."""

    def __init__(self, scene: Scene, clip: Clip) -> None:
        """Build the model, and move its ramps."""
        super().__init__(scene, clip)
        values = np.array([list(clip.task.values())])
        task = Task(tuple(clip.task), values, np.arange(1))
        fields = {name: getattr(self.model, name)[None] for name in BOX_FIELDS}  # views
        geoms = box_geoms(self.model)
        write_ramps(fields, geoms, task)
        # They no longer share the rotation of the world, which MuJoCo would use instead.
        self.model.geom_sameframe[geoms] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
        # What is nearer than a share of the extent is not drawn, and the flat ground is 100 m long.
        self.model.stat.extent = EXTENT


@camera_for.register(SlopeWalker)
@camera_for.register(PierWalker)
def _(body: Walker) -> Camera:
    """From further away than on even ground, so that several ramps or blocks are seen."""
    x, y, z = (2.5 * WALKER_EYE).tolist()
    return Camera("walker", (x, y, z), tuple(WALKER_AT.tolist()), follows=1)


@add_visuals.register
def _(body: SlopeWalker, spec: mujoco.MjSpec) -> None:
    """A walker in its color, and ramps in two colors by turns."""
    _color_walker(body, spec)
    for number, name in enumerate(BOXES):
        spec.geom(name).rgba = COLORS[number % len(COLORS)]


@add_visuals.register
def _(body: PierWalker, spec: mujoco.MjSpec) -> None:
    """A walker in its color, and blocks in two colors by turns, where they float at rest.

    A clip does not have their motion.
    """
    _color_walker(body, spec)
    for number in range(len(BLOCKS)):
        block = spec.body(block_name(number))
        block.pos[2] -= SAG
        spec.geom(block_name(number)).rgba = COLORS[number % len(COLORS)]


def _color_walker(body: Walker, spec: mujoco.MjSpec) -> None:
    color = add_visuals.dispatch(Walker)
    color(body, spec)
