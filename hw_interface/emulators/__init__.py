"""Emulators: controllers' sides of their protocols, for tests and for the desk. Each stands in front of a physics.

An emulator is built as ``kind(arm, physics, kind.Options(**options))``. ``port`` says where it listens; ``serve``
answers until ``close``; ``goals`` counts the goals that reached it, ``outside`` those of them beyond the arm's limits.
"""

from typing import Protocol

from robots.registry import Registry
from robots.signals import Array

EMULATORS = Registry(
    "emulator", "pliant.emulators", {"dynamixel": "hw_interface.emulators.dynamixel:Bus"}
)


class Physics(Protocol):
    """The joints behind an emulator, in the arm's own angles."""

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        ...

    def write(self, q: Array) -> None:
        """Where the joints' servos shall pull them from now on, (j,) rad."""
        ...

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass."""
        ...
