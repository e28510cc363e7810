"""A scene as data: a body, and perhaps one loose object on a table."""

from dataclasses import dataclass

from robots.arm import Body
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class Scene:
    """A body, and perhaps one loose object on a table whose surface is the plane z = 0."""

    body: Body
    loose_object: bool = False  # whether there is an object; the task describes it
    timestep: float = 0.002  # s of one physics substep
    # s of a substep during a blow of the tool on the object, to resolve it; None: as always
    contact_timestep: float | None = None

    def __post_init__(self) -> None:
        """Check that a finer step divides the usual one; BadArgumentError where it does not."""
        fine = self.contact_timestep
        if fine is None:
            return
        ratio = self.timestep / fine
        if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-9:
            raise BadArgumentError(f"{self.timestep} s is not a whole number of {fine} s")

    @property
    def contact_substeps(self) -> int:
        """How many substeps of a blow there are in a usual one."""
        if self.contact_timestep is None:
            return 1
        return round(self.timestep / self.contact_timestep)
