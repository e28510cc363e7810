"""An arm of Dynamixel X servos on one serial bus.

A tick costs one fast sync read and one sync write. If a reading is lost, late or repeated, the
previous one is returned. Its stamp, which is the servos' own time, then does not advance, and the
watchdog decides what follows. Goals stay within one turn of the servo. In that range no packet
needs byte stuffing, which the vendor's client does not apply when it sends.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.dynamixel_bus import TRIES, DynamixelBus, Reply
from hw_interface.drivers.dynamixel_calibration import Calibration, read_calibration
from hw_interface.drivers.dynamixel_clock import ServoClocks
from hw_interface.drivers.dynamixel_models import (
    ALERT,
    CURRENT_UNIT,
    SERVO_MODELS,
    TICK,
    VELOCITY_UNIT,
    WATCHDOG_UNIT,
)
from hw_interface.drivers.dynamixel_registers import (
    BUS_WATCHDOG,
    CONTROL,
    CONTROL_FIELDS,
    GOAL_CURRENT,
    GOAL_POSITION,
    PRESENT,
    PRESENT_FIELDS,
    PROFILE,
    TORQUE,
    Register,
)
from hw_interface.drivers.dynamixel_rest import let_go
from hw_interface.drivers.dynamixel_settings import (
    GOAL_TOLERANCE,
    JointBounds,
    check_hardware_errors,
    check_link,
    check_settings,
    check_shadows,
    check_written,
    goals_to_hold,
)
from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState

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
    max_round_trip: ClassVar[float] = capabilities.dt  # s, of a request and its answer

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
        self._sign = np.array([servo.sign for servo in servos])
        self._zero = np.array([servo.zero for servo in servos])
        constants = [SERVO_MODELS[servo.model].torque_constant for servo in servos]
        self._torque_unit = CURRENT_UNIT * np.array(constants)  # N·m per unit of current
        q_limits = np.stack([arm.limits.q_low, arm.limits.q_high])
        tick_limits = self._zero + self._sign * q_limits / TICK
        # ticks, rounded inward so that no goal is past a limit
        self._lowest = np.ceil(tick_limits.min(0))
        self._highest = np.floor(tick_limits.max(0))
        self._ids = self.calibration.ids
        self._all_ids = (*self._ids, *self.calibration.shadows)
        # in WATCHDOG_UNIT: a silent bus stops the servos when the last command is too old to follow
        self._watchdog = int(arm.limits.deadline / WATCHDOG_UNIT)
        self.bus = DynamixelBus(self.options.port, self.calibration.baud)
        self._enabled = False
        self._watchdog_tripped = False
        self._clocks = ServoClocks()
        self._bounds: JointBounds | None = None  # what the servos accept; known once connected
        self._state: JointState | None = None
        self._target: Array | None = None  # (j,) rad, the goals that were written last

    def connect(self) -> None:
        """Open the port and check that every servo is there and set as when it was calibrated.

        Raises:
            ArmError: another program drives this arm.
            OSError: there is no such port, or a servo does not answer.
            RuntimeError: a servo is another model or has other settings, or the link is slow.
        """
        self.bus.open()
        self._bounds = check_settings(self.bus, self.calibration)
        check_link(self.bus, self._all_ids, PRESENT, self.max_round_trip)
        self.bus.expect_speed()

    def enable(self) -> None:
        """Switch torque on where the arm is, with bounded speeds and the bus watchdog armed.

        Raises:
            RuntimeError: a servo is in hardware error, does not read back what was written to it,
                or is a shadow whose position disagrees with its leader's.
            OSError: the servos do not answer.
        """
        self._enabled = False
        control = self._read_health()
        check_hardware_errors(self._all_ids, control)
        check_shadows(self.calibration, self._all_ids, control["present_position"])
        self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
        self._bound_speed_and_current()
        self._clocks.restart()
        state = self._retry(self._read_present)
        goals = goals_to_hold(control, self._lowest, self._highest)
        self._write_all(GOAL_POSITION, goals)
        self._check_written(GOAL_TOLERANCE, goal_position=goals)
        self._write_all(TORQUE, [1] * len(self._ids))
        watchdog = [self._watchdog] * len(self._ids)
        self._write_all(BUS_WATCHDOG, watchdog)
        self._check_written(torque=[1] * len(self._ids), bus_watchdog=watchdog)
        self._enabled = True
        self._watchdog_tripped = False
        self._target = self._sign * (np.array(goals) - self._zero) * TICK
        self._state = replace(state, condition=Condition.READY, target=self._target)

    def _bound_speed_and_current(self) -> None:
        """Set the servos' speed and current limits to the joints' limits, or as far as possible."""
        if self._bounds is None:
            raise OSError(f"{self.options.port} is not connected")
        limits = self.arm.limits
        wanted = np.ceil(limits.dq / VELOCITY_UNIT).astype(int)
        velocity = np.minimum(wanted, self._bounds.velocity).tolist()
        # the register's low half is the profile acceleration: 0 means unlimited
        profile = [v << 32 for v in velocity]
        self._write_all(PROFILE, profile)
        self._check_written(profile_velocity=velocity, profile_acceleration=[0] * len(velocity))
        if self.calibration.mode == "current":
            allowed = (limits.tau / self._torque_unit).astype(int)
            current = np.minimum(allowed, self._bounds.current).tolist()
            self._write_all(GOAL_CURRENT, current)
            self._check_written(goal_current=current)

    def _check_written(self, tolerance: int = 0, **written: list[int]) -> None:
        """Read registers back and compare them with one value per joint; shadows too."""
        of_all = {}
        for name, values in written.items():
            of_shadows = [values[joint] for joint in self.calibration.shadows.values()]
            of_all[name] = values + of_shadows
        check_written(self._all_ids, self._read_health(), of_all, tolerance)

    def read(self) -> JointState:
        """The newest reading; the previous one if it was lost."""
        if self._state is None:
            self._state = self._retry(self._read_present)
        elif self._check_bus_watchdog():
            self._state = self._read_present() or self._state
        return self._state

    def _check_bus_watchdog(self) -> bool:
        """After a silent bus: ask once whether a servo's bus watchdog has stopped it.

        Returns:
            False if the servos were asked and did not answer, else True.
        """
        silent = time.monotonic() - self.bus.last_reply
        if silent < self._watchdog * WATCHDOG_UNIT / 2:
            return True
        health = self._ask_health()
        if health is None:
            return False
        tripped = bool((health["bus_watchdog"] != self._watchdog).any())
        self._watchdog_tripped |= self._enabled and tripped
        return True

    def write(self, command: Command) -> None:
        """Send a command; ignored unless enabled."""
        if not np.isfinite(command.q).all():
            raise BadArgumentError(f"a command must be finite, got {command.q}")
        if self._enabled:
            self._write_all(GOAL_POSITION, self._to_ticks(command.q))
            self._target = command.q.copy()

    def stop(self) -> None:
        """Ignore further commands; the servos hold. A joint far from its goal holds where it is."""
        if self._enabled:
            self._enabled = False
            self._let_go()

    def torque_off(self) -> None:
        """Switch the torque of all servos off, and read back that it is."""
        self._enabled = False
        self._write_all(TORQUE, [0] * len(self._ids))
        self._check_written(torque=[0] * len(self._ids))

    def disconnect(self) -> None:
        """Close the port; the servos hold. While the arm still moves, the bus watchdog stays on."""
        self._enabled = False
        if self.bus.is_open:
            with contextlib.suppress(Exception):
                if self._let_go():
                    self._write_all(BUS_WATCHDOG, [0] * len(self._ids))
                    self._check_written(bus_watchdog=[0] * len(self._ids))
            self.bus.close()

    def _let_go(self) -> bool:
        """Make far goals the present positions; returns whether all servos are known to stand."""
        if self._state is None:  # never enabled or read: this driver has sent no goal
            return False
        last = np.array(self._to_ticks(self._state.q))
        return let_go(self.bus, self._ids, self._lowest, self._highest, last)

    def _to_ticks(self, q: Array) -> list[int]:
        """Goal positions in ticks for joint angles (j,) rad, clipped to the limits."""
        ticks = np.rint(self._zero + self._sign * q / TICK)
        allowed = np.clip(ticks, self._lowest, self._highest)
        return [int(tick) for tick in allowed]

    def _read_present(self) -> JointState | None:
        """One fresh reading; None if any part of it was lost, or is not new."""
        replies = self.bus.fast_sync_read(self._all_ids, PRESENT)
        if replies is None:
            return None
        data = b"".join(reply.data for reply in replies)
        present = np.frombuffer(data, PRESENT_FIELDS)  # joints in order, then shadows
        if not self._clocks.advance(present["clock"].astype(int), self.bus.last_reply):
            self.bus.note_loss()
            return None
        joints = len(self._ids)
        current = present["current"].astype(float)
        for k, joint in enumerate(self.calibration.shadows.values()):
            current[joint] += current[joints + k]
        position = present["position"][:joints] - self._zero
        return JointState(
            q=self._sign * position * TICK,
            dq=self._sign * present["velocity"][:joints] * VELOCITY_UNIT,
            tau=self._sign * current[:joints] * self._torque_unit,
            stamp=self._clocks.time,
            condition=self._condition(replies),
            target=self._target if self._enabled else None,
        )

    def _condition(self, replies: list[Reply]) -> Condition:
        alert = any(reply.error & ALERT for reply in replies)
        if alert or self._watchdog_tripped:
            return Condition.ERROR
        return Condition.READY if self._enabled else Condition.DISABLED

    def _ask_health(self) -> NDArray[np.void] | None:
        """The control registers of every servo; None if any part was lost."""
        replies = self.bus.fast_sync_read(self._all_ids, CONTROL)
        if replies is None:
            return None
        data = b"".join(reply.data for reply in replies)
        return np.frombuffer(data, CONTROL_FIELDS)

    def _read_health(self) -> NDArray[np.void]:
        """The control registers of every servo; OSError if the servos do not answer."""
        return self._retry(self._ask_health)

    def _retry(self, read: Callable[[], T | None]) -> T:
        """The first answer of a few tries; OSError if all were lost."""
        for _ in range(TRIES):
            answer = read()
            if answer is not None:
                return answer
        raise OSError("the servos do not answer")

    def _write_all(self, register: Register, values: list[int]) -> None:
        """Write one value per joint; shadows execute what is sent to their leaders."""
        self.bus.sync_write(self._ids, register, values)
