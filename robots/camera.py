"""Cameras and lights of a scene, for pictures of it; physics does not know them."""

from dataclasses import dataclass

import numpy as np

from robots.errors import BadArgumentError

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """Where a picture is taken from; z of the world points up in it, or as near to up as it can.

    Raises:
        BadArgumentError: a number is impossible.
    """

    name: str
    position: Vector  # m, in the world's frame
    look_at: Vector  # m, the point in the middle of the picture
    field_of_view: float = 0.7  # rad, vertical
    # How many of the body's first positions, x and y in m, are added to both points, so that the
    # camera goes along with a body that walks; 0: it stands still
    follows: int = 0

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        if not np.isfinite((*self.position, *self.look_at)).all():
            raise BadArgumentError(f"camera {self.name}: its points must be finite")
        if self.position == self.look_at:
            raise BadArgumentError(f"camera {self.name}: it looks at the point where it is")
        if not 0 < self.field_of_view < np.pi:
            raise BadArgumentError(
                f"camera {self.name}: a field of view is between 0 and pi rad,"
                f" got {self.field_of_view}"
            )
        if self.follows not in (0, 1, 2):
            raise BadArgumentError(
                f"camera {self.name}: it follows 0, 1 or 2 positions, got {self.follows}"
            )


@dataclass(frozen=True)
class Light:
    """A lamp so far away that its rays are parallel; it casts shadows.

    Raises:
        BadArgumentError: a number is impossible.
    """

    direction: Vector = (0.0, 0.4, -1.0)  # of its rays; the length does not matter
    brightness: float = 0.5  # in [0, 1]

    def __post_init__(self) -> None:
        """Check every number; see the class."""
        if not np.isfinite(self.direction).all() or not np.any(self.direction):
            raise BadArgumentError(f"a light must shine in a direction, got {self.direction}")
        if not 0 <= self.brightness <= 1:
            raise BadArgumentError(f"a brightness is between 0 and 1, got {self.brightness}")
