"""An emulated controller of a Franka Research 3 on an address of this machine.

The protocol is that of the Franka Control Interface, by ``franky-sim``; the joints are simulated by
ours. The port number is the maker's, so several emulators need different addresses of the loopback
network.
"""

import contextlib
import threading
import time
from dataclasses import dataclass

from hw_interface.emulators import Physics
from hw_interface.emulators.franka_hand import HandServer
from hw_interface.emulators.franka_server import CYCLE, PORT, FciServer
from robots.arm import ArmSpec
from robots.errors import BadArgumentError

LATEST = 0.01  # s that a cycle may be late and is still caught up
PATIENCE = 20  # cycles without a command until the reflex, as the maker's controller


@dataclass(frozen=True)
class FrankaEmulatorOptions:
    """The address that is served."""

    port: str = "127.0.0.1"  # an address of this machine
    patience: int = PATIENCE  # cycles of 1 ms


class FrankaEmulator:
    """An Emulator: one controller and its port."""

    Options = FrankaEmulatorOptions
    holds_weight = True  # its controller compensates gravity: the joints do not sag

    def __init__(
        self, arm: ArmSpec, physics: Physics, options: FrankaEmulatorOptions | None = None
    ) -> None:
        """Open the port.

        Raises:
            BadArgumentError: the arm is not an FR3.
            OSError: the port of this address is in use.
        """
        if not arm.name.startswith("fr3"):
            raise BadArgumentError(f"{arm.name} has no controller of a Franka Research 3; fr3 has")
        chosen = options or FrankaEmulatorOptions()
        self.port = chosen.port
        self.hand: HandServer | None = None
        if arm.gripper is not None:
            position = float(physics.read()[0][-1])
            self.hand = HandServer(arm.gripper, position, chosen.port)
        patience = int(chosen.patience)
        self.server = FciServer(arm, physics, chosen.port, patience, self.hand)
        self._servers: list[FciServer | HandServer] = [self.server]
        if self.hand is not None:
            self._servers.append(self.hand)
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        try:
            for server in self._servers:
                server.init()
        except OSError as error:
            raise OSError(f"cannot serve on {self.port}, port {PORT}: it is in use") from error

    @property
    def goals(self) -> int:
        """How many position targets have arrived, counted for each joint."""
        return self.server.goals

    @property
    def outside(self) -> int:
        """How many of these were outside the arm's limits."""
        return self.server.outside

    def serve(self) -> None:
        """Run the controller until closed; cycles later than ``LATEST`` are not caught up."""
        self._idle.clear()
        try:
            due = time.monotonic()
            while not self._closed.is_set():
                due = max(due + CYCLE, time.monotonic() - LATEST)
                time.sleep(max(0.0, due - time.monotonic()))
                self.server.cycle()
        finally:
            self._close_port()
            self._idle.set()

    def close(self) -> None:
        """Stop answering and close the port; may be called twice."""
        self._closed.set()
        self._idle.wait()
        self._close_port()

    def _close_port(self) -> None:
        for server in self._servers:
            with contextlib.suppress(OSError):
                server.reset_state()
            server.cleanup()
