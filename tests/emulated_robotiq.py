"""An emulated 2F-85 behind the URCap of an emulated controller, in a thread of the test.

No client library is needed, and no simulator: the fingers simply follow what pulls them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from emulated_ur import loopback_address

from hw_interface.emulators.robotiq import RobotiqGripper
from hw_interface.emulators.ur import UrEmulator, UrEmulatorOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.gripper import Gripper
from robots.signals import Array

ARM: ArmSpec = ARMS["ur5e_2f85"]
assert ARM.gripper is not None
GRIPPER: Gripper = ARM.gripper
LAG = 0.01  # s, of the fingers


class FingerPhysics:
    """Joints that stand, and fingers that follow their spring up to an object between them."""

    def __init__(self, held: float | None = None) -> None:
        """``held`` m: half the width of the object; None: there is none."""
        self._goal = ARM.home.copy()
        self._q = ARM.home.copy()
        self._dq = np.zeros_like(self._q)
        self._least = GRIPPER.closed if held is None else held

    def read(self) -> tuple[Array, Array, Array]:
        tau = ARM.stiffness * (self._goal - self._q)
        return self._q.copy(), self._dq.copy(), tau

    def write(self, q: Array) -> None:
        self._goal = q.copy()

    def advance(self, dt: float) -> None:
        if dt <= 0:
            return
        moved = self._q + (1 - np.exp(-dt / LAG)) * (self._goal - self._q)
        moved[-1] = max(moved[-1], self._least)
        self._dq = (moved - self._q) / dt
        self._q = moved


class EmulatedRobotiq:
    """The emulator that is served, and what its fingers do."""

    def __init__(self, held: float | None = None) -> None:
        self.address = loopback_address()
        self.physics = FingerPhysics(held)
        self.emulator = UrEmulator(ARM, self.physics, UrEmulatorOptions(self.address))
        assert self.emulator.controller.gripper is not None
        self.gripper: RobotiqGripper = self.emulator.controller.gripper

    @property
    def position(self) -> float:
        """Where each finger is, m from the middle."""
        q, _, _ = self.physics.read()
        return float(q[-1])

    @property
    def force(self) -> float:
        """N, with which each finger presses inward."""
        _, _, tau = self.physics.read()
        return -float(tau[-1]) / 2


@contextmanager
def emulated_robotiq(held: float | None = None) -> Iterator[EmulatedRobotiq]:
    """A gripper that is activated, with its fingers open, and perhaps something between them."""
    served = EmulatedRobotiq(held)
    thread = threading.Thread(target=served.emulator.serve, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.emulator.close()
        thread.join()
