"""Ground of ramps under a planar walker: a profile of straight pieces, the same at every y.

MuJoCo's batches share the heights of a height field among all worlds, so each piece is a box that
is turned and moved: its upper face lies exactly on the profile. Axes: n worlds, r ramps, b = r + 2
boxes, those of the ramps and the flat ground before and behind them.
"""

from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.arm import Walker
from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task
from sim.motors import order_motors
from sim.scene_model import body_model

RAMPS = 18
LENGTH = 1.0  # m, of each ramp along x; the first begins at x = 0
FLAT = 100.0  # m, of the flat ground before and behind the ramps
HALF_WIDTH = 2.0  # m, along y
HALF_THICKNESS = 0.25  # m, of the boxes
BOX_FIELDS = ("geom_pos", "geom_quat", "geom_size", "geom_rbound", "geom_aabb")
SLOPES = tuple(f"geom.ramp_{number}.slope" for number in range(RAMPS))
BOXES = (
    "flat_before",
    *(f"ramp_{number}" for number in range(RAMPS)),
    "flat_behind",
)


@dataclass(frozen=True)
class SlopeWalker(Walker):
    """A planar walker that runs over ramps instead of the ground of its MJCF.

    Names of its physics in a task, beside those of every walker: ``geom.ramp_K.slope``, the rise of
    a ramp per meter. Those that a task does not name are flat.
    """

    needs_mujoco: bool = True  # the ground of a walker in PyBullet is flat


class Boxes(NamedTuple):
    """Where boxes are, and how large."""

    pos: Array  # (n, b, 3) m, their centers
    quat: Array  # (n, b, 4) w, x, y, z
    size: Array  # (n, b, 3) m, half lengths


def profile(slopes: Array) -> tuple[Array, Array]:
    """The corners of the ground: x (b + 1,) m and heights (n, b + 1) m, of slopes (n, r)."""
    ramp_ends = LENGTH * np.arange(RAMPS + 1)
    x = np.concatenate([[-FLAT], ramp_ends, [ramp_ends[-1] + FLAT]])
    rises = np.pad(LENGTH * slopes, ((0, 0), (1, 1)))  # (n, b)
    heights = np.pad(np.cumsum(rises, 1), ((0, 0), (1, 0)))
    return x, heights


def boxes(slopes: Array) -> Boxes:
    """The boxes whose upper faces are the ground of slopes (n, r)."""
    x, heights = profile(slopes)
    run = np.broadcast_to(np.diff(x), heights[:, 1:].shape)
    rise = np.diff(heights)
    length = np.hypot(run, rise)
    sine = rise / length
    cosine = run / length
    middle_x = (x[1:] + x[:-1]) / 2
    middle_z = (heights[:, 1:] + heights[:, :-1]) / 2
    zero = np.zeros_like(run)
    half_turn = -np.arctan2(rise, run) / 2  # about y, which turns x down
    return Boxes(
        pos=np.stack(
            [middle_x + HALF_THICKNESS * sine, zero, middle_z - HALF_THICKNESS * cosine], -1
        ),
        quat=np.stack([np.cos(half_turn), zero, np.sin(half_turn), zero], -1),
        size=np.stack([length / 2, zero + HALF_WIDTH, zero + HALF_THICKNESS], -1),
    )


def box_geoms(model: mujoco.MjModel) -> NDArray[np.int64]:
    """The boxes' numbers in a model, (b,); none where its ground is no ramps."""
    numbers = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, name) for name in BOXES]
    return np.array(numbers if min(numbers) >= 0 else [], dtype=np.int64)


def write_ramps(fields: dict[str, Array], geoms: NDArray[np.int64], task: Task) -> None:
    """Set the ground of n tasks.

    Args:
        fields: each of ``BOX_FIELDS``, (n, ngeom, ...); changed in place.
        geoms: (b,) the boxes, from ``box_geoms``.
        task: n rows; a ramp whose slope it does not name is flat.

    Raises:
        BadArgumentError: a slope is not finite.
    """
    slopes = np.zeros((len(task), RAMPS))
    for number, name in enumerate(SLOPES):
        if name in task.names:
            slopes[:, number] = task[name]
    if not np.isfinite(slopes).all():
        raise BadArgumentError("the slopes of ramps must be finite")
    ground = boxes(slopes)
    new = {
        "geom_pos": ground.pos,
        "geom_quat": ground.quat,
        "geom_size": ground.size,
        "geom_rbound": np.linalg.norm(ground.size, axis=-1),
    }
    for name, value in new.items():
        fields[name][:, geoms] = value
    bounds = fields["geom_aabb"]  # center, half extent
    bounds[:, geoms, 3:] = ground.size


@body_model.register
def _(body: SlopeWalker) -> mujoco.MjSpec:
    """The walker's model, with flat boxes in the place of its ground."""
    spec = mujoco.MjSpec.from_file(str(body.mjcf))
    order_motors(spec, body)
    spec.delete(spec.geom("floor"))
    # The tree that speeds up collisions would keep the boxes where the model has them.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    flat = boxes(np.zeros((1, RAMPS)))
    for number, name in enumerate(BOXES):
        spec.worldbody.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=flat.pos[0, number],
            size=flat.size[0, number],
            contype=1,
            conaffinity=1,
        )
    return spec
