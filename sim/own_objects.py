"""Families whose object is one of a user's own, instead of the shapes that they declare."""

from copy import copy
from dataclasses import replace
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from robots.errors import BadArgumentError
from robots.mesh_object import Interval, MeshObject
from robots.scene import Scene, SceneObject
from robots.signals import Array
from robots.world import Family, Task
from sim.families.splits import heldout
from sim.mesh_choices import numbers_of
from sim.outlines import SHAPES
from sim.randomization import Parameter, describe_allowed

Objects = tuple[MeshObject, ...]
F = TypeVar("F", bound=Family)
OF_OBJECT = "object."  # begins the names of task parameters that describe the object
DRAWN = ("mass", "friction", "restitution")


@runtime_checkable
class TakesObjects(Protocol):
    """A family whose object may be a user's own."""

    own_objects: Objects  # (): its own shapes
    scene: Scene
    parameters: tuple[Parameter, ...]


def with_objects(family: F, objects: Objects) -> F:
    """The family with these objects in the place of its own; the family itself without any.

    Raises:
        BadArgumentError: the family has no object that could be replaced, an object is too large or
            too heavy for it, or all are for held-out tasks.
    """
    if not objects:
        return family
    if not isinstance(family, TakesObjects):
        raise BadArgumentError(
            f"{family.name} takes no objects of yours; slide, slide_plane and push do"
        )
    declared = {parameter.name: parameter for parameter in type(family).parameters}
    for item in objects:
        _check_fits(family, item, declared)
    if all(item.heldout for item in objects):
        raise BadArgumentError(f"all objects are held out: {family.name} needs one to train on")
    (old,) = family.scene.objects
    new = SceneObject(old.name, "meshes", (), choices=objects)
    changed = copy(family)
    changed.own_objects = objects
    changed.scene = replace(family.scene, objects=(new,))
    others = [each for each in family.parameters if not each.name.startswith(OF_OBJECT)]
    changed.parameters = tuple(others)
    return changed


def _check_fits(family: Family, item: MeshObject, declared: dict[str, Parameter]) -> None:
    """Refuse an object whose size or physics the family does not allow."""
    intervals: dict[str, Interval] = {name: getattr(item, name) for name in DRAWN}
    for axis, half in zip("xyz", item.half_extent.tolist(), strict=True):
        intervals[f"size_{axis}"] = (half, half)
    for name, (low, high) in intervals.items():
        parameter = declared.get(OF_OBJECT + name)
        if parameter is None:
            continue
        smallest, largest = parameter.allowed
        if low < smallest or high > largest:
            given = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            raise BadArgumentError(
                f"{item.name}: {name} {given}: {family.name} allows numbers "
                f"{describe_allowed(parameter)} ({parameter.meaning})"
            )


def draw_objects(
    objects: Objects, rng: np.random.Generator, n: int, split: str
) -> dict[str, Array]:
    """The parameters of n objects by name, (n,) each: the objects in turn, from any of them on.

    Held-out tasks have the objects that are marked as held out, which training tasks never have;
    where none are marked, both splits have all of them.
    """
    is_marked = np.array([item.heldout for item in objects])
    wants_marked = heldout(split) and is_marked.any()
    available = np.flatnonzero(is_marked == wants_marked)
    first = rng.integers(len(available))
    turn = first + np.arange(n)
    rows = available[turn % len(available)]
    numbers = numbers_of(objects, rows)
    for name in DRAWN:
        intervals = np.array([getattr(item, name) for item in objects])
        low, high = intervals[rows].T
        numbers[name] = low + (high - low) * rng.random(n)
    return {OF_OBJECT + name: column for name, column in numbers.items()}


def own_objects_of(family: Family) -> Objects:
    """The objects of a user that a family has; none where it has its own shapes."""
    return family.own_objects if isinstance(family, TakesObjects) else ()


def shape_names(family: Family) -> tuple[str, ...]:
    """What the codes of ``object.shape`` stand for."""
    own = own_objects_of(family)
    return tuple(item.name for item in own) or SHAPES


def object_names(family: Family, task: Task) -> list[str | None]:
    """The name of the user's object in each of n tasks; None where it has a shape of the family."""
    own = own_objects_of(family)
    if not own:
        return [None] * len(task)
    return [own[int(code)].name for code in task["object.shape"]]
