"""A scene as data: a body, and perhaps one loose object on a table."""

from dataclasses import dataclass

from robots.arm import Body


@dataclass(frozen=True)
class Scene:
    """A body, and perhaps one loose object on a table whose surface is the plane z = 0."""

    body: Body
    loose_object: bool = False  # whether there is an object; the task describes it
    timestep: float = 0.002  # s of one physics substep
