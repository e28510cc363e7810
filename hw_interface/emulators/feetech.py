"""An emulated bus of Feetech STS servos on a pseudo-terminal, with simulated joints.

Registered instructions are not emulated. A servo without torque is held by its gears, but a
gripper's presses no more. It has no watchdog: when the bus falls silent it goes on to its last
goal, and holds it.
"""

import time
from collections.abc import Callable

import numpy as np

from hw_interface.drivers.feetech_calibration import read_calibration
from hw_interface.drivers.feetech_registers import SERVO_MODELS, TORQUE_LIMIT_UNIT
from hw_interface.drivers.servo_calibration import TICK
from hw_interface.emulators import Physics
from hw_interface.emulators.feetech_protocol import Parser
from hw_interface.emulators.serial_bus import EmulatedBus, SerialBusOptions
from hw_interface.emulators.sts_group import StsGroup
from hw_interface.emulators.sts_series import EmulatedSts
from robots.arm import ArmSpec
from robots.signals import Array


class FeetechEmulator(EmulatedBus[EmulatedSts]):
    """An Emulator: all servos of one arm."""

    Options = SerialBusOptions

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: SerialBusOptions | None = None,
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
        self.options = options or SerialBusOptions()
        calibration = read_calibration(self.options.calibration, arm)
        group = StsGroup(calibration, self.count_goal)
        # D over P: the simulated joints are damped by D, with or without a moving setpoint
        self._lead = arm.damping / arm.stiffness  # (j,) s
        self._lead[len(arm.tool_joints) :] = 0.0  # a gripper's servo is stiffer
        wire = self.options.wire
        super().__init__(arm, physics, group, Parser(), calibration.baud, wire, clock)

    def _angles(self) -> Array:
        leaders = self.group.leaders
        sign = np.array([servo.wiring.sign for servo in leaders])
        velocity = np.array([servo.reference_velocity for servo in leaders])
        ahead: Array = self._lead * sign * velocity * TICK
        return super()._angles() + ahead

    def _show(self, servo: EmulatedSts, position: float, velocity: float, torque: float) -> None:
        servo.measure(position, velocity, torque)

    def _torque_bound(self, servo: EmulatedSts) -> float:
        share = servo.get("torque_limit") * TORQUE_LIMIT_UNIT
        return share * SERVO_MODELS[servo.wiring.model].stall_torque
