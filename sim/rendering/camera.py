"""Where a picture is taken from: by the scene's camera, or as each kind of body is seen well.

A new kind of body may register its own camera: ``@camera_for.register``.
"""

from functools import singledispatch

import mujoco
import numpy as np

from robots.appearance import link_poses
from robots.arm import ArmSpec, Body, FreeWalker, Walker
from robots.camera import Camera, Vector
from robots.scene import Scene
from robots.signals import Array

# The camera of an arm, in its base frame, in shares of the arm's reach.
ARM_EYE = np.array([2.3, -1.95, 1.3])
ARM_AT = np.array([0.7, 0.0, 0.4])

# The camera of a walker, m, from the place on the ground below it.
WALKER_EYE = np.array([0.0, -3.2, 0.9])
WALKER_AT = np.array([0.0, 0.0, 0.5])


def camera_of(scene: Scene) -> Camera:
    """The scene's first camera; where it has none, the one for its body."""
    return scene.cameras[0] if scene.cameras else camera_for(scene.body)


@singledispatch
def camera_for(body: Body) -> Camera:
    """The camera for a body; by default one that shows about 3 m around the origin."""
    return Camera("body", (0.0, -3.5, 1.2), (0.0, 0.0, 0.0))


@camera_for.register
def _(body: ArmSpec) -> Camera:
    reach = arm_reach(body)
    return Camera("arm", _point(reach * ARM_EYE), _point(reach * ARM_AT))


@camera_for.register
def _(body: Walker) -> Camera:
    return walker_camera()


@camera_for.register
def _(body: FreeWalker) -> Camera:
    """From further away: its limbs reach further."""
    return walker_camera(1.5, follows=2)


def walker_camera(distance: float = 1.0, follows: int = 1) -> Camera:
    """A camera beside a walker, ``distance`` times as far away as for a half-cheetah."""
    return Camera("walker", _point(distance * WALKER_EYE), _point(WALKER_AT), follows=follows)


def _point(values: Array) -> Vector:
    x, y, z = values.tolist()
    return x, y, z


def arm_reach(arm: ArmSpec) -> float:
    """How far the arm's outermost joint is from its base at home, m."""
    (links,) = link_poses(arm, arm.home[None])
    distance = np.linalg.norm(links[:, :3, 3], axis=-1)
    return float(distance.max())


def aim(camera: Camera, q: Array) -> mujoco.MjvCamera:
    """MuJoCo's camera in the place of a scene's, for a body at positions ``q`` (j,)."""
    shift = np.zeros(3)
    shift[: camera.follows] = q[: camera.follows]
    sight = np.subtract(camera.look_at, camera.position)
    distance = np.linalg.norm(sight)
    result = mujoco.MjvCamera()
    result.type = mujoco.mjtCamera.mjCAMERA_FREE
    result.lookat[:] = camera.look_at + shift
    result.distance = distance
    result.azimuth = np.degrees(np.arctan2(sight[1], sight[0]))
    result.elevation = np.degrees(np.arcsin(sight[2] / distance))
    return result
