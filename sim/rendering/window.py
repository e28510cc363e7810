"""A family in MuJoCo's own viewer, in real time, until the window is closed."""

import time

import numpy as np

from robots.errors import BadArgumentError
from robots.world import Family
from sim.rendering.camera import aim, view_of
from sim.rendering.clip import make_clip
from sim.rendering.open_stage import open_stage
from sim.vec_world import VecWorld


def show_window(family: Family, seed: int) -> None:
    """Show episodes of one task under random actions.

    Raises:
        BadArgumentError: this kind of body has no model to show.
    """
    from mujoco import viewer  # needs a display

    rng = np.random.default_rng(seed)
    world = VecWorld(family, n=1, seed=seed)
    task = family.sample(rng, 1)
    world.reset(task)
    now = make_clip(family.name, task, np.zeros(1), [world.signals])
    stage = open_stage(family.body, family.scene, now)
    if stage is None:
        message = f"{family.name} has nothing to show in a window; name a .mp4 or .png with --out"
        raise BadArgumentError(message)
    view = view_of(family.body)
    camera = aim(view, now.q[0])
    action_shape = (1, len(family.action.spec))
    with viewer.launch_passive(stage.model, stage.data) as window:
        window.cam.lookat[:] = camera.lookat
        window.cam.distance = camera.distance
        window.cam.azimuth = camera.azimuth
        window.cam.elevation = camera.elevation

        def show(world: VecWorld) -> None:
            now = make_clip(family.name, task, np.zeros(1), [world.signals])
            stage.place(now, 0)
            window.cam.lookat[: view.follows] = now.q[0, : view.follows]
            window.sync()
            time.sleep(family.dt)

        world.on_frame = show
        while window.is_running():
            world.reset(task)
            for _ in range(family.horizon):
                world.step(rng.uniform(-1, 1, action_shape))
    world.close()
