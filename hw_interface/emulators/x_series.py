"""One emulated Dynamixel X servo: its control table, and how it behaves.

Addresses, ranges and behaviour: ROBOTIS e-manual, XM540-W270. Not emulated: indirect addresses, velocity and PWM modes,
temperatures; gains are kept and change nothing.
"""

import numpy as np

from hw_interface.drivers.dynamixel_calibration import TURN, ServoWiring
from hw_interface.emulators.protocol2 import ALERT, Error

REGISTERS = {  # name: address, bytes, value at the start, lowest, highest; None: read only
    "model": (0, 2, 0, None, None),
    "firmware": (6, 1, 46, None, None),
    "id": (7, 1, 1, 0, 252),
    "baud_rate": (8, 1, 3, 0, 7),
    "return_delay": (9, 1, 0, 0, 254),  # 2 µs; the maker of the ViperX sets 0
    "drive_mode": (10, 1, 0, 0, 5),
    "operating_mode": (11, 1, 3, 0, 16),
    "secondary_id": (12, 1, 255, 0, 255),
    "homing_offset": (20, 4, 0, -1_044_479, 1_044_479),
    "velocity_limit": (44, 4, 128, 0, 1023),
    "max_position": (48, 4, 4095, 0, 4095),
    "min_position": (52, 4, 0, 0, 4095),
    "torque": (64, 1, 0, 0, 1),
    "led": (65, 1, 0, 0, 1),
    "return_level": (68, 1, 2, 0, 2),
    "hardware_error": (70, 1, 0, None, None),
    "position_p": (84, 2, 800, 0, 16_383),
    "bus_watchdog": (98, 1, 0, 0, 127),
    "goal_pwm": (100, 2, 0, -885, 885),
    "goal_current": (102, 2, 2047, -2047, 2047),
    "goal_velocity": (104, 4, 0, -1023, 1023),
    "profile_acceleration": (108, 4, 0, 0, 32_767),
    "profile_velocity": (112, 4, 0, 0, 32_767),
    "goal_position": (116, 4, 0, 0, 4095),
    "realtime_tick": (120, 2, 0, None, None),
    "present_current": (126, 2, 0, None, None),
    "present_velocity": (128, 4, 0, None, None),
    "present_position": (132, 4, 0, None, None),
}
SIZE = 148  # bytes of the control table
EEPROM = 64  # below, nothing is written while torque is on
GOALS = ("goal_pwm", "goal_current", "goal_velocity", "goal_position")
MODELS = {"xm430-w350": (1020, 4.1 / 2.3), "xm540-w270": (1120, 10.6 / 4.4)}  # number, N·m/A
MODES = {"position": 3, "current": 5}
RAD = 2 * np.pi / TURN
SPEED_UNIT = 0.229 * 2 * np.pi / 60  # rad/s
CURRENT_UNIT = 2.69e-3  # A
OVERLOAD = 0x20


class EmulatedServo:
    """One servo's memory and manners; where its horn stands it is told in ticks."""

    def __init__(self, wiring: ServoWiring, number: int, mode: int, secondary: int = 255) -> None:
        self.wiring, self.number, self.secondary = wiring, number, secondary
        self.table = bytearray(SIZE)
        self.reference = 0.0  # ticks, where the profile has got to on its way to the goal
        self.heard = 0.0  # s, when the bus last carried an instruction
        for name, (_, _, initial, _, _) in REGISTERS.items():
            self.set(name, initial)
        fixed = {
            "model": MODELS[wiring.model][0],
            "id": number,
            "secondary_id": secondary,
            "operating_mode": mode,
        }
        for name, value in (fixed | {"homing_offset": wiring.homing_offset}).items():
            self.set(name, value)
        self.set("drive_mode", wiring.drive_mode)

    def get(self, name: str) -> int:
        """A register's value."""
        address, size, _, low, _ = REGISTERS[name]
        signed = (low is not None and low < 0) or name.startswith("present")
        return int.from_bytes(self.table[address : address + size], "little", signed=signed)

    def set(self, name: str, value: int) -> None:
        """Change a register, whoever may."""
        address, size, *_ = REGISTERS[name]
        self.table[address : address + size] = (value % 256**size).to_bytes(size, "little")

    @property
    def tripped(self) -> bool:
        """Whether the bus fell silent for too long: no goal is taken until the watchdog is cleared."""
        return self.get("bus_watchdog") == 0xFF

    @property
    def alert(self) -> int:
        """What is added to each error."""
        return ALERT if self.get("hardware_error") else 0

    def read(self, address: int, length: int) -> tuple[int, bytes]:
        """Error and data."""
        if not length or address + length > SIZE:
            return Error.LENGTH | self.alert, b""
        return self.alert, bytes(self.table[address : address + length])

    def write(self, address: int, data: bytes) -> int:
        """Change whole registers; the error of the first that may not be."""
        while data:
            found = next((n for n, (at, *_) in REGISTERS.items() if at == address), None)
            size = REGISTERS[found][1] if found else 0
            if found is None or len(data) < size or REGISTERS[found][3] is None:
                return Error.ACCESS | self.alert
            if error := self._write_one(found, data[:size]):
                return error | self.alert
            address, data = address + size, data[size:]
        return self.alert

    def _write_one(self, name: str, data: bytes) -> int:
        address, _, _, low, high = REGISTERS[name]
        assert low is not None
        assert high is not None
        value = int.from_bytes(data, "little", signed=low < 0)
        if address < EEPROM and self.get("torque"):
            return Error.ACCESS
        if self.tripped and name in GOALS:
            return Error.RANGE
        if name == "goal_position":
            low, high = self.get("min_position"), self.get("max_position")
        if not low <= value <= high:
            return Error.LIMIT
        if name == "torque" and value and self.get("hardware_error"):
            return Error.ACCESS
        if name == "torque" and value and not self.get("torque"):
            self.halt()
        self.set(name, value)
        return Error.NONE

    def halt(self) -> None:
        """Stay here."""
        self.set("goal_position", self.get("present_position"))
        self.reference = float(self.get("present_position"))

    def overload(self) -> None:
        """Shut down as an overloaded servo does; only a reboot ends it."""
        self.set("hardware_error", OVERLOAD)
        self.set("torque", 0)

    def reboot(self) -> None:
        """Forget what is not kept in EEPROM."""
        for name, (address, _, initial, _, _) in REGISTERS.items():
            if address >= EEPROM and not name.startswith("present"):
                self.set(name, initial)

    def pass_time(self, now: float, dt: float) -> None:
        """Watch the bus, and go on towards the goal."""
        watch = self.get("bus_watchdog")
        if self.get("torque") and 0 < watch <= 127 and now - self.heard > 0.02 * watch:
            self.halt()
            self.set("bus_watchdog", 0xFF)
        if not self.get("torque"):
            return
        way, speed = self.get("goal_position") - self.reference, self.get("profile_velocity")
        most = speed * SPEED_UNIT / RAD * dt if speed else abs(way)
        self.reference += min(max(way, -most), most)
