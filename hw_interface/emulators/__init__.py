"""Emulators: arm controllers that speak the vendors' protocols, in front of simulated joints.

For tests, and for trying a driver without an arm. An emulator is built as
``kind(arm, physics, kind.Options(**options))``.
"""

from typing import ClassVar, Protocol

from robots.registry import Registry
from robots.signals import Array

EMULATORS = Registry(
    "emulator",
    "pliant.emulators",
    {
        "dynamixel": "hw_interface.emulators.dynamixel:Bus",
        "ur": "hw_interface.emulators.ur:UrEmulator",
    },
)


class Physics(Protocol):
    """The joints behind an emulator, in the angles of the arm. All calls return at once."""

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        ...

    def write(self, q: Array) -> None:
        """Set the positions (j,) rad that the joints' motors pull towards from now on."""
        ...

    def advance(self, dt: float) -> None:
        """Let ``dt`` s pass."""
        ...


class Emulator(Protocol):
    """A controller that a driver can connect to."""

    holds_weight: ClassVar[bool]
    """Whether it compensates gravity, so that the joints do not sag."""

    @property
    def port(self) -> str:
        """Where a driver can reach it: the name of a serial port, or an address."""
        ...

    @property
    def goals(self) -> int:
        """How many position targets have arrived, counted for each joint."""
        ...

    @property
    def outside(self) -> int:
        """How many of these were outside the arm's limits."""
        ...

    def serve(self) -> None:
        """Answer until ``close`` is called from another thread or a signal handler; blocks."""
        ...

    def close(self) -> None:
        """Stop answering and remove the port; may be called twice. Waits for ``serve`` to end."""
        ...
