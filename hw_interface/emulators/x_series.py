"""One emulated Dynamixel X servo: its control table and its behavior.

Addresses, ranges and behavior: ROBOTIS e-manual, XM540-W270. Not emulated: indirect addresses,
velocity and PWM modes, temperatures. Gains can be written without effect.
"""

from hw_interface.drivers.dynamixel_calibration import ServoWiring
from hw_interface.drivers.dynamixel_models import (
    ALERT,
    SERVO_MODELS,
    VELOCITY_UNIT,
    WATCHDOG_UNIT,
)
from hw_interface.drivers.servo_calibration import TICK, TURN
from hw_interface.emulators.protocol2 import Error
from hw_interface.emulators.register_table import Register

REGISTERS = {
    "model": Register(0, 2, 0),
    "firmware": Register(6, 1, 46),
    "id": Register(7, 1, 1, 0, 252),
    "baud_rate": Register(8, 1, 3, 0, 7),
    "return_delay": Register(9, 1, 0, 0, 254),  # 2 µs; the maker of the ViperX sets 0
    "drive_mode": Register(10, 1, 0, 0, 5),
    "operating_mode": Register(11, 1, 3, 0, 16),
    "secondary_id": Register(12, 1, 255, 0, 255),
    "homing_offset": Register(20, 4, 0, -1_044_479, 1_044_479),
    "current_limit": Register(38, 2, 2047, 0, 2047),
    "velocity_limit": Register(44, 4, 128, 0, 1023),
    "max_position": Register(48, 4, 4095, 0, 4095),
    "min_position": Register(52, 4, 0, 0, 4095),
    "torque": Register(64, 1, 0, 0, 1),
    "led": Register(65, 1, 0, 0, 1),
    "return_level": Register(68, 1, 2, 0, 2),
    "hardware_error": Register(70, 1, 0),
    "position_p": Register(84, 2, 800, 0, 16_383),
    "bus_watchdog": Register(98, 1, 0, 0, 127),
    "goal_pwm": Register(100, 2, 0, -885, 885),
    "goal_current": Register(102, 2, 2047, -2047, 2047),
    "goal_velocity": Register(104, 4, 0, -1023, 1023),
    "profile_acceleration": Register(108, 4, 0, 0, 32_767),
    "profile_velocity": Register(112, 4, 0, 0, 32_767),
    "goal_position": Register(116, 4, 0, 0, 4095),
    "realtime_tick": Register(120, 2, 0),
    "present_current": Register(126, 2, 0),
    "present_velocity": Register(128, 4, 0),
    "present_position": Register(132, 4, 0),
}
NAMES = {register.address: name for name, register in REGISTERS.items()}
SIZE = 148  # bytes of the control table
EEPROM = 64  # registers below this address cannot be written while torque is on
GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
REALTIME_TICK_RANGE = 32_768  # ms, after which a servo's clock starts again
NO_SECONDARY_ID = 255
REVERSE_MODE = 1  # bit of the drive mode
WATCHDOG_TRIPPED = 0xFF  # value of the bus watchdog
WATCHDOG_MAX = 127
OVERLOAD = 0x20  # bit of the hardware error


class EmulatedServo:
    """One servo's control table and behavior; positions of its horn are in ticks."""

    def __init__(
        self,
        wiring: ServoWiring,
        servo_id: int,
        operating_mode: int,
        secondary_id: int = NO_SECONDARY_ID,
        started: float = 0.0,
    ) -> None:
        """Create the servo as its calibration describes it.

        Args:
            wiring: its joint's entry of the calibration.
            servo_id: its own id.
            operating_mode: see the e-manual.
            secondary_id: the leader's id, for a shadow.
            started: s, when its clock was at zero.
        """
        is_shadow = secondary_id != NO_SECONDARY_ID
        self.drive_mode = wiring.shadow_drive_mode if is_shadow else wiring.drive_mode
        self.homing_offset = wiring.shadow_homing_offset if is_shadow else wiring.homing_offset
        self.started = started
        self.wiring = wiring
        self.servo_id = servo_id
        self.secondary_id = secondary_id
        self.table = bytearray(SIZE)
        self.reference = 0.0  # ticks, setpoint of the velocity profile on its way to the goal
        self.last_instruction = 0.0  # s, time of the last instruction on the bus
        for name, register in REGISTERS.items():
            self.set(name, register.initial)
        self.set("model", SERVO_MODELS[wiring.model].number)
        self.set("id", servo_id)
        self.set("secondary_id", secondary_id)
        self.set("operating_mode", operating_mode)
        self.set("homing_offset", self.homing_offset)
        self.set("drive_mode", self.drive_mode)

    def get(self, name: str) -> int:
        """The value of a register."""
        register = REGISTERS[name]
        signed = _is_signed(register) or name.startswith("present")
        return int.from_bytes(self.table[register.address : register.end], "little", signed=signed)

    def set(self, name: str, value: int) -> None:
        """Set a register without the checks of ``write``."""
        register = REGISTERS[name]
        data = (value % 256**register.size).to_bytes(register.size, "little")
        self.table[register.address : register.end] = data

    @property
    def watchdog_tripped(self) -> bool:
        """Whether the bus was silent for too long; goals are refused until this is cleared."""
        return self.get("bus_watchdog") == WATCHDOG_TRIPPED

    @property
    def alert(self) -> int:
        """The alert bit, set in every status packet while the servo is in hardware error."""
        return ALERT if self.get("hardware_error") else 0

    def read(self, address: int, size: int) -> tuple[int, bytes]:
        """Read ``size`` bytes; returns the error and the data."""
        if not size or address + size > SIZE:
            return Error.LENGTH | self.alert, b""
        return self.alert, bytes(self.table[address : address + size])

    def write(self, address: int, data: bytes) -> int:
        """Write whole registers; returns the error of the first that is refused."""
        while data:
            name = NAMES.get(address)
            if name is None:
                return Error.ACCESS | self.alert
            register = REGISTERS[name]
            if len(data) < register.size or register.low is None:
                return Error.ACCESS | self.alert
            error = self._write_one(name, data[: register.size])
            if error:
                return error | self.alert
            address = register.end
            data = data[register.size :]
        return self.alert

    def _write_one(self, name: str, data: bytes) -> int:
        register = REGISTERS[name]
        value = int.from_bytes(data, "little", signed=_is_signed(register))
        if register.address < EEPROM and self.get("torque"):
            return Error.ACCESS
        if self.watchdog_tripped and name in GOALS:
            return Error.RANGE
        low, high = self._range(name)
        if not low <= value <= high:
            return Error.LIMIT
        if name == "torque" and value:
            if self.get("hardware_error"):
                return Error.ACCESS
            if not self.get("torque"):
                self.halt()
        self.set(name, value)
        return Error.NONE

    def _range(self, name: str) -> tuple[int, int]:
        """The lowest and highest value that can be written to a register."""
        if name == "goal_position":
            return self.get("min_position"), self.get("max_position")
        register = REGISTERS[name]
        if name == "profile_velocity":
            return 0, self.get("velocity_limit")
        if name == "goal_current":
            return -self.get("current_limit"), self.get("current_limit")
        assert register.low is not None
        assert register.high is not None
        return register.low, register.high

    def measure(self, position: float, velocity: float, current: float) -> None:
        """Set the registers of the measurements.

        Args:
            position: ticks, as a servo with the calibrated settings would measure it.
            velocity: in ``VELOCITY_UNIT``, likewise.
            current: in ``CURRENT_UNIT``, likewise.
        """
        direction = 1
        if (self.get("drive_mode") ^ self.drive_mode) & REVERSE_MODE:
            direction = -1
            position = TURN - position
        shift = self.get("homing_offset") - self.homing_offset
        self.set("present_position", round(position + shift))
        self.set("present_velocity", round(direction * velocity))
        self.set("present_current", round(direction * current))

    def set_clock(self, now: float) -> None:
        """Set the register of the servo's clock, at ``now`` s."""
        self.set("realtime_tick", int(1e3 * (now - self.started)) % REALTIME_TICK_RANGE)

    def halt(self) -> None:
        """Set the goal to the present position."""
        present = self.get("present_position")
        self.set("goal_position", present)
        self.reference = float(present)

    def overload(self) -> None:
        """Shut down as after an overload; only a reboot clears this."""
        self.set("hardware_error", OVERLOAD)
        self.set("torque", 0)

    def reboot(self) -> None:
        """Reset all registers outside the EEPROM, and the clock."""
        self.started = self.last_instruction
        for name, register in REGISTERS.items():
            if register.address >= EEPROM and not name.startswith("present"):
                self.set(name, register.initial)

    def advance(self, now: float, dt: float) -> None:
        """Simulate ``dt`` s: check the bus watchdog and move the profile towards the goal."""
        watchdog = self.get("bus_watchdog")
        armed = 0 < watchdog <= WATCHDOG_MAX
        silent = now - self.last_instruction
        if self.get("torque") and armed and silent > WATCHDOG_UNIT * watchdog:
            self.halt()
            self.set("bus_watchdog", WATCHDOG_TRIPPED)
        if not self.get("torque"):
            return
        remaining = self.get("goal_position") - self.reference
        velocity = self.get("profile_velocity")
        # a profile velocity of zero means unbounded
        step = velocity * VELOCITY_UNIT / TICK * dt if velocity else abs(remaining)
        self.reference += min(max(remaining, -step), step)


def _is_signed(register: Register) -> bool:
    return register.low is not None and register.low < 0
