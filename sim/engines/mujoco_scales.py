"""Task parameters that change what MuJoCo's model has of its bodies, joints and geoms.

``body.thigh.mass_scale`` is the factor of one body's mass, ``body.mass_scale`` that of all bodies.
``joint.block_1.damping`` is the damping of one joint itself, N·s/m or N·m·s/rad.
"""

from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.errors import BadArgumentError
from robots.signals import Array
from robots.world import Task

# What a factor multiplies: all components of these fields of the model. A mass is changed without
# the inertia, as in the sources of the families that do so.
SCALED_FIELDS = {
    "body.mass_scale": "body_mass",
    "body.inertia_scale": "body_inertia",
    "joint.damping_scale": "dof_damping",
    "geom.friction_scale": "geom_friction",
}
JOINT_DAMPING = "joint.damping"  # with a joint's name in it: the damping of that joint
KINDS = {
    "body": mujoco.mjtObj.mjOBJ_BODY,
    "joint": mujoco.mjtObj.mjOBJ_JOINT,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
}


class Scale(NamedTuple):
    """One task parameter and what it multiplies, or replaces."""

    parameter: str  # the task's name of the factor
    field: str  # of the model
    rows: NDArray[np.int64]  # of the field: bodies, degrees of freedom or geoms
    replaces: bool = False  # whether it is the value itself, not a factor


def find_scales(model: mujoco.MjModel, names: tuple[str, ...]) -> list[Scale]:
    """The factors among a task's parameters; other names, also misspelled ones, are left out."""
    scales = []
    for name in names:
        kind, *element, quantity = name.split(".")
        replaces = f"{kind}.{quantity}" == JOINT_DAMPING and bool(element)
        field = "dof_damping" if replaces else SCALED_FIELDS.get(f"{kind}.{quantity}")
        if field is None or len(element) > 1:
            continue
        rows = _rows(model, kind, field, element)
        if len(rows):
            scales.append(Scale(name, field, rows, replaces))
    return scales


def _rows(model: mujoco.MjModel, kind: str, field: str, element: list[str]) -> NDArray[np.int64]:
    """The rows of a field that belong to a named element; all without a name."""
    if not element:
        return np.arange(len(getattr(model, field)))
    number = mujoco.mj_name2id(model, KINDS[kind], element[0])  # -1: there is none
    if kind == "joint":
        return np.flatnonzero(model.dof_jntid == number)
    rows = np.arange(len(getattr(model, field)))
    return np.flatnonzero(rows == number)


def apply_scales(values: dict[str, Array], scales: list[Scale], task: Task) -> None:
    """Multiply model fields by the tasks' factors, and replace those that tasks give themselves.

    Args:
        values: the fields of all scales, (n, ...) for n worlds; changed in place.
        scales: from ``find_scales``.
        task: n rows.

    Raises:
        BadArgumentError: a factor is not finite and positive, or a value is not finite or negative.
    """
    for scale in scales:
        number = task[scale.parameter]
        is_possible = np.isfinite(number) & (number >= 0 if scale.replaces else number > 0)
        if not is_possible.all():
            wrong = number[~is_possible][0]
            least = "not negative" if scale.replaces else "positive"
            raise BadArgumentError(f"{scale.parameter} must be finite and {least}, got {wrong}")
        field = values[scale.field]
        trailing = (1,) * (field.ndim - 1)
        numbers = number.reshape(-1, *trailing)
        if scale.replaces:
            field[:, scale.rows] = numbers
        else:
            field[:, scale.rows] *= numbers
