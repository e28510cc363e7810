"""A family in MuJoCo's own viewer, in real time, until the window is closed."""

import time
from functools import singledispatch

import mujoco
import numpy as np

from robots.appearance import Shape, shapes
from robots.arm import ArmSpec, Body
from robots.errors import BadArgumentError
from robots.rotations import quaternion_from_matrix
from robots.signals import Array
from robots.world import Family
from sim.engines.base import is_registered
from sim.scene_model import body_model, build_scene
from sim.vec_world import VecWorld


@singledispatch
def add_visuals(body: Body, spec: mujoco.MjSpec) -> None:
    """Make a body's model visible; by default its own geoms are enough.

    A new kind of body registers: ``@add_visuals.register``.
    """


@add_visuals.register
def _(body: ArmSpec, spec: mujoco.MjSpec) -> None:
    """The shapes of its URDF, which MuJoCo's import leaves out."""
    for shape in shapes(body):
        is_moving = shape.link >= 0
        link = spec.joint(body.joints[shape.link]).parent if is_moving else spec.worldbody
        _add_shape(link, shape)


def _add_shape(link: mujoco.MjsBody, shape: Shape) -> None:
    """Add a visible geom without collisions."""
    kinds = {
        "box": mujoco.mjtGeom.mjGEOM_BOX,
        "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
        "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    }
    rotation = shape.pose[None, :3, :3]
    link.add_geom(
        type=kinds[shape.kind],
        size=_geom_size(shape),
        pos=shape.pose[:3, 3],
        quat=quaternion_from_matrix(rotation)[0],
        rgba=(*shape.color, 1),
        contype=0,
        conaffinity=0,
    )


def _geom_size(shape: Shape) -> tuple[float, ...]:
    """MuJoCo's size (3,) of a shape: half edges, or radius and half length, then zeros."""
    if shape.kind == "box":
        return tuple(edge / 2 for edge in shape.size)
    radius, *length = shape.size
    half_lengths = [value / 2 for value in length]
    padded = (radius, *half_lengths, 0.0, 0.0)
    return padded[:3]


def show_window(family: Family, seed: int) -> None:
    """Show episodes of new tasks under random actions.

    Raises:
        BadArgumentError: this kind of body has no model to show.
    """
    from mujoco import viewer  # needs a display

    if not is_registered(body_model, family.body):
        message = f"{family.name} has nothing to show in a window; name a .mp4 or .png with --out"
        raise BadArgumentError(message)
    spec = build_scene(family.scene)
    add_visuals(family.body, spec)
    model = spec.compile()
    data = mujoco.MjData(model)
    rng = np.random.default_rng(seed)
    world = VecWorld(family, n=1, seed=seed)
    action_shape = (1, len(family.action.spec))
    with viewer.launch_passive(model, data) as window:

        def show(world: VecWorld) -> None:
            data.qpos[:] = _coordinates(world, model.nq)
            mujoco.mj_forward(model, data)
            window.sync()
            time.sleep(family.dt)

        world.on_frame = show
        while window.is_running():
            world.reset(family.sample(rng, 1))
            for _ in range(family.horizon):
                world.step(rng.uniform(-1, 1, action_shape))
    world.close()


def _coordinates(world: VecWorld, count: int) -> Array:
    """The ``count`` coordinates of the model: the joints, and the object's pose if it has one."""
    signals = world.signals
    columns = (signals.q[0], signals.object_pos[0], signals.object_quat[0])
    return np.concatenate(columns)[:count]
