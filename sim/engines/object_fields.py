"""Objects in a scene's model: which fields describe them, and the values of n tasks."""

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.scene import Scene, SceneObject
from robots.signals import Array, Mask
from robots.world import Task
from sim.choice_model import choice_geoms
from sim.contact_spring import contact_spring
from sim.object_joints import JOINT_PLACE, has_latch, latch_edges, latch_names, latch_stiffness
from sim.objects import Objects, Parts, describe
from sim.scene_contents import JOINTS, part_names
from sim.scene_model import own_grounds

OBJECT_FIELDS = (
    "geom_size",
    "geom_pos",
    "geom_aabb",
    "geom_rbound",
    "geom_friction",
    "body_mass",
    "body_ipos",
    "body_inertia",
    "body_iquat",
    "pair_friction",
    "pair_solref",
)
CHOICE_FIELDS = ("geom_type",)  # beside these, where a task chooses a mesh
# beside these, where an object is on a joint
OBJECT_JOINT_FIELDS = (
    "jnt_type",
    "jnt_axis",
    "jnt_range",
    "jnt_pos",
    "dof_frictionloss",
    "dof_damping",
)
LATCH_FIELDS = ("tendon_stiffness", "tendon_lengthspring")  # beside these, where it has a latch
Ids = NDArray[np.int32]
GROUNDS = (mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_HFIELD)


@dataclass(frozen=True)
class ObjectIds:
    """Where an object is in a model."""

    item: SceneObject
    body: int
    geoms: Ids  # of its parts
    strikes: Mask  # (npair,) the pairs with the body that may strike it
    # fields of the parts for every choice, (c, p, ...); empty without choices
    choices: dict[str, Array]
    joint: int
    degree: int  # its joint's, or the first one of it
    springs: Ids  # of its latch, (3,); (0,) without a latch


class ObjectFields:
    """Writes the objects of tasks into fields of a scene's model. Axes: n tasks.

    Attributes:
        names: of the fields that it writes.
    """

    def __init__(self, scene: Scene, model: mujoco.MjModel) -> None:
        """Find the scene's objects in its model."""
        self._pairs = (model.pair_geom1.copy(), model.pair_geom2.copy())
        self._grounds = own_grounds(model)
        strikers = _striking_geoms(scene, model)
        self._ids = []
        self.names: tuple[str, ...] = OBJECT_FIELDS
        for item in scene.objects:
            numbers = [model.geom(name).id for name in part_names(item)]
            geoms = np.array(numbers, dtype=np.int32)
            strikes = _pairs_between(self._pairs, geoms, strikers)
            body = model.body(item.name).id
            choices = {}
            if item.kind == "meshes":
                choices = choice_geoms(item, model, geoms)
                self.names += CHOICE_FIELDS
            joint = model.joint(item.name)
            degree = int(joint.dofadr[0])
            latch = latch_names(item.name) if has_latch(item) else []
            springs = np.array([model.tendon(name).id for name in latch], dtype=np.int32)
            self._ids.append(
                ObjectIds(item, body, geoms, strikes, choices, joint.id, degree, springs)
            )
        if any(item.joints for item in scene.objects):
            self.names += OBJECT_JOINT_FIELDS
        if any(has_latch(item) for item in scene.objects):
            self.names += LATCH_FIELDS

    def write(self, values: dict[str, Array], task: Task) -> list[Objects]:
        """Overwrite the objects in model fields.

        Args:
            values: each of ``names``, (n, ...); changed in place.
            task: n rows.

        Returns:
            The objects, in the scene's order.

        Raises:
            BadArgumentError: an object has a shape that does not exist.
        """
        all_described = []
        sliding = values["geom_friction"][:, :, 0]  # (n, ngeom)
        for ids in self._ids:
            described = describe(ids.item, task)
            if ids.choices:
                _set_choice(values, ids, described.parameters["shape"])
            else:
                _set_geoms(values, ids.geoms, described.parts)
            _set_inertia(values, ids.body, described)
            _set_springs(values, ids.strikes, described.parameters)
            if ids.item.joints:
                _set_joint(values, ids, described.parameters)
            friction = described.parameters["friction"]
            sliding[:, ids.geoms] = friction[:, None]
            all_described.append(described)
        first, second = self._pairs
        factor = np.where(self._grounds, 1.0, sliding)
        product = factor[:, first] * factor[:, second]
        values["pair_friction"][:, :, :2] = product[..., None]
        return all_described


def _pairs_between(pairs: tuple[Ids, Ids], first: Ids, second: Ids) -> Mask:
    """The pairs of a geom among ``first`` with one among ``second``, (npair,)."""
    one, other = pairs
    forward = np.isin(one, first) & np.isin(other, second)
    backward = np.isin(one, second) & np.isin(other, first)
    return forward | backward


def _striking_geoms(scene: Scene, model: mujoco.MjModel) -> Ids:
    """The geoms of the scene's body, without the ground that its model may have."""
    others = {fixture.name for fixture in scene.fixtures}
    for item in scene.objects:
        others |= set(part_names(item))
    found = []
    for geom in range(model.ngeom):
        is_ground = mujoco.mjtGeom(model.geom_type[geom]) in GROUNDS
        if model.geom(geom).name not in others and not is_ground:
            found.append(geom)
    return np.array(found, dtype=np.int32)


def _set_geoms(values: dict[str, Array], geoms: Ids, parts: Parts) -> None:
    """Sizes and places of the parts, and the bounds that collision detection uses.

    A mesh keeps its own.
    """
    if parts.kinds == ("mesh",):
        return
    half_extent = parts.half_extent()
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


def _set_choice(values: dict[str, Array], ids: ObjectIds, codes: Array) -> None:
    """The meshes of the parts, their places and bounds; shape codes are (n,)."""
    rows = codes.astype(np.int64)
    for name, table in ids.choices.items():
        values[name][:, ids.geoms] = table[rows]


def _set_inertia(values: dict[str, Array], body: int, described: Objects) -> None:
    inertia = described.inertia
    new = {
        "body_mass": inertia.mass,
        "body_ipos": inertia.com,
        "body_inertia": inertia.moments,
        "body_iquat": inertia.quat,
    }
    for name, value in new.items():
        values[name][:, body] = value


def _set_joint(values: dict[str, Array], ids: ObjectIds, parameters: dict[str, Array]) -> None:
    """Which joint an object is on, where it is, and what resists it."""
    codes = parameters["joint"]
    for code, joint in enumerate(ids.item.joints):
        rows = np.flatnonzero(codes == code)
        values["jnt_type"][rows, ids.joint] = JOINTS[joint.kind]
        values["jnt_axis"][rows, ids.joint] = joint.axis
        values["jnt_range"][rows, ids.joint] = joint.limits
        if len(ids.springs):
            edges = latch_edges(joint)
            slack = np.stack([-edges, edges], -1)
            stiffness = latch_stiffness(joint, parameters["joint_latch"][rows])
            springs = (rows[:, None], ids.springs)
            values["tendon_stiffness"][springs] = stiffness
            values["tendon_lengthspring"][springs] = slack
    place = [parameters[name] for name in JOINT_PLACE]
    values["jnt_pos"][:, ids.joint] = np.stack(place, -1)
    values["dof_frictionloss"][:, ids.degree] = parameters["joint_friction"]
    values["dof_damping"][:, ids.degree] = parameters["joint_damping"]


def _set_springs(values: dict[str, Array], strikes: Mask, parameters: dict[str, Array]) -> None:
    """Restitution of the contacts with the body, not of those with tables.

    Such a contact is a spring and damper in MuJoCo's direct form: solref is minus stiffness and
    minus damping per unit mass.
    """
    spring = contact_spring(parameters["restitution"])
    solref = values["pair_solref"]
    solref[:, strikes, 0] = -spring.stiffness[:, None]
    solref[:, strikes, 1] = -spring.damping[:, None]
