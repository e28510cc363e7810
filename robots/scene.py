"""A scene as data: a body, objects, fixtures and cameras, each with a name.

Lengths are in m, in the world's frame: the base frame of an arm. Quaternions are w, x, y, z.
"""

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np

from robots.arm import Body
from robots.camera import Camera, Light
from robots.errors import BadArgumentError
from robots.mesh_object import MeshObject
from robots.signals import Array

ROUNDING = 1e-9  # tolerance for the ratio of two time steps
# How many numbers the size of each kind has, all positive.
OBJECT_SIZES = {
    "outline": 3,  # half extents of one of the flat shapes in ``sim.outlines``; the task says which
    "box": 3,  # half extents
    "sphere": 1,  # radius
    "cylinder": 2,  # radius and half length, along z
    "capsule": 2,  # radius and half length of the cylinder between its caps, along z
    "mesh": 3,  # factors of x, y and z
    "meshes": 0,  # one of several objects of a user, with their own sizes; the task says which
}
FIXTURE_SIZES = {
    "plane": 0,  # without end; z points out of it
    "box": 3,  # half extents
    "cylinder": 2,  # radius and half length, along z
    "height_field": 2,  # half extents of its grid in x and y
}
# Prefixes that a task's parameters use for other things; no object may have such a name.
RESERVED = (
    "actuator",
    "body",
    "disturbance",
    "fixture",
    "geom",
    "goal",
    "joint",
    "marker",
    "target",
)


@dataclass(frozen=True)
class Joint:
    """What holds an object that does not move freely: the hinge of a door, or a drawer's slide.

    The joint is at 0 where the object is at its ``position``, not turned: it is closed. A latch,
    such as a ball catch, pulls it back there, with a torque or force that grows linearly up to
    ``latch`` at a quarter of ``latch_width`` and falls linearly to nothing at ``latch_width``.

    Raises:
        BadArgumentError: a number is impossible, or the kind does not exist.
    """

    kind: str = "hinge"  # or "slide"
    axis: tuple[float, float, float] = (0.0, 0.0, 1.0)  # a unit vector
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)  # m, of the axis in the object's frame
    limits: tuple[float, float] = (-1.5, 1.5)  # rad or m
    friction: float = 0.1  # N·m or N, dry friction: what it takes to move the joint
    damping: float = 0.0  # N·m·s/rad or N·s/m
    latch: float = 0.0  # N·m or N, what it takes to leave the closed position
    latch_width: float = 0.0  # rad or m, to either side; 0: no latch

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        if self.kind not in ("hinge", "slide"):
            raise BadArgumentError(f"a joint is a hinge or a slide, got {self.kind!r}")
        if abs(np.linalg.norm(self.axis) - 1) > ROUNDING:
            raise BadArgumentError(f"the axis of a joint must be a unit vector, got {self.axis}")
        if not np.isfinite(self.place).all():
            raise BadArgumentError(f"the place of a joint must be finite, got {self.place}")
        low, high = self.limits
        if not -np.inf < low <= 0 <= high < np.inf:
            raise BadArgumentError(f"the limits of a joint must enclose 0, got {self.limits}")
        for field in ("friction", "damping", "latch", "latch_width"):
            number = getattr(self, field)
            if not (np.isfinite(number) and number >= 0):
                raise BadArgumentError(f"{field} of a joint must be at least 0, got {number}")
        if self.latch and not self.latch_width:
            raise BadArgumentError("a latch needs a latch_width")

    def position(self, shift: Array, quat: Array | None) -> Array:
        """Where a joint is, (n,) rad or m, by the pose of its object.

        Args:
            shift: (n, 3) m, from where the object is with its joint at 0.
            quat: (n, 4) w, x, y, z; None: the identity. That of a hinge turns about its axis.
        """
        axis = np.array(self.axis)
        if self.kind == "slide":
            return np.asarray(shift @ axis)
        if quat is None:
            return np.zeros(len(shift))
        w = quat[:, 0]
        turned = np.where(w < 0, -1.0, 1.0) * (quat[:, 1:] @ axis)
        return np.asarray(2 * np.arctan2(turned, np.abs(w)))


@dataclass(frozen=True)
class SceneObject:
    """A body that moves freely, or on a joint. ``NAME.PARAMETER`` of a task replaces a number here.

    Its frame lies at its centroid. The friction coefficient of a contact is the product of the
    coefficients of the two bodies; a table has 1. An object on a joint touches no fixtures.

    Raises:
        BadArgumentError: a number is impossible, the kind does not exist, or a mesh is missing.
    """

    name: str
    kind: str  # one of OBJECT_SIZES
    size: tuple[float, ...]  # see OBJECT_SIZES
    mass: float = 0.3  # kg, evenly distributed
    friction: float = 0.15  # Coulomb's coefficient against a table and a tool
    restitution: float = 0.3  # of an impact by the body, in [0, 1]
    position: tuple[float, float, float] = (0.5, 0.0, 0.02)  # where a start does not give one
    mesh: Path | None = None  # of the kind "mesh": its convex hull collides
    # Of the kind "meshes". The numbers of the one that a task has replace those given above.
    choices: tuple[MeshObject, ...] = ()
    # What holds it; (): it moves freely. A task's ``NAME.joint`` is the index of one of several.
    joints: tuple[Joint, ...] = ()

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        _check_kind(self.name, self.kind, self.size, OBJECT_SIZES)
        if not self.name.isidentifier() or self.name in RESERVED:
            raise BadArgumentError(f"{self.name!r} must be an identifier and none of {RESERVED}")
        if not (np.isfinite(self.mass) and self.mass > 0):
            raise BadArgumentError(f"{self.name}: a mass must be positive, got {self.mass} kg")
        _check_friction(self.name, self.friction)
        if not 0 <= self.restitution <= 1:
            raise BadArgumentError(f"{self.name}: restitution in [0, 1], got {self.restitution}")
        if (self.mesh is not None) != (self.kind == "mesh"):
            raise BadArgumentError(f"{self.name}: only the kind 'mesh' has a mesh, and needs it")
        if bool(self.choices) != (self.kind == "meshes"):
            raise BadArgumentError(f"{self.name}: the kind 'meshes' alone has choices, at least 1")


@dataclass(frozen=True)
class Fixture:
    """A solid that does not move, such as a table, a wall or a slope.

    A task's ``fixture.NAME.x``, ``.y`` or ``.z`` replaces a coordinate of its position,
    ``fixture.NAME.slope`` tilts a box (see ``sim.slopes``), and
    ``fixture.friction`` replaces the friction of all fixtures that the body touches.

    Raises:
        BadArgumentError: a number is impossible, the kind does not exist, heights are missing, or
            what follows a slope is no box, or turned.
    """

    name: str
    kind: str  # one of FIXTURE_SIZES
    size: tuple[float, ...] = ()  # see FIXTURE_SIZES
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    # Factor; multiplied with the friction of an arm or object that touches it, and with that of the
    # ground of a walker.
    friction: float = 1.0
    # (rows along y, columns along x) m over the position, of a height field
    heights: Array | None = None
    touches_body: bool = True  # whether the body can touch it, not only the objects
    # The box, earlier in the scene, that this box follows: it is lifted by the rise of all boxes
    # before it, so that their upper faces have no steps.
    after: str | None = None

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        _check_kind(self.name, self.kind, self.size, FIXTURE_SIZES)
        _check_friction(self.name, self.friction)
        if (self.heights is not None) != (self.kind == "height_field"):
            raise BadArgumentError(f"{self.name}: only a height_field has heights, and needs them")
        if self.heights is not None:
            self._check_heights(self.heights)
        if self.after is not None and not self.can_slope:
            raise BadArgumentError(f"{self.name}: only a box that is not turned follows a slope")

    @property
    def can_slope(self) -> bool:
        """Whether a task may tilt it."""
        return self.kind == "box" and self.quat == (1.0, 0.0, 0.0, 0.0)

    def _check_heights(self, heights: Array) -> None:
        is_grid = heights.ndim == 2 and min(heights.shape) >= 2
        if not is_grid or not np.isfinite(heights).all() or np.ptp(heights) == 0:
            raise BadArgumentError(
                f"{self.name}: heights must be a finite grid of at least 2 x 2 that is not flat"
            )


@dataclass(frozen=True)
class Scene:
    """A body, and perhaps objects and fixtures around it, and cameras and lights for pictures.

    Raises:
        BadArgumentError: a name occurs twice, a fixture follows none that a task may tilt, or a
            finer step does not divide the usual one.
    """

    body: Body
    objects: tuple[SceneObject, ...] = ()
    fixtures: tuple[Fixture, ...] = ()
    timestep: float = 0.002  # s of one physics substep
    # s of a substep while the tool hits an object, to resolve the impact; None: ``timestep``
    contact_timestep: float | None = None
    measures_wrench: bool = False  # whether ``Signals.wrench`` is measured, for an arm
    # Pictures are taken by the first one; without one, from where the kind of body is seen well.
    cameras: tuple[Camera, ...] = ()
    lights: tuple[Light, ...] = (Light(),)

    def __post_init__(self) -> None:
        """Check names and time steps; see the class."""
        names = [item.name for item in self.objects]
        names += [fixture.name for fixture in self.fixtures]
        names += [camera.name for camera in self.cameras]
        if len(set(names)) < len(names):
            raise BadArgumentError(f"a name occurs twice in the scene: {', '.join(names)}")
        earlier: list[str | None] = [None]
        for fixture in self.fixtures:
            if fixture.after not in earlier:
                raise BadArgumentError(f"{fixture.name}: there is no {fixture.after!r} before it")
            if fixture.can_slope:
                earlier.append(fixture.name)
        fine = self.contact_timestep
        if fine is None:
            return
        ratio = self.timestep / fine
        if round(ratio) < 1 or abs(ratio - round(ratio)) > ROUNDING:
            raise BadArgumentError(f"{self.timestep} s is not a whole number of {fine} s")

    @property
    def contact_substeps(self) -> int:
        """The number of contact substeps in a normal substep."""
        if self.contact_timestep is None:
            return 1
        return round(self.timestep / self.contact_timestep)

    def with_timestep(self, timestep: float) -> "Scene":
        """The scene with substeps of another length, s.

        Substeps during an impact keep their length, or are shortened so that they divide the new
        substep.
        """
        fine = self.contact_timestep
        if fine is not None:
            count = ceil(timestep / fine - ROUNDING)
            fine = timestep / count
        return replace(self, timestep=timestep, contact_timestep=fine)

    def seen_by(self, name: str | None) -> "Scene":
        """The scene with pictures taken by one of its cameras; None: as it is.

        Raises:
            BadArgumentError: it has no camera of this name; the message lists those that it has.
        """
        if name is None:
            return self
        for camera in self.cameras:
            if camera.name == name:
                return replace(self, cameras=(camera,))
        known = ", ".join(camera.name for camera in self.cameras) or "none"
        raise BadArgumentError(f"the scene has no camera {name!r}; it has: {known}")

    @property
    def description(self) -> str:
        """The body and its objects in words, for messages."""
        if not self.objects:
            return self.body.name
        names = [item.name for item in self.objects]
        return f"{self.body.name} with {', '.join(names)}"


def _check_kind(name: str, kind: str, size: tuple[float, ...], sizes: dict[str, int]) -> None:
    if kind not in sizes:
        raise BadArgumentError(f"{name}: there is no kind {kind!r}; there are: {', '.join(sizes)}")
    count = sizes[kind]
    values = np.array(size, dtype=np.float64)
    is_possible = np.isfinite(values) & (values > 0)
    if len(values) != count or not is_possible.all():
        raise BadArgumentError(
            f"{name}: the size of a {kind} is {count} positive numbers, got {size}"
        )


def _check_friction(name: str, friction: float) -> None:
    if not (np.isfinite(friction) and friction >= 0):
        raise BadArgumentError(f"{name}: friction must not be negative, got {friction}")


# The object of the families that slide and push: a flat one whose shape the task chooses.
FLAT_OBJECT = SceneObject("object", "outline", (0.05, 0.05, 0.02))
# The plane z = 0. An arm does not touch it in simulation: its gate keeps it above.
TABLE = Fixture("table", "plane", touches_body=False)
