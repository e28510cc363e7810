"""What may touch what in a compiled MuJoCo model, in the terms of PyBullet.

A solid is a body that moves, with all its geoms, or a single geom that does not move: Bullet has
one friction for each, and multiplies those of two that touch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import mujoco
import numpy as np

from robots.errors import BadArgumentError
from robots.mjcf import WORLD
from robots.signals import Mask
from sim.scene_model import own_grounds

SAME = 1e-9  # of friction
NO_PARENT_FILTER = int(mujoco.mjtDisableBit.mjDSBL_FILTERPARENT)
Pair = tuple[int, int]


@dataclass(frozen=True)
class Contact:
    """Two geoms, or two solids, that may touch."""

    pair: Pair  # the smaller number first
    friction: float  # Coulomb's coefficient
    # stiffness 1/s² and damping 1/s per mass of the object that is struck; None: rigid
    spring: tuple[float, float] | None = None


def geom_contacts(model: mujoco.MjModel) -> list[Contact]:
    """Every two geoms that may touch, by the model's pairs and its collision filters."""
    found = {}
    for contact in _filtered(model):
        found[contact.pair] = contact
    for number in range(model.npair):
        contact = _explicit(model, number)
        found[contact.pair] = contact
    return list(found.values())


def ordered(first: int, second: int) -> Pair:
    """Two numbers, the smaller one first."""
    return min(first, second), max(first, second)


def touching_geoms(model: mujoco.MjModel, contacts: list[Contact]) -> Mask:
    """The geoms that may touch something, (ngeom,)."""
    result = np.zeros(model.ngeom, dtype=bool)
    for contact in contacts:
        result[list(contact.pair)] = True
    return result


def solid_of(model: mujoco.MjModel, geom: int) -> int:
    """The number of a geom's solid: of its body, or after all bodies where it does not move."""
    body = int(model.geom_bodyid[geom])
    moves = model.body_weldid[body] != WORLD
    return body if moves else model.nbody + geom


def solid_contacts(model: mujoco.MjModel, contacts: list[Contact]) -> list[Contact]:
    """Every two solids that may touch, from the geoms that may.

    Raises:
        BadArgumentError: geoms of one solid differ in friction, or in what they may touch.
    """
    found: dict[Pair, Contact] = {}
    counts: dict[Pair, int] = {}
    for contact in contacts:
        first, second = contact.pair
        pair = ordered(solid_of(model, first), solid_of(model, second))
        new = Contact(pair, contact.friction, contact.spring)
        known = found.setdefault(pair, new)
        if abs(known.friction - contact.friction) > SAME:
            name = solid_name(model, pair[0])
            raise BadArgumentError(f"PyBullet has one friction for all geoms of {name}")
        counts[pair] = counts.get(pair, 0) + 1
    touching = np.flatnonzero(touching_geoms(model, contacts))
    solids = [solid_of(model, int(geom)) for geom in touching]
    for pair, count in counts.items():
        first, second = pair
        possible = solids.count(first) * solids.count(second)
        if count < possible:
            name = solid_name(model, first)
            other = solid_name(model, second)
            raise BadArgumentError(f"PyBullet lets all geoms of {name} and {other} touch, or none")
    return list(found.values())


def solid_frictions(model: mujoco.MjModel, contacts: list[Contact]) -> dict[int, float]:
    """Frictions of the solids whose products are those of the contacts.

    That of a fixed geom is its own, and 1 where it is the ground of a body's own model. Only where
    two links of one body touch, the product is not the model's friction.

    Args:
        model: compiled.
        contacts: of solids.

    Raises:
        BadArgumentError: there are no such numbers.
    """
    fixed = _fixed_frictions(model, contacts)
    result = dict(fixed)
    for contact in contacts:
        body, other = contact.pair
        is_known = body in fixed or not fixed.get(other)
        if is_known:  # also where the ground has none: then it is none, whatever the body's is
            continue
        needed = contact.friction / fixed[other]
        if abs(result.setdefault(body, needed) - needed) > SAME:
            name = solid_name(model, body)
            raise BadArgumentError(f"PyBullet cannot give {name} one friction for each ground")
    for contact in contacts:
        for solid in contact.pair:
            if solid not in result:
                result[solid] = _own_friction(model, solid)
    return result


def solid_name(model: mujoco.MjModel, solid: int) -> str:
    """What a solid is called in the model."""
    if solid < model.nbody:
        return str(model.body(solid).name)
    return str(model.geom(solid - model.nbody).name)


def _fixed_frictions(model: mujoco.MjModel, contacts: list[Contact]) -> dict[int, float]:
    """Those of geoms that do not move."""
    is_ground = own_grounds(model)
    result = {}
    for contact in contacts:
        for solid in contact.pair:
            geom = solid - model.nbody
            if geom >= 0:
                result[solid] = 1.0 if is_ground[geom] else float(model.geom_friction[geom, 0])
    return result


def _own_friction(model: mujoco.MjModel, body: int) -> float:
    """That of a body's first geom."""
    first = np.flatnonzero(model.geom_bodyid == body)[0]
    return float(model.geom_friction[first, 0])


def _explicit(model: mujoco.MjModel, number: int) -> Contact:
    """A pair that the model lists. A spring in MuJoCo's direct form is negative."""
    first = int(model.pair_geom1[number])
    second = int(model.pair_geom2[number])
    friction = float(model.pair_friction[number, 0])
    stiffness, damping = (-model.pair_solref[number]).tolist()
    spring = None
    if stiffness > 0:
        spring = (stiffness, damping)
    return Contact(ordered(first, second), friction, spring)


def _filtered(model: mujoco.MjModel) -> Iterator[Contact]:
    """Two geoms whose filters let them touch; friction is the larger one, as in MuJoCo."""
    sliding = model.geom_friction[:, 0].tolist()
    filters = model.geom_contype | model.geom_conaffinity
    candidates = np.flatnonzero(filters).tolist()
    for first, second in combinations(candidates, 2):
        if _may_touch(model, first, second):
            friction = max(sliding[first], sliding[second])
            yield Contact((first, second), friction)


def _may_touch(model: mujoco.MjModel, first: int, second: int) -> bool:
    """MuJoCo's rules for geoms that no pair lists."""
    forward = model.geom_contype[first] & model.geom_conaffinity[second]
    backward = model.geom_contype[second] & model.geom_conaffinity[first]
    if not (forward or backward):
        return False
    bodies = (int(model.geom_bodyid[first]), int(model.geom_bodyid[second]))
    low, high = sorted(bodies)
    if (low << 16) + high in model.exclude_signature:
        return False
    weld = model.body_weldid
    groups = {int(weld[body]) for body in bodies}
    if len(groups) == 1:
        return False  # they do not move against each other
    if model.opt.disableflags & NO_PARENT_FILTER or WORLD in groups:
        return True
    parents = {int(weld[model.body_parentid[group]]) for group in groups}
    return not groups & parents
