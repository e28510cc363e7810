"""Pictures of a walker: the capsules of its model, from a camera that runs beside it."""

import mujoco
import numpy as np

from robots.scene import Scene
from robots.signals import Array
from sim.rendering.canvas import Canvas, Image, open_canvas
from sim.rendering.clip import Clip
from sim.scene_model import compile_scene

FIELD = np.radians(38)  # rad, vertical field of view
FAR = 12.0  # m
EYE = np.array([0.0, -3.2, 0.9])  # m, from the walker's x
AT = np.array([0.0, 0.0, 0.5])

GROUND_SIZE = (200, 2.0, 0.02)  # m
GROUND_POSITION = (0, 0, -0.011)
GROUND_COLOR = (0.73, 0.75, 0.77)
STRIPE_SIZE = (0.04, 2.0, 0.002)  # m, one stripe every meter
STRIPE_COLOR = (0.55, 0.58, 0.62)
MARGIN = 4  # m of stripes before and behind the walker: more than the camera sees
BODY_COLOR = (0.85, 0.33, 0.12)


def draw_walker(scene: Scene, clip: Clip) -> list[Image]:
    """One picture for every moment of a clip; the walker's first joint is its x."""
    model = compile_scene(scene)
    data = mujoco.MjData(model)
    images = []
    with open_canvas(FIELD, FAR) as canvas:
        _add_ground(canvas, clip.q[:, 0])
        solids = _add_capsules(canvas, model)
        for q in clip.q:
            data.qpos[:] = q
            mujoco.mj_kinematics(model, data)
            for geom, solid in solids.items():
                canvas.move(solid, _geom_pose(data, geom))
            place = np.array([q[0], 0.0, 0.0])
            eye = place + EYE
            target = place + AT
            image = canvas.photograph(eye.tolist(), target.tolist())
            images.append(image)
    return images


def _geom_pose(data: mujoco.MjData, geom: int) -> Array:
    """The pose (4, 4) of a geom in the world."""
    pose = np.eye(4)
    pose[:3, :3] = data.geom_xmat[geom].reshape(3, 3)
    pose[:3, 3] = data.geom_xpos[geom]
    return pose


def _add_ground(canvas: Canvas, x: Array) -> None:
    """Ground with stripes all along the way x (T,) m."""
    canvas.add("box", GROUND_SIZE, GROUND_COLOR, GROUND_POSITION)
    lowest = int(x.min())
    highest = int(x.max())
    first = lowest - MARGIN
    last = highest + MARGIN
    for meter in range(first, last + 1):
        position = (meter, 0, 0)
        canvas.add("box", STRIPE_SIZE, STRIPE_COLOR, position)


def _add_capsules(canvas: Canvas, model: mujoco.MjModel) -> dict[int, int]:
    """The solids of an MjModel's capsules, by the number of the geom."""
    is_capsule = model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE
    solids = {}
    geoms = np.flatnonzero(is_capsule)
    for geom in geoms.tolist():
        radius, half_length, _ = model.geom_size[geom].tolist()
        size = (radius, 2 * half_length)
        solids[geom] = canvas.add("capsule", size, BODY_COLOR)
    return solids
