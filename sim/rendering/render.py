"""Pictures of a family, for each kind of body.

A new kind of body registers its own: ``@draw.register``.
"""

from functools import singledispatch

from robots.arm import ArmSpec, Body, Walker
from robots.scene import Scene
from robots.signals import Array
from robots.world import Family
from sim.rendering.arm import draw_arm
from sim.rendering.canvas import Image
from sim.rendering.clip import Clip, make_clip
from sim.rendering.plane import draw_plane
from sim.rendering.walker import draw_walker
from sim.vec_world import VecWorld


@singledispatch
def draw(body: Body, scene: Scene, clip: Clip) -> list[Image]:
    """One picture for every moment of a clip; by default a plot of the first two joints."""
    return draw_plane(clip)


@draw.register
def _(body: ArmSpec, scene: Scene, clip: Clip) -> list[Image]:
    return draw_arm(body, clip)


@draw.register
def _(body: Walker, scene: Scene, clip: Clip) -> list[Image]:
    return draw_walker(scene, clip)


def render_clip(family: Family, clip: Clip, times: Array) -> list[Image]:
    """Pictures (h, w, 3) of an episode at some moments (S,) s."""
    return draw(family.body, family.scene, clip.resample(times))


def render_frame(world: VecWorld, index: int = 0) -> Image:
    """A picture (h, w, 3) of the present state of one of a world's simulations.

    Raises:
        RuntimeError: the world was not reset before.
    """
    if world.task is None:
        raise RuntimeError("reset the world before it is rendered")
    family = world.family
    signals = world.signals
    now = signals.stamp[[index]]
    clip = make_clip(
        family.name,
        world.task,
        now,
        [signals],
        index,
    )
    (image,) = draw(family.body, family.scene, clip)
    return image
