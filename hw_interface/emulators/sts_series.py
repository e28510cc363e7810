"""One emulated Feetech STS servo: its memory and its behavior.

Addresses and units: see ``drivers/feetech_registers.py``. Its position controller is a PID without
I, whose D acts on the error: it does not brake a moving setpoint. Not emulated: acceleration (only
0, as fast as it can), goal time, other modes, the lock of the EEPROM, and what another homing
offset would change. Values out of range are ignored without an error: no answer has a bit for that.
"""

from hw_interface.drivers.feetech_calibration import FeetechServo
from hw_interface.drivers.feetech_registers import (
    CURRENT_SIGN,
    CURRENT_UNIT,
    LOAD_SIGN,
    OFFSET_SIGN,
    POSITION_SIGN,
    SERVO_MODELS,
    TORQUE_LIMIT_UNIT,
    VELOCITY_SIGN,
    VELOCITY_UNIT,
    from_signed,
)
from hw_interface.emulators.register_table import Register

REGISTERS = {
    "firmware_major": Register(0, 1, 3),
    "firmware_minor": Register(1, 1, 10),
    "model": Register(3, 2, 0),
    "id": Register(5, 1, 1, 0, 253),
    "baud_rate": Register(6, 1, 0, 0, 7),
    "return_delay": Register(7, 1, 0, 0, 254),  # 2 µs; LeRobot sets 0
    "lowest_position": Register(9, 2, 0, 0, 4095),
    "highest_position": Register(11, 2, 4095, 0, 4095),
    "max_torque": Register(16, 2, 1000, 0, 1000),
    "unloading_condition": Register(19, 1, 44, 0, 254),
    "p_gain": Register(21, 1, 32, 0, 254),
    "d_gain": Register(22, 1, 32, 0, 254),
    "i_gain": Register(23, 1, 0, 0, 254),
    "angular_resolution": Register(30, 1, 1, 1, 3),
    "homing_offset": Register(31, 2, 0, 0, 4095),
    "operating_mode": Register(33, 1, 0, 0, 3),
    "torque": Register(40, 1, 0, 0, 1),
    "acceleration": Register(41, 1, 0, 0, 254),
    "goal_position": Register(42, 2, 0, 0, 4095),
    "goal_time": Register(44, 2, 0, 0, 32_767),
    "goal_velocity": Register(46, 2, 0, 0, 32_767),
    "torque_limit": Register(48, 2, 1000, 0, 1000),
    "lock": Register(55, 1, 1, 0, 1),
    "present_position": Register(56, 2, 0),
    "present_velocity": Register(58, 2, 0),
    "present_load": Register(60, 2, 0),
    "present_voltage": Register(62, 1, 120),  # 0.1 V
    "present_temperature": Register(63, 1, 30),  # °C
    "status": Register(65, 1, 0),
    "moving": Register(66, 1, 0),
    "present_current": Register(69, 2, 0),
}
NAMES = {register.address: name for name, register in REGISTERS.items()}
SIZE = 87  # bytes of the memory
RAM = 40  # registers from this address on are lost without power
SMOOTHING = 0.01  # s, over which the D part averages the setpoint's velocity


class EmulatedSts:
    """One servo's memory and behavior; positions of its horn are in ticks."""

    def __init__(self, wiring: FeetechServo) -> None:
        """Create the servo as its calibration describes it."""
        self.wiring = wiring
        self.servo_id = wiring.id
        self.table = bytearray(SIZE)
        self.reference = 0.0  # ticks, setpoint of the controller on its way to the goal
        self.reference_velocity = 0.0  # ticks/s
        for name, register in REGISTERS.items():
            self.set(name, register.initial)
        self.set("model", SERVO_MODELS[wiring.model].number)
        self.set("id", wiring.id)
        self.set("homing_offset", from_signed(wiring.homing_offset, OFFSET_SIGN))

    def get(self, name: str) -> int:
        """The value of a register, without regard to a sign."""
        register = REGISTERS[name]
        return int.from_bytes(self.table[register.address : register.end], "little")

    def set(self, name: str, value: int) -> None:
        """Set a register without the checks of ``write``."""
        register = REGISTERS[name]
        data = value.to_bytes(register.size, "little")
        self.table[register.address : register.end] = data

    @property
    def error(self) -> int:
        """The faults, which every answer holds."""
        return self.get("status")

    def read(self, address: int, size: int) -> bytes:
        """A part of the memory; beyond its end there are zeros."""
        data = bytes(self.table[address : address + size])
        return data.ljust(size, b"\0")

    def write(self, address: int, data: bytes) -> None:
        """Write whole registers; what cannot be written is ignored."""
        while data:
            name = NAMES.get(address)
            if name is None:
                return
            register = REGISTERS[name]
            if len(data) < register.size or register.low is None:
                return
            self._write_one(name, int.from_bytes(data[: register.size], "little"))
            address = register.end
            data = data[register.size :]

    def _write_one(self, name: str, value: int) -> None:
        register = REGISTERS[name]
        assert register.low is not None
        assert register.high is not None
        if not register.low <= value <= register.high:
            return
        if name == "goal_position":
            value = max(value, self.get("lowest_position"))
            value = min(value, self.get("highest_position"))
        if name == "torque" and value:
            if self.get("status") & self.get("unloading_condition"):
                return
            if not self.get("torque"):
                self.halt()
        self.set(name, value)

    def measure(self, position: float, velocity: float, torque: float) -> None:
        """Set the registers of the measurements.

        Args:
            position: ticks, as a servo with the calibrated settings would measure it.
            velocity: rad/s.
            torque: N·m.
        """
        model = SERVO_MODELS[self.wiring.model]
        duty = round(torque / model.stall_torque / TORQUE_LIMIT_UNIT)
        current = round(torque / model.torque_constant / CURRENT_UNIT)
        self.set("present_position", from_signed(round(position), POSITION_SIGN))
        self.set("present_velocity", from_signed(round(velocity / VELOCITY_UNIT), VELOCITY_SIGN))
        self.set("present_load", from_signed(max(-1000, min(duty, 1000)), LOAD_SIGN))
        self.set("present_current", from_signed(current, CURRENT_SIGN))

    def halt(self) -> None:
        """Set the goal to the present position."""
        present = self.get("present_position")
        self.set("goal_position", present)
        self.reference = float(present)
        self.reference_velocity = 0.0

    def fault(self, bit: int) -> None:
        """Report a fault; without torque if the unloading condition has its bit."""
        self.set("status", self.get("status") | 1 << bit)
        if self.get("unloading_condition") >> bit & 1:
            self.set("torque", 0)

    def restart(self) -> None:
        """Switch its power off and on: torque, goals and bounds are lost, and so are the faults."""
        for name, register in REGISTERS.items():
            if register.address >= RAM and not name.startswith("present"):
                self.set(name, register.initial)

    def advance(self, now: float, dt: float) -> None:
        """Simulate ``dt`` s: move the setpoint towards the goal."""
        before = self.reference
        if self.get("torque"):
            remaining = self.get("goal_position") - self.reference
            velocity = self.get("goal_velocity")
            # a goal velocity of zero means unbounded
            step = velocity * dt if velocity else abs(remaining)
            self.reference += min(max(remaining, -step), step)
        if dt > 0:
            velocity_now = (self.reference - before) / dt
            share = min(1.0, dt / SMOOTHING)
            self.reference_velocity += share * (velocity_now - self.reference_velocity)
