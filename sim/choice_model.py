"""Meshes of the objects of a user in a MuJoCo model, of which each task has one.

There is a geom for every part of every choice. Those of the other choices become tiny balls inside
the object that a task has. Axes: c choices, p parts of all choices together.
"""

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.mesh_object import convex_parts
from robots.scene import SceneObject
from robots.signals import Array
from sim.mesh_choices import choice_parts
from sim.outlines import HIDDEN


def add_part_meshes(spec: mujoco.MjSpec, item: SceneObject) -> list[str]:
    """Add the mesh of every part to a model; returns their names, (p,)."""
    names = []
    for choice, own in enumerate(item.choices):
        for part, solid in enumerate(convex_parts(own)):
            mesh = spec.add_mesh(name=f"{item.name}_{choice}_{part}")
            mesh.uservert = solid.vertices.ravel()
            mesh.userface = solid.faces.ravel()
            names.append(mesh.name)
    return names


def choice_geoms(
    item: SceneObject, model: mujoco.MjModel, geoms: NDArray[np.int32]
) -> dict[str, Array]:
    """The fields that make one choice of an object solid, (c, p, ...) by name.

    Args:
        item: the object.
        model: compiled, with the geoms of all parts as they are.
        geoms: their numbers, (p,).
    """
    used = choice_parts(item.choices).used
    is_used = used[..., None]
    places = model.geom_pos[geoms]
    first = used.argmax(-1)
    ball = np.full(3, HIDDEN / 2)
    ball_box = np.concatenate([np.zeros(3), ball])
    return {
        "geom_type": np.where(used, mujoco.mjtGeom.mjGEOM_MESH, mujoco.mjtGeom.mjGEOM_SPHERE),
        "geom_pos": np.where(is_used, places, places[first][:, None]),
        "geom_size": np.where(is_used, model.geom_size[geoms], ball),
        "geom_aabb": np.where(is_used, model.geom_aabb[geoms], ball_box),
        "geom_rbound": np.where(used, model.geom_rbound[geoms], HIDDEN),
    }
