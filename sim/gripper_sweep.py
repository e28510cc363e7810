"""Closes a gripper of two fingers in MuJoCo, one level of its control after another.

Axes: k levels of the control, c colliding geoms of a pad.
"""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array

Geoms = NDArray[np.int64]  # MuJoCo's numbers of geoms
OBJECT = "gripped_object"  # name of the geom between the pads; a model without it has none
SETTLE = 2.0  # s, in which a gripper comes to rest under each control
STILL = 2e-3  # rad/s or m/s, of a gripper at rest, on average over ...
CHECKED = 0.1  # ... this time, s: pads that touch may tremble
FARTHEST = 1.0  # m, up to which distances are computed


@dataclass(frozen=True)
class Sweep:
    """What was measured at rest under each level of the control."""

    width: Array  # (k,) m, the shortest distance between the pads
    force: Array  # (k,) N, of each pad on the object, the mean of both; 0 without one
    qpos: Array  # (k, nq) rad or m
    place: Array  # (k, 2, 3) m, the middle of each pad
    rotation: Array  # (k, 2, 3, 3) of each pad's body

    def first(self, count: int, width: Array) -> "Sweep":
        """The first levels alone, with widths (count,) m in place of those measured."""
        rest = {name: values[:count] for name, values in vars(self).items()}
        return replace(self, **{**rest, "width": width})


def sweep_control(
    model: mujoco.MjModel, pads: tuple[str, str], control: Array, start: Array | None = None
) -> Sweep:
    """Let a gripper come to rest under each control, without gravity.

    Args:
        model: of the gripper.
        pads: names of the bodies that touch an object.
        control: (k,) of its actuator.
        start: (nq,) rad or m, where it begins; None: the model's own posture.

    Raises:
        BadArgumentError: it does not come to rest, or a pad is missing.
    """
    geoms = pad_geoms(model, pads)
    bodies = [model.body(name).id for name in pads]
    model.opt.gravity[:] = 0.0
    data = mujoco.MjData(model)
    if start is not None:
        data.qpos[:] = start
    rows = []
    for value in control:
        data.ctrl[:] = value
        _settle(model, data)
        distance, _ = shortest_way(model, data, *geoms)
        place = [data.geom_xpos[pad].mean(0) for pad in geoms]
        rotation = data.xmat[bodies].reshape(2, 3, 3).copy()
        rows.append((distance, _pressing(model, data), data.qpos.copy(), place, rotation))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Sweep(*columns)


def pad_geoms(model: mujoco.MjModel, pads: tuple[str, str]) -> tuple[Geoms, Geoms]:
    """The colliding geoms (c,) of each pad.

    Raises:
        BadArgumentError: there is no such body, or nothing of it collides.
    """
    collides = (model.geom_contype | model.geom_conaffinity) != 0
    names = [model.body(i).name for i in range(1, model.nbody)]
    found = []
    for pad in pads:
        if pad not in names:
            raise BadArgumentError(f"it has no body {pad!r}; its bodies are: {', '.join(names)}")
        geoms = np.flatnonzero(collides & (model.geom_bodyid == model.body(pad).id)).astype(
            np.int64
        )
        if not len(geoms):
            raise BadArgumentError(f"its body {pad!r} has no geom that collides")
        found.append(geoms)
    first, second = found
    return first, second


def shortest_way(
    model: mujoco.MjModel, data: mujoco.MjData, geoms: Geoms, others: Geoms
) -> tuple[float, Array]:
    """The smallest distance m between two groups of geoms, and the way (3,) m across it.

    The distance is negative where they overlap.
    """
    shortest = np.inf
    way = np.zeros(3)
    ends = np.zeros(6)
    for one in geoms:
        for other in others:
            distance = mujoco.mj_geomDistance(model, data, one, other, FARTHEST, ends)
            if distance < shortest:
                shortest = distance
                way = ends[3:] - ends[:3]
    return shortest, way


def _settle(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Step until the gripper stands."""
    steps = max(1, round(CHECKED / model.opt.timestep))
    while_moving = round(SETTLE / CHECKED)
    for _ in range(while_moving):
        before = data.qpos.copy()
        mujoco.mj_step(model, data, steps)
        speed = np.abs(data.qpos - before).max() / CHECKED
        if speed < STILL:
            return
    raise BadArgumentError(
        f"it moves at {speed:.2g} rad/s or m/s {SETTLE:g} s after its control became "
        f"{data.ctrl[0]:g}: it does not come to rest"
    )


def _pressing(model: mujoco.MjModel, data: mujoco.MjData) -> float:
    """The force on the object along its z axis, N, of each pad: the mean of both."""
    block = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM, OBJECT)
    if block < 0:
        return 0.0
    axis = data.geom_xmat[block].reshape(3, 3)[:, 2]
    total = 0.0
    wrench = np.zeros(6)
    for i in range(data.ncon):
        contact = data.contact[i]
        if block in contact.geom:
            mujoco.mj_contactForce(model, data, i, wrench)
            total += wrench[0] * abs(contact.frame[:3] @ axis)
    return total / 2
