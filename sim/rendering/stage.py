"""What is seen of an episode, as a MuJoCo model: body, object and goal, on a table or the ground.

A new kind of body may register what makes it visible: ``@add_visuals.register``.
"""

from dataclasses import replace
from functools import singledispatch

import mujoco
import numpy as np

from robots.appearance import Shape, moving_joints, shapes
from robots.arm import ArmSpec, Body, Walker
from robots.legged import LeggedRobot
from robots.mujoco_model import compile_model
from robots.scene import Scene
from robots.signals import Array
from sim.couplings import place_followers
from sim.peg_arm import PEGS, PegArm
from sim.rendering.arm import (
    TABLE_COLOR,
    TABLE_POSITION,
    TABLE_SIZE,
    TARGET_COLOR,
    TARGET_SIZE,
    fixture_shapes,
    object_shapes,
)
from sim.rendering.camera import aim, camera_of
from sim.rendering.clip import Clip
from sim.rendering.solids import add_height_fields, add_shape
from sim.rendering.surroundings import HIDDEN_GROUP, add_surroundings
from sim.scene_model import body_model

GOAL_RADIUS = 0.025  # m, of the ball that marks a goal in space
# Of four consecutive solids each is smaller by 0.6 % than the one before: see ``unlike``. That is
# twice as much as the sides of a drawn cylinder, which has 28 of them, deviate from its circle.
SIZES = 4
SIZE_STEP = 0.006
PLACE_RADIUS = 0.1  # m, of the ball that marks a goal on the ground, which a walker goes to
EXTENT = 10.0  # m; nothing nearer than a share of it is drawn, and a ground may be 100 m long
MAX_GEOMS = 1000  # in one picture, those of a model and of its lights
PEG_COLOR = (0.75, 0.20, 0.15)
WALKER_COLOR = (0.85, 0.33, 0.12)


class Stage:
    """A model to look at, and its state: nothing in it is simulated.

    Attributes:
        model: the body with its visible shapes, the object, the goal, the ground and the lights.
        data: where all of them are.
        scene: the solids, lights and camera of the picture of this state.
    """

    def __init__(self, scene: Scene, clip: Clip) -> None:
        """Build the model for the task of one clip."""
        body = scene.body
        spec = body_model(body)
        add_visuals(body, spec)
        add_surroundings(spec, scene.lights)
        self._shows_object = bool(np.isfinite(clip.object_pos).all())
        if self._shows_object:
            item = spec.worldbody.add_body(name="shown_object", mocap=True)
            shapes_of_object = object_shapes(clip.task, scene.objects[0])
            for number, shape in enumerate(shapes_of_object):
                add_shape(spec, item, unlike(shape, number))
        for shape in fixture_shapes(clip.task, scene.fixtures):
            add_shape(spec, spec.worldbody, shape)
        add_height_fields(spec, clip.task, scene.fixtures)
        _add_goal(spec, clip)
        self.model = compile_model(spec)
        self.model.stat.extent = min(self.model.stat.extent, EXTENT)
        self._camera = camera_of(scene)
        self.model.vis.global_.fovy = np.degrees(self._camera.field_of_view)
        self.data = mujoco.MjData(self.model)
        self._addresses: list[int] = []  # in qpos, of the root and driven joints
        for name in (*body.root, *body.joints):
            joint = self.model.joint(name)
            first = int(joint.qposadr[0])
            self._addresses += range(first, first + len(joint.qpos0))
        self.scene = mujoco.MjvScene(self.model, MAX_GEOMS)
        self._option = mujoco.MjvOption()

    def show(self, clip: Clip, i: int) -> None:
        """Go to the i-th moment of a clip, and look."""
        self.place(clip, i)
        mujoco.mjv_updateScene(
            self.model,
            self.data,
            self._option,
            None,
            self.camera(clip, i),
            mujoco.mjtCatBit.mjCAT_ALL.value,
            self.scene,
        )

    def camera(self, clip: Clip, i: int) -> mujoco.MjvCamera:
        """The camera at the i-th moment of a clip."""
        return aim(self._camera, clip.q[i])

    def place(self, clip: Clip, i: int) -> None:
        """Put everything where it was at the i-th moment of a clip."""
        self.data.qpos[self._addresses] = clip.q[i]
        place_followers(self.model, self.data.qpos)
        if self._shows_object:
            self.data.mocap_pos[0] = clip.object_pos[i]
            self.data.mocap_quat[0] = clip.object_quat[i]
        mujoco.mj_forward(self.model, self.data)


@singledispatch
def add_visuals(body: Body, spec: mujoco.MjSpec) -> None:
    """Make a body's model visible; by default its own geoms are enough."""


@add_visuals.register
def _(body: ArmSpec, spec: mujoco.MjSpec) -> None:
    """The shapes of its URDF, which MuJoCo's import leaves out, and a table to stand on.

    What an arm collides with is not drawn.
    """
    spec.compiler.discardvisual = False
    for geom in spec.geoms:
        geom.group = HIDDEN_GROUP
    joints = moving_joints(body)
    for number, shape in enumerate(shapes(body)):
        is_moving = shape.link >= 0
        link = spec.joint(joints[shape.link]).parent if is_moving else spec.worldbody
        add_shape(spec, link, unlike(shape, number))
    table = np.eye(4)
    table[:3, 3] = TABLE_POSITION
    add_shape(spec, spec.worldbody, Shape("box", TABLE_SIZE, -1, table, TABLE_COLOR))


@add_visuals.register
def _(body: PegArm, spec: mujoco.MjSpec) -> None:
    """What an arm shows, and its first peg."""
    show_arm = add_visuals.dispatch(ArmSpec)
    show_arm(body, spec)
    peg = spec.geom(PEGS[0])
    peg.group = 0
    peg.rgba = (*PEG_COLOR, 1)


@add_visuals.register(Walker)
@add_visuals.register(LeggedRobot)
def _(body: Body, spec: mujoco.MjSpec) -> None:
    """Its own geoms in one color that stands out from the ground."""
    for geom in spec.geoms:
        geom.material = ""
        geom.rgba = (*WALKER_COLOR, 1)


def unlike(shape: Shape, number: int) -> Shape:
    """A shape whose faces coincide with none of its neighbors': it is a little smaller.

    Faces that coincide, as those of two coaxial cylinders of one radius, are drawn in speckles.
    """
    scale = 1 - SIZE_STEP * (number % SIZES)
    return replace(shape, size=tuple(scale * edge for edge in shape.size))


def _add_goal(spec: mujoco.MjSpec, clip: Clip) -> None:
    """A disk where a target lies on the table; a ball at a target or a goal in space."""
    is_visible = bool(np.isfinite(clip.marker).all())
    place = clip.marker if is_visible else goal_position(clip)
    if place is None:
        return
    pose = np.eye(4)
    pose[:3, 3] = place
    in_space = "goal.z" in clip.task or place[2] > 0
    if is_visible and not in_space:
        shape = Shape("cylinder", TARGET_SIZE, -1, pose, TARGET_COLOR)
    else:
        radius = GOAL_RADIUS if in_space else PLACE_RADIUS
        shape = Shape("sphere", (radius,), -1, pose, TARGET_COLOR)
    add_shape(spec, spec.worldbody, shape)


def goal_position(clip: Clip) -> Array | None:
    """The task's goal in space, or on the ground where it has no height, (3,) m; None: no goal."""
    if "goal.x" not in clip.task or "goal.y" not in clip.task:
        return None
    height = clip.task.get("goal.z", 0.0)
    return np.array([clip.task["goal.x"], clip.task["goal.y"], height])
