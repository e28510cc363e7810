"""An emulated bus of Dynamixel servos on a pseudo-terminal, with simulated joints.

Bulk and registered instructions are not emulated. A servo without torque is held by its gears, but
a gripper's presses no more. The answer to a fast sync read ends before the first mute servo.
"""

import time
from collections.abc import Callable

from hw_interface.drivers.dynamixel_calibration import read_calibration
from hw_interface.drivers.dynamixel_models import CURRENT_UNIT, SERVO_MODELS, VELOCITY_UNIT
from hw_interface.emulators import Physics
from hw_interface.emulators.protocol2 import Parser
from hw_interface.emulators.serial_bus import EmulatedBus, SerialBusOptions
from hw_interface.emulators.servo_group import ServoGroup
from hw_interface.emulators.x_series import EmulatedServo
from robots.arm import ArmSpec

BusOptions = SerialBusOptions


class Bus(EmulatedBus[EmulatedServo]):
    """An Emulator: all servos of one arm."""

    Options = BusOptions

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: BusOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open a pseudo-terminal; ``port`` is its name.

        Args:
            arm: the arm whose servos these are.
            physics: its joints.
            options: wiring and timing.
            clock: returns monotonic time, s.

        Raises:
            BadArgumentError: the calibration does not fit the arm.
        """
        self.options = options or BusOptions()
        calibration = read_calibration(self.options.calibration, arm)
        group = ServoGroup(calibration, self.count_goal)
        wire = self.options.wire
        super().__init__(arm, physics, group, Parser(), calibration.baud, wire, clock)
        for servo in self.servos.values():
            servo.last_instruction = self._now

    def _show(self, servo: EmulatedServo, position: float, velocity: float, torque: float) -> None:
        share = 0.5 if servo.wiring.shadow is not None else 1.0  # with a shadow, half of the torque
        current = share * torque / SERVO_MODELS[servo.wiring.model].torque_constant
        servo.measure(position, velocity / VELOCITY_UNIT, current / CURRENT_UNIT)
        servo.set_clock(self._now)

    def _torque_bound(self, servo: EmulatedServo) -> float:
        constant = SERVO_MODELS[servo.wiring.model].torque_constant
        return servo.get("goal_current") * CURRENT_UNIT * constant
