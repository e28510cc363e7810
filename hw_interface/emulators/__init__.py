"""Emulators: arm controllers that speak the vendors' protocols and move simulated joints.

For tests, and to try a driver without an arm. An emulator is built as
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
        "feetech": "hw_interface.emulators.feetech:FeetechEmulator",
        "franka": "hw_interface.emulators.franka:FrankaEmulator",
        "ros2": "hw_interface.emulators.ros2:Ros2Emulator",
        "ur": "hw_interface.emulators.ur:UrEmulator",
    },
    extras={"franka": "franka", "ros2": "ros2"},
)


class Physics(Protocol):
    """The simulated joints of an emulator, in the arm's joint angles. No call blocks."""

    def read(self) -> tuple[Array, Array, Array]:
        """Positions rad, velocities rad/s and torques N·m, (j,) each."""
        ...

    def write(self, q: Array) -> None:
        """Set the position targets (j,) rad of the joints' motors."""
        ...

    def advance(self, dt: float) -> None:
        """Simulate ``dt`` s."""
        ...


class Emulator(Protocol):
    """An emulated controller that a driver can connect to."""

    holds_weight: ClassVar[bool]
    """Whether it compensates gravity, so that the joints do not sag."""

    @property
    def port(self) -> str:
        """What a driver connects to: the name of a serial port, or a network address."""
        ...

    @property
    def goals(self) -> int:
        """How many position targets have arrived, counted for each joint."""
        ...

    @property
    def outside(self) -> int:
        """How many of these targets were outside the arm's position limits."""
        ...

    def serve(self) -> None:
        """Answer until ``close`` is called from another thread; blocks."""
        ...

    def close(self) -> None:
        """Stop answering and remove the port; may be called twice. Waits for ``serve`` to end."""
        ...
