"""Measures a gripper of two fingers by closing it in MuJoCo, with all that couples its joints.

A gripper's MJCF may have closed loops, tendons and springs, such as Menagerie's Robotiq 2F-85. What
a task needs of it is how far apart the pads are under each control, and how hard they press. Both
are measured without gravity, on the model as it is.

Axes: k levels of the control, from the open gripper to the closed one.
"""

from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from robots.errors import BadArgumentError
from robots.mjcf import compile_mjcf
from robots.mujoco_model import compile_model
from robots.rotations import quaternion_from_matrix, rotation_to_axis
from robots.signals import Array
from sim.gripper_sweep import OBJECT, Sweep, pad_geoms, shortest_way, sweep_control

LEVELS = 17  # of the control, with nothing between the pads
TOUCHING = 1e-4  # m, between pads that touch each other
BLOCK = 0.005  # m, half the height and half the depth of an object that is gripped
SHARES = (0.25, 0.5, 0.75)  # of the largest width: the objects that are gripped
LARGEST_TURN = np.deg2rad(5.0)  # of a pad while it closes: below, the pads count as parallel
LARGEST_DIFFERENCE = 0.1  # between the strokes of the two fingers, as a share of their mean


@dataclass(frozen=True)
class MeasuredGripper:
    """What a gripper does under its control; places are in the frame of its model's world."""

    pads: tuple[str, str]  # names of the bodies
    control: Array  # (k,) of its actuator
    width: Array  # (k,) m, between the pads; it falls strictly
    force: float  # N, of each pad on an object when it is closed: the mean over several widths
    force_spread: float  # (largest - smallest) / mean of these forces
    qpos: Array  # (nq,) rad or m, half open
    half_open: float  # m, the width then
    axis: Array  # (3,) unit vector, from the second pad to the first
    grasp: Array  # (3,) m, the middle between the pads then
    heave: float  # m, by which the pads move across ``axis`` while they close
    turn: float  # rad, by which they turn


def measure_gripper(mjcf: Path, pads: tuple[str, str]) -> MeasuredGripper:
    """Close a gripper in simulation, with nothing and with objects of several widths.

    Args:
        mjcf: its model, with one actuator.
        pads: names of the two bodies whose colliding geoms touch an object.

    Raises:
        BadArgumentError: the model cannot be read, has no such pads, or not one actuator with a
            range; it does not come to rest; the width does not fall steadily; the pads turn, do
            not move alike, or do not press. The message says what was measured.
    """
    model = compile_mjcf(mjcf)
    control, sweep = _close_on_nothing(model, pads)

    middle = int(np.argmin(np.abs(sweep.width - sweep.width.mean())))
    axis = _direction(model, pads, sweep.qpos[middle])
    turn = _check_parallel(sweep)
    _check_alike(sweep, axis)
    across = sweep.place - (sweep.place @ axis)[..., None] * axis
    heave = np.linalg.norm(across - across[0], axis=-1)

    forces = np.array([_press(mjcf, pads, share, control, sweep, axis) for share in SHARES])
    return MeasuredGripper(
        pads=pads,
        control=control,
        width=sweep.width,
        force=float(forces.mean()),
        force_spread=float(np.ptp(forces) / forces.mean()),
        qpos=sweep.qpos[middle],
        half_open=float(sweep.width[middle]),
        axis=axis,
        grasp=sweep.place[middle].mean(0),
        heave=float(heave.max()),
        turn=turn,
    )


def _close_on_nothing(model: mujoco.MjModel, pads: tuple[str, str]) -> tuple[Array, Sweep]:
    """Controls (k,) from the open gripper to the first that closes it, and what they do."""
    low, high = _control_range(model)
    control = np.linspace(low, high, LEVELS)
    sweep = sweep_control(model, pads, control)
    if sweep.width[0] < sweep.width[-1]:
        control = control[::-1]
        sweep = sweep_control(model, pads, control)

    touching = np.flatnonzero(sweep.width < TOUCHING)
    last = int(touching[0]) if len(touching) else LEVELS - 1
    width = sweep.width[: last + 1].clip(0.0)
    rises = np.flatnonzero(np.diff(width) >= 0)
    if last == 0 or len(rises):
        at = int(rises[0]) if len(rises) else 0
        raise BadArgumentError(
            f"its pads are {1e3 * width[at]:.1f} mm apart under the control {control[at]:g}, and "
            f"do not come closer under the next one, {control[at + 1]:g}"
        )
    return control[: last + 1], sweep.first(last + 1, width)


def _control_range(model: mujoco.MjModel) -> tuple[float, float]:
    """The range of the one actuator."""
    if model.nu != 1:
        names = ", ".join(model.actuator(i).name or str(i) for i in range(model.nu)) or "none"
        raise BadArgumentError(f"a gripper has one actuator, this model has {model.nu}: {names}")
    if not model.actuator_ctrllimited[0]:
        raise BadArgumentError(f"its actuator {model.actuator(0).name!r} has no ctrlrange")
    low, high = model.actuator_ctrlrange[0].tolist()
    return low, high


def _direction(model: mujoco.MjModel, pads: tuple[str, str], qpos: Array) -> Array:
    """The unit vector (3,) of the shortest way from the second pad to the first."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_forward(model, data)
    first, second = pad_geoms(model, pads)
    _, way = shortest_way(model, data, second, first)
    return way / np.linalg.norm(way)


def _check_alike(sweep: Sweep, axis: Array) -> None:
    """Check that both pads move by the same stroke toward each other."""
    moved = (sweep.place[0] - sweep.place[-1]) @ axis
    first, second = (moved * np.array([1.0, -1.0])).tolist()
    if abs(first - second) > LARGEST_DIFFERENCE * (first + second) / 2:
        raise BadArgumentError(
            f"its pads move by {1e3 * first:.1f} and {1e3 * second:.1f} mm toward each other; "
            "fingers that slide alike cannot stand for it"
        )


def _check_parallel(sweep: Sweep) -> float:
    """The largest angle, rad, by which a pad turns."""
    relative = sweep.rotation[0].swapaxes(-1, -2) @ sweep.rotation
    cosine = (relative.trace(axis1=-2, axis2=-1) - 1) / 2
    turn = float(np.arccos(cosine.clip(-1, 1)).max())
    if turn > LARGEST_TURN:
        raise BadArgumentError(
            f"its pads turn by {np.rad2deg(turn):.0f}° while they close; fingers that slide can "
            f"stand for it up to {np.rad2deg(LARGEST_TURN):.0f}°"
        )
    return turn


def _press(
    mjcf: Path,
    pads: tuple[str, str],
    share: float,
    control: Array,
    free: Sweep,
    axis: Array,
) -> float:
    """The force, N, with which each pad presses on a fixed block when the gripper is closed.

    Args:
        mjcf: the gripper's model.
        pads: names of the bodies.
        share: of the largest width, that of the block.
        control: (k,) from the open gripper to the closed one.
        free: the sweep without a block.
        axis: (3,) unit vector, along which the pads close.
    """
    size = share * float(free.width[0])
    center = _at_width(size, free.width, free.place.mean(1))
    model = _with_block(mjcf, size, center, axis)
    force = float(sweep_control(model, pads, control, start=free.qpos[0]).force[-1])
    if force <= 0:
        raise BadArgumentError(f"its pads do not press on an object of {1e3 * size:.0f} mm")
    return force


def _at_width(size: float, width: Array, values: Array) -> Array:
    """Values (k, 3) at falling widths (k,), interpolated at one, (3,)."""
    rising = width[::-1]
    columns = [np.interp(size, rising, column[::-1]) for column in values.T]
    return np.array(columns)


def _with_block(mjcf: Path, size: float, center: Array, axis: Array) -> mujoco.MjModel:
    """The gripper's model with a fixed block of ``size`` m between its pads."""
    spec = mujoco.MjSpec.from_file(str(mjcf))
    # its z axis is the direction of closing
    tilt = rotation_to_axis(axis)[:3, :3]
    block = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX)
    block.name = OBJECT
    block.size = [BLOCK, BLOCK, size / 2]
    block.pos = center
    block.quat = quaternion_from_matrix(tilt[None])[0]
    block.contype = 1
    block.conaffinity = 1
    return compile_model(spec)
