"""The emulated SO-101 in a thread of the test; its clock stands still until the test moves it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from emulated import LONG, Clock, patient_driver

from hw_interface.drivers.feetech import Feetech, FeetechOptions
from hw_interface.emulators import Physics
from hw_interface.emulators.feetech import FeetechEmulator
from hw_interface.emulators.serial_bus import SerialBusOptions
from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.signals import JointState
from sim.plant import Plant

SO101: ArmSpec = ARMS["so101"]


class PacedFeetech(Feetech):
    """The driver; one of its ticks passes at the bus with each reading."""

    max_round_trip: ClassVar[float] = 1e-3 * LONG
    clock: Clock

    def read(self) -> JointState:
        self.clock.now += self.capabilities.dt
        return super().read()


@contextmanager
def emulated_so101(
    physics: Physics | None = None, calibration: str = "", arm: ArmSpec = SO101
) -> Iterator[tuple[PacedFeetech, FeetechEmulator]]:
    """A driver that is not yet connected, and its bus; no goal outside the limits may reach it."""
    clock = Clock()
    options = SerialBusOptions(calibration, wire=False)
    bus = FeetechEmulator(arm, physics or Plant(arm), options, clock)
    serving = threading.Thread(target=bus.serve)
    serving.start()
    driver = PacedFeetech(arm, None, FeetechOptions(bus.port, calibration))
    driver.clock = clock
    try:
        with patient_driver():
            try:
                yield driver, bus
            finally:
                driver.disconnect()
    finally:
        bus.close()
        serving.join()
    assert bus.outside == 0
