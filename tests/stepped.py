"""A Dynamixel arm whose time passes with its readings: driver, bus and servos in one process.

So a whole command runs over the real driver and the emulated bus, and is never too late.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from emulated import VIPERX, PacedDynamixel, emulated_bus, patient_driver

from hw_interface.drivers.dynamixel import DynamixelOptions
from robots.driver import Capabilities
from sim.families.reach import Reach
from sim.plant import Plant


@dataclass(frozen=True)
class SteppedOptions:
    """``report`` is a file: where the arm was left, and whether under torque."""

    report: str


class SteppedDynamixel(PacedDynamixel):
    """Its arm begins in the middle of its box, under gravity."""

    Options = SteppedOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=PacedDynamixel.capabilities.dt, realtime=False
    )
    tracker = None
    placer = None

    def __init__(self, arm: Any, scene: Any, options: SteppedOptions) -> None:
        self.arm = VIPERX
        self._report = Path(options.report)
        self._arm_is_there = ExitStack()

    def connect(self) -> None:
        self._arm_is_there.enter_context(patient_driver())
        plant = Plant(VIPERX, Reach(VIPERX).ready)
        self._bus, self.clock = self._arm_is_there.enter_context(emulated_bus(VIPERX, plant))
        super().__init__(VIPERX, None, DynamixelOptions(self._bus.port))
        super().connect()

    def disconnect(self) -> None:
        super().disconnect()
        servos = self._bus.servos.values()
        q, dq, _ = self._bus.physics.read()
        left = {
            "q": q.tolist(),
            "speed": float(np.abs(dq).max()),
            "torque": sorted({int(servo.get("torque")) for servo in servos}),
            "outside": self._bus.outside,
        }
        self._arm_is_there.close()
        self._report.write_text(json.dumps(left))
