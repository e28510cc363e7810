"""Pictures of a family: of its MuJoCo model, or for a body without one a plot."""

from robots.scene import Scene
from robots.signals import Array
from robots.world import Family
from sim.rendering.canvas import open_canvas
from sim.rendering.clip import Clip, Image, make_clip
from sim.rendering.open_stage import open_stage
from sim.rendering.plane import draw_plane
from sim.vec_world import VecWorld


def draw(scene: Scene, clip: Clip, times: Array) -> list[Image]:
    """Pictures of a clip at some moments (S,) s."""
    shown = clip.resample(times)
    stage = open_stage(scene.body, scene, shown)
    if stage is None:
        return draw_plane(clip, times)
    images = []
    with open_canvas(stage) as canvas:
        for i, t in enumerate(times.tolist()):
            stage.show(shown, i)
            images.append(canvas.photograph(stage, f"{clip.title}  {t:.1f} s"))
    return images


def render_clip(family: Family, clip: Clip, times: Array, camera: str | None = None) -> list[Image]:
    """Pictures (h, w, 3) of an episode at some moments (S,) s.

    ``camera`` is the name of one in the family's scene; None: see ``Scene.cameras``.

    Raises:
        BadArgumentError: the scene has no such camera.
    """
    return draw(family.scene.seen_by(camera), clip, times)


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
    (image,) = draw(family.scene, clip, now)
    return image
