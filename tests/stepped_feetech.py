"""A Feetech arm whose time passes with its readings: driver, bus and servos in one process.

Its servos are wired as one file says, and the driver believes another one.
"""

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from emulated_feetech import SO101, PacedFeetech, emulated_so101

from hw_interface.drivers.feetech import FeetechOptions
from hw_interface.drivers.feetech_bus import FeetechBus
from robots.driver import Capabilities


@dataclass(frozen=True)
class SteppedFeetechOptions:
    """``wiring`` is the file of the servos, ``calibration`` that of the driver.

    ``report`` gets the number of goals that were outside the limits.
    """

    wiring: str = ""
    calibration: str = ""
    report: str = ""


class SteppedFeetech(PacedFeetech):
    """It begins in its rest pose, under gravity."""

    Options = SteppedFeetechOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=PacedFeetech.capabilities.dt, realtime=False
    )
    tracker = None
    placer = None

    def __init__(self, arm: Any, scene: Any, options: SteppedFeetechOptions) -> None:
        self._wiring = options.wiring
        self._report = Path(options.report)
        self._arm_is_there = ExitStack()
        super().__init__(SO101, None, FeetechOptions("not yet", options.calibration))

    def connect(self) -> None:
        arm = self._arm_is_there.enter_context(emulated_so101(calibration=self._wiring))
        emulated, self._servos = arm
        self.clock = emulated.clock
        self.bus = FeetechBus(emulated.bus.port, self.calibration.baud)
        super().connect()

    def disconnect(self) -> None:
        super().disconnect()
        self._report.write_text(json.dumps({"outside": self._servos.outside}))
        self._arm_is_there.close()
