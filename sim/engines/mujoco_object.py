"""The loose object in MuJoCo's models: which fields of a model describe it, and their values."""

import mujoco
import numpy as np

from robots.signals import Array
from robots.world import Task
from sim import objects
from sim.scene_model import OBJECT, PARTS

OBJECT_FIELDS = (
    "geom_size",
    "geom_pos",
    "geom_aabb",
    "geom_rbound",
    "body_mass",
    "body_ipos",
    "body_inertia",
    "body_iquat",
    "pair_friction",
    "pair_solref",
)
STRIKE_TIME = 0.010  # s, half a period of the contact's spring: five steps of 2 ms resolve it


def set_object(values: dict[str, Array], model: mujoco.MjModel, task: Task) -> None:
    """Overwrite the object in model fields.

    Args:
        values: each of ``OBJECT_FIELDS``, (n, ...) for n worlds; changed in place.
        model: the scene's.
        task: n rows.

    Raises:
        BadArgumentError: an object has a shape that does not exist.
    """
    described = objects.describe(task)
    _set_geoms(values, model, described.parts)
    _set_inertia(values, model, described.inertia)
    _set_contacts(values, described.parameters)


def _set_geoms(values: dict[str, Array], model: mujoco.MjModel, parts: objects.Parts) -> None:
    """Sizes and places of the parts, and the bounds that collision detection uses."""
    geoms = [model.geom(name).id for name in PARTS]
    boxes = parts.size[:, :2]
    disc = parts.size[:, 2:]  # radius, half height, 0
    half_extent = np.concatenate([boxes, disc[..., [0, 0, 1]]], 1)
    values["geom_size"][:, geoms] = parts.size
    values["geom_pos"][:, geoms] = parts.pos
    values["geom_aabb"][:, geoms, 3:] = half_extent
    values["geom_rbound"][:, geoms] = np.linalg.norm(half_extent, axis=-1)


def _set_inertia(values: dict[str, Array], model: mujoco.MjModel, inertia: objects.Inertia) -> None:
    body = model.body(OBJECT).id
    values["body_mass"][:, body] = inertia.mass
    values["body_ipos"][:, body] = inertia.com
    values["body_inertia"][:, body] = inertia.moments
    values["body_iquat"][:, body] = inertia.quat


def _set_contacts(values: dict[str, Array], parameters: dict[str, Array]) -> None:
    """Friction of all contacts; restitution of those with the body, not of those with the table.

    A contact with the body is a spring and damper in MuJoCo's direct form: solref is minus
    stiffness and minus damping per unit mass, with ω = π / (STRIKE_TIME · √(1 - ζ²)) for the
    damping ratio ζ that gives the restitution.
    """
    values["pair_friction"][:, :, :2] = parameters["object.friction"][:, None, None]
    ratio = objects.damping_ratio(parameters["object.restitution"])
    omega = np.pi / STRIKE_TIME / np.sqrt(1 - ratio**2)
    strikes = values["pair_solref"][:, len(PARTS) :]  # the first pairs are with the table
    strikes[..., 0] = -(omega**2)[:, None]
    strikes[..., 1] = -(2 * ratio * omega)[:, None]
