"""An arm of Dynamixel X servos on one serial bus.

Addresses: ROBOTIS e-manual, XM540-W270 and XM430-W350. A tick costs one fast sync read and one sync
write. Where a reading is lost the previous one is returned: its stamp does not advance, and the
watchdog decides. Goals stay within one turn of the servo, where no packet needs byte stuffing,
which the vendor's client does not do when it sends.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np

from hw_interface.drivers.dynamixel_bus import TRIES, DynamixelBus, Register, Reply
from hw_interface.drivers.dynamixel_calibration import Calibration, ServoWiring, read_calibration
from hw_interface.drivers.dynamixel_models import (
    ALERT,
    CURRENT_UNIT,
    OPERATING_MODES,
    SERVO_MODELS,
    TICK,
    VELOCITY_UNIT,
    WATCHDOG_UNIT,
)
from hw_interface.drivers.dynamixel_rest import GOAL_POSITION, let_go
from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState

MODEL = Register(0, 2)
DRIVE_MODE = Register(10, 1)
OPERATING_MODE = Register(11, 1)
HOMING_OFFSET = Register(20, 4)
TORQUE = Register(64, 1)
BUS_WATCHDOG = Register(98, 1)
GOAL_CURRENT = Register(102, 2)
PROFILE = Register(108, 8)  # acceleration, velocity

# Two blocks are read of all servos. They differ in length, so that a late answer to one is never
# taken for an answer to the other.
PRESENT = Register(126, 10)
PRESENT_FIELDS = np.dtype([("current", "<i2"), ("velocity", "<i4"), ("position", "<i4")])
HEALTH = Register(64, 35)
TORQUE_BYTE = 0  # of HEALTH
ERROR_BYTE = 6
WATCHDOG_BYTE = 34

HARDWARE_ERRORS = {  # by bit
    0: "input voltage",
    2: "overheating",
    3: "encoder",
    4: "electrical shock",
    5: "overload",
}
MAX_CURRENT = 2047  # largest goal current, in units

T = TypeVar("T")


@dataclass(frozen=True)
class DynamixelOptions:
    """The serial port and the wiring of the arm."""

    port: str = ""  # the serial port
    calibration: str = ""  # a file; empty: the manufacturer's wiring of the arm


class Dynamixel:
    """A Driver. Torque stays on after ``stop`` and ``disconnect``, or the arm would fall."""

    Options = DynamixelOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=1 / 320, realtime=True)

    def __init__(
        self,
        arm: ArmSpec,
        scene: Scene | None = None,
        options: DynamixelOptions | None = None,
    ) -> None:
        """Read the calibration; touches no hardware.

        Raises:
            BadArgumentError: no port, or no calibration that fits the arm.
        """
        self.arm = arm
        self.options = options or DynamixelOptions()
        if not self.options.port:
            message = "Dynamixel servos are reached by a serial port"
            raise BadArgumentError(f"{message}: give --port, such as /dev/ttyUSB0")
        self.calibration: Calibration = read_calibration(self.options.calibration, arm)
        servos = self.calibration.servos
        _check_models(servos)
        self._sign = np.array([servo.sign for servo in servos])
        self._zero = np.array([servo.zero for servo in servos])
        constants = [SERVO_MODELS[servo.model].torque_constant for servo in servos]
        self._torque_unit = CURRENT_UNIT * np.array(constants)  # N·m per unit of current
        q_limits = np.stack([arm.limits.q_low, arm.limits.q_high])
        tick_limits = self._zero + self._sign * q_limits / TICK
        # rounded inward, never past a limit
        self._lowest = np.ceil(tick_limits.min(0))
        self._highest = np.floor(tick_limits.max(0))
        self._ids = self.calibration.ids
        self._all_ids = (*self._ids, *self.calibration.shadows)
        # in units: the bus may be silent for no longer than a command may be followed
        self._watchdog = int(arm.limits.deadline / WATCHDOG_UNIT)
        self.bus = DynamixelBus(self.options.port, self.calibration.baud)
        self._enabled = False
        self._watchdog_tripped = False
        self._state: JointState | None = None

    def connect(self) -> None:
        """Open the port and check that every servo is there and set as when it was calibrated.

        Raises:
            OSError: there is no such port, or a servo does not answer.
            RuntimeError: a servo is another model or has other settings.
        """
        self.bus.open()
        for servo in self.calibration.servos:
            self._check_servo(servo)
        try:
            self._read_health()
        except OSError as error:
            problem = "the servos answer, but not to a fast sync read"
            raise OSError(f"{problem}: their firmware must be 45 or newer") from error

    def _check_servo(self, servo: ServoWiring) -> None:
        """Compare a servo's settings, and its shadow's model, with the calibration."""
        model = SERVO_MODELS[servo.model].number
        mode = OPERATING_MODES[self.calibration.mode]
        self._expect(servo.id, servo.joint, "model", MODEL, model)
        if servo.shadow is not None:
            self._expect(servo.shadow, servo.joint, "model", MODEL, model)
        self._expect(servo.id, servo.joint, "drive mode", DRIVE_MODE, servo.drive_mode)
        self._expect(servo.id, servo.joint, "homing offset", HOMING_OFFSET, servo.homing_offset)
        self._expect(servo.id, servo.joint, "operating mode", OPERATING_MODE, mode)

    def _expect(
        self, servo_id: int, joint: str, name: str, register: Register, expected: int
    ) -> None:
        data = self.bus.read(servo_id, register)
        if data is None:
            where = f"on {self.bus.port} at {self.bus.baud} baud"
            raise OSError(f"servo {servo_id} ({joint}) does not answer {where}")
        value = int.from_bytes(data, "little", signed=register is HOMING_OFFSET)
        if value != expected:
            difference = f"the {name} {value}, its calibration {expected}"
            raise RuntimeError(f"servo {servo_id} ({joint}) has {difference}")

    def enable(self) -> None:
        """Switch torque on where the arm is, with bounded speeds and the bus watchdog armed.

        Raises:
            RuntimeError: a servo is in hardware error, or did not accept its torque or watchdog.
            OSError: the servos do not answer.
        """
        self._enabled = False
        for servo_id, health in zip(self._all_ids, self._read_health(), strict=True):
            _check_hardware_error(servo_id, health[ERROR_BYTE])
        self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
        self._bound_speed_and_current()
        self._state = self._retry(self._read_present)
        self._write_all(GOAL_POSITION, self._to_ticks(self._state.q))
        self._write_all(TORQUE, [1] * len(self._ids))
        self._write_all(BUS_WATCHDOG, [self._watchdog] * len(self._ids))
        for servo_id, health in zip(self._all_ids, self._read_health(), strict=True):
            self._check_enabled(servo_id, health)
        self._enabled = True
        self._watchdog_tripped = False

    def _bound_speed_and_current(self) -> None:
        """Set the servos' own bounds to the joints' limits."""
        limits = self.arm.limits
        velocity = np.ceil(limits.dq / VELOCITY_UNIT).astype(int).tolist()
        # the register's low half is the acceleration: 0, which is unbounded
        profile = [v << 32 for v in velocity]
        self._write_all(PROFILE, profile)
        if self.calibration.mode == "current":
            current = limits.tau / self._torque_unit
            bounded = np.minimum(current, MAX_CURRENT)
            self._write_all(GOAL_CURRENT, bounded.astype(int).tolist())

    def _check_enabled(self, servo_id: int, health: bytes) -> None:
        torque = health[TORQUE_BYTE]
        watchdog = health[WATCHDOG_BYTE]
        if torque != 1 or watchdog != self._watchdog:
            shown = f"torque {torque}, bus watchdog {watchdog}, not 1 and {self._watchdog}"
            raise RuntimeError(f"servo {servo_id} is not enabled: it shows {shown}")

    def read(self) -> JointState:
        """The newest reading; the previous one where it was lost."""
        silent = time.monotonic() - self.bus.last_reply
        if silent > self._watchdog * WATCHDOG_UNIT / 2:
            self._check_bus_watchdog()
        if self._state is None:
            self._state = self._retry(self._read_present)
        else:
            self._state = self._read_present() or self._state
        return self._state

    def _check_bus_watchdog(self) -> None:
        """After a silence: check whether a servo's watchdog has stopped it."""
        with contextlib.suppress(OSError):
            healths = self._read_health()
            tripped = any(health[WATCHDOG_BYTE] != self._watchdog for health in healths)
            self._watchdog_tripped |= self._enabled and tripped

    def write(self, command: Command) -> None:
        """Send a command; ignored unless enabled."""
        if not np.isfinite(command.q).all():
            raise BadArgumentError(f"a command must be finite, got {command.q}")
        if self._enabled:
            self._write_all(GOAL_POSITION, self._to_ticks(command.q))

    def stop(self) -> None:
        """Ignore further commands; the servos hold. A joint far from its goal holds where it is."""
        was_enabled = self._enabled
        self._enabled = False
        if was_enabled:
            self._let_go()

    def disconnect(self) -> None:
        """Close the port; the servos hold. Those of an arm that moves keep their bus watchdog."""
        self._enabled = False
        if self.bus.is_open:
            with contextlib.suppress(Exception):
                if self._let_go():
                    self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
            self.bus.close()

    def _let_go(self) -> bool:
        """No servo pulls towards a goal far away; returns whether all are known to stand."""
        if self._state is None:  # it was never enabled
            return False
        last = np.array(self._to_ticks(self._state.q))
        return let_go(self.bus, self._ids, self._lowest, self._highest, last)

    def _to_ticks(self, q: Array) -> list[int]:
        """Goal positions of joint angles (j,) rad, never past a limit."""
        ticks = np.rint(self._zero + self._sign * q / TICK)
        allowed = np.clip(ticks, self._lowest, self._highest)
        return [int(tick) for tick in allowed]

    def _read_present(self) -> JointState | None:
        """One fresh reading; None where any of it was lost."""
        replies = self.bus.fast_sync_read(self._all_ids, PRESENT)
        if replies is None:
            return None
        data = b"".join(reply.data for reply in replies)
        present = np.frombuffer(data, PRESENT_FIELDS)  # the joints' servos, then the shadows
        joints = len(self._ids)
        current = present["current"].astype(float)
        for k, joint in enumerate(self.calibration.shadows.values()):
            current[joint] += current[joints + k]
        position = present["position"][:joints] - self._zero
        return JointState(
            q=self._sign * position * TICK,
            dq=self._sign * present["velocity"][:joints] * VELOCITY_UNIT,
            tau=self._sign * current[:joints] * self._torque_unit,
            stamp=self.bus.last_reply,
            condition=self._condition(replies),
        )

    def _condition(self, replies: list[Reply]) -> Condition:
        alert = any(reply.error & ALERT for reply in replies)
        if alert or self._watchdog_tripped:
            return Condition.ERROR
        return Condition.READY if self._enabled else Condition.DISABLED

    def _read_health(self) -> list[bytes]:
        """Torque, errors and watchdog of every servo; OSError where they do not answer."""

        def read_once() -> list[Reply] | None:
            return self.bus.fast_sync_read(self._all_ids, HEALTH)

        return [reply.data for reply in self._retry(read_once)]

    def _retry(self, read: Callable[[], T | None]) -> T:
        """The first answer of a few tries; OSError where all were lost."""
        for _ in range(TRIES):
            answer = read()
            if answer is not None:
                return answer
        raise OSError("the servos do not answer")

    def _write_all(self, register: Register, values: list[int]) -> None:
        """Write one value per joint; shadows obey what is sent to their leaders."""
        self.bus.sync_write(self._ids, register, values)


def _check_models(servos: tuple[ServoWiring, ...]) -> None:
    unknown = {servo.model for servo in servos} - set(SERVO_MODELS)
    if unknown:
        known = ", ".join(SERVO_MODELS)
        message = f"no servo model {min(unknown)!r} is known; there are: {known}"
        raise BadArgumentError(message)


def _check_hardware_error(servo_id: int, error: int) -> None:
    """Refuse a servo that reports a hardware error."""
    if not error:
        return
    names = [name for bit, name in HARDWARE_ERRORS.items() if error >> bit & 1]
    problem = ", ".join(names) or f"code {error}"
    remedy = "support the arm, remove the cause, reboot the servo"
    raise RuntimeError(f"servo {servo_id} reports {problem}: {remedy}")
