"""Where a picture is taken from, for each kind of body.

A new kind of body may register its own view: ``@view_of.register``.
"""

from dataclasses import dataclass, replace
from functools import singledispatch

import mujoco
import numpy as np

from robots.appearance import link_poses
from robots.arm import ArmSpec, Body, FreeWalker, Walker
from robots.legged import LeggedRobot
from robots.scene import Scene
from robots.signals import Array
from sim.peg_arm import PegArm

FIELD = 0.7  # rad, vertical field of view

# The camera of an arm, in its base frame, in shares of the arm's reach.
ARM_EYE = np.array([2.3, -1.95, 1.3])
ARM_AT = np.array([0.7, 0.0, 0.4])

# The camera of an arm with a peg, m, from the hole; and the hole below the peg's start.
PEG_EYE = np.array([0.32, -0.42, 0.28])
PEG_AT = np.array([0.0, 0.0, 0.04])

# The camera of a walker, m, from the place on the ground below it.
WALKER_EYE = np.array([0.0, -3.2, 0.9])
WALKER_AT = np.array([0.0, 0.0, 0.5])
EXTENT = 10.0  # m; nothing nearer than a share of it is drawn, and a ground may be 100 m long
LEGGED_EYE = np.array([0.4, -0.6, 0.3])  # of a robot of 0.3 m, taken from further away
LEGGED_AT = np.array([0.0, 0.0, 0.2])
FAR = 2.5  # times as far, so that several pieces of a ground are seen


@dataclass(frozen=True)
class View:
    """A camera, and how it moves along with the body."""

    eye: Array  # (3,) m
    at: Array  # (3,) m, the point that it looks at
    # How many of the body's first positions, x and y in m, are added to both; 0: it stands still
    follows: int = 0


@singledispatch
def view_of(body: Body) -> View:
    """The view of a body; by default one of about 3 m around the origin."""
    return View(np.array([0.0, -3.5, 1.2]), np.zeros(3))


@view_of.register
def _(body: ArmSpec) -> View:
    reach = arm_reach(body)
    return View(reach * ARM_EYE, reach * ARM_AT)


@view_of.register
def _(body: PegArm) -> View:
    """From near: a hole is small."""
    zone = body.reach_zone
    assert zone is not None, "its peg is held where the zone is"
    at = zone.center - PEG_AT
    return View(at + PEG_EYE, at)


@view_of.register
def _(body: Walker) -> View:
    return View(WALKER_EYE, WALKER_AT, follows=1)


@view_of.register
def _(body: FreeWalker) -> View:
    return View(1.5 * WALKER_EYE, WALKER_AT, follows=2)  # its limbs reach further


@view_of.register
def _(body: LeggedRobot) -> View:
    return View(LEGGED_EYE, LEGGED_AT, follows=2)


def view_of_scene(scene: Scene) -> View:
    """The view of a scene; one that follows its body over fixtures is taken from further away."""
    view = view_of(scene.body)
    if not (view.follows and scene.fixtures):
        return view
    return replace(view, eye=FAR * view.eye)


def arm_reach(arm: ArmSpec) -> float:
    """How far the arm's outermost joint is from its base at home, m."""
    (links,) = link_poses(arm, arm.home[None])
    distance = np.linalg.norm(links[:, :3, 3], axis=-1)
    return float(distance.max())


def aim(view: View, q: Array) -> mujoco.MjvCamera:
    """MuJoCo's camera of a view, for a body at positions ``q`` (j,)."""
    shift = np.zeros(3)
    shift[: view.follows] = q[: view.follows]
    sight = view.at - view.eye
    distance = np.linalg.norm(sight)
    camera = mujoco.MjvCamera()
    camera.type = mujoco.mjtCamera.mjCAMERA_FREE
    camera.lookat[:] = view.at + shift
    camera.distance = distance
    camera.azimuth = np.degrees(np.arctan2(sight[1], sight[0]))
    camera.elevation = np.degrees(np.arcsin(sight[2] / distance))
    return camera
