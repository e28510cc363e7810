"""Task parameters that scale what MuJoCo's model has of its bodies, joints and geoms.

``body.thigh.mass_scale`` is the factor of one body's mass, ``body.mass_scale`` that of all bodies.
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
KINDS = {
    "body": mujoco.mjtObj.mjOBJ_BODY,
    "joint": mujoco.mjtObj.mjOBJ_JOINT,
    "geom": mujoco.mjtObj.mjOBJ_GEOM,
}


class Scale(NamedTuple):
    """One task parameter and what it multiplies."""

    parameter: str  # the task's name of the factor
    field: str  # of the model
    rows: NDArray[np.int64]  # of the field: bodies, degrees of freedom or geoms


def find_scales(model: mujoco.MjModel, names: tuple[str, ...]) -> list[Scale]:
    """The factors among a task's parameters; other names, also misspelled ones, are left out."""
    scales = []
    for name in names:
        kind, *element, quantity = name.split(".")
        field = SCALED_FIELDS.get(f"{kind}.{quantity}")
        if field is None or len(element) > 1:
            continue
        rows = _rows(model, kind, field, element)
        if len(rows):
            scales.append(Scale(name, field, rows))
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
    """Multiply model fields by the tasks' factors.

    Args:
        values: the fields of all scales, (n, ...) for n worlds; changed in place.
        scales: from ``find_scales``.
        task: n rows.

    Raises:
        BadArgumentError: a factor is not finite and positive.
    """
    for scale in scales:
        factor = task[scale.parameter]
        is_possible = np.isfinite(factor) & (factor > 0)
        if not is_possible.all():
            wrong = factor[~is_possible][0]
            raise BadArgumentError(f"{scale.parameter} must be finite and positive, got {wrong}")
        field = values[scale.field]
        trailing = (1,) * (field.ndim - 1)
        field[:, scale.rows] *= factor.reshape(-1, *trailing)
