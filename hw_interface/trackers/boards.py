"""Printed boards that a camera is calibrated with: what all kinds of them have in common."""

from dataclasses import dataclass
from typing import Protocol

from hw_interface.trackers.fiducial_pose import Picture
from robots.signals import Array


@dataclass(frozen=True)
class SeenBoard:
    """What one picture shows of a board."""

    points: Array  # (k, 3) m, the inner corners that are seen, in the board's frame
    pixels: Array  # (k, 2) where they are seen


class Board(Protocol):
    """A kind of board."""

    @property
    def description(self) -> str:
        """What it is, with its size."""
        ...

    def find(self, picture: Picture) -> SeenBoard | None:
        """The board in a gray picture (h, w); None if too little of it is seen."""
        ...

    def advise(self, pictures: list[Picture]) -> str:
        """What to do about pictures in which the board was not found."""
        ...
