"""A toy driver: joints that are at once where they are commanded."""

from dataclasses import dataclass

import numpy as np

from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.scene import Scene
from robots.signals import Command, Condition, JointState


@dataclass(frozen=True)
class ToyOptions:
    """None."""


class Toy:
    """A Driver without hardware."""

    Options = ToyOptions
    capabilities = Capabilities(dt=0.01, realtime=True)

    def __init__(self, arm: ArmSpec, scene: Scene, options: ToyOptions) -> None:
        self.arm = arm
        self._q = np.array(arm.home)
        self._dq = np.zeros_like(self._q)
        self._ticks = 0
        self._condition = Condition.DISABLED

    def connect(self) -> None: ...

    def enable(self) -> None:
        self._condition = Condition.READY

    def read(self) -> JointState:
        self._ticks += 1
        stamp = self._ticks * self.capabilities.dt
        return JointState(self._q, self._dq, np.zeros_like(self._q), stamp, self._condition)

    def write(self, command: Command) -> None:
        self._q = command.q.copy()
        self._dq = command.dq.copy()

    def stop(self) -> None:
        self._condition = Condition.DISABLED
        self._dq = np.zeros_like(self._q)

    def torque_off(self) -> None:
        self.stop()

    def disconnect(self) -> None: ...
