"""The loose object in MuJoCo's models: which fields of a model describe it, and their values."""

import mujoco
import numpy as np

from robots.signals import Array
from sim import objects
from sim.contact_spring import contact_spring
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


def set_object(values: dict[str, Array], model: mujoco.MjModel, described: objects.Objects) -> None:
    """Overwrite the object in model fields.

    Args:
        values: each of ``OBJECT_FIELDS``, (n, ...) for n worlds; changed in place.
        model: the scene's.
        described: n objects.
    """
    _set_geoms(values, model, described.parts)
    _set_inertia(values, model, described.inertia)
    _set_contacts(values, described.parameters)


def _set_geoms(values: dict[str, Array], model: mujoco.MjModel, parts: objects.Parts) -> None:
    """Sizes and places of the parts, and the bounds that collision detection uses."""
    boxes = parts.size[:, : objects.DISC]
    disc = parts.size[:, objects.DISC :]
    disc_extent = disc[..., [0, 0, 1]]  # radius, radius, half height
    half_extent = np.concatenate([boxes, disc_extent], 1)
    geoms = [model.geom(name).id for name in PARTS]
    radius = np.linalg.norm(half_extent, axis=-1)
    new = {
        "geom_size": parts.size,
        "geom_pos": parts.pos,
        "geom_rbound": radius,
    }
    for name, value in new.items():
        values[name][:, geoms] = value
    bounds = values["geom_aabb"]  # center, half extent
    bounds[:, geoms, 3:] = half_extent


def _set_inertia(values: dict[str, Array], model: mujoco.MjModel, inertia: objects.Inertia) -> None:
    body = model.body(OBJECT).id
    new = {
        "body_mass": inertia.mass,
        "body_ipos": inertia.com,
        "body_inertia": inertia.moments,
        "body_iquat": inertia.quat,
    }
    for name, value in new.items():
        values[name][:, body] = value


def _set_contacts(values: dict[str, Array], parameters: dict[str, Array]) -> None:
    """Friction of all contacts; restitution of those with the body, not of those with the table.

    A contact with the body is a spring and damper in MuJoCo's direct form: solref is minus
    stiffness and minus damping per unit mass.
    """
    friction = parameters["object.friction"]
    sliding = values["pair_friction"][:, :, :2]
    sliding[:] = friction[:, None, None]
    restitution = parameters["object.restitution"]
    spring = contact_spring(restitution)
    solref = values["pair_solref"]
    strikes = solref[:, len(PARTS) :]  # the first pairs are with the table
    strikes[..., 0] = -spring.stiffness[:, None]
    strikes[..., 1] = -spring.damping[:, None]
