"""An arm of Dynamixel X servos on one serial bus.

The stamp of a reading is the servos' own time. Goals stay within one turn of the servo. In that
range no packet needs byte stuffing, which the vendor's client does not apply when it sends.
"""

import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.dynamixel_bus import DynamixelBus
from hw_interface.drivers.dynamixel_calibration import Calibration, read_calibration
from hw_interface.drivers.dynamixel_clock import ServoClocks
from hw_interface.drivers.dynamixel_models import (
    ALERT,
    CURRENT_UNIT,
    SERVO_MODELS,
    STANDING,
    VELOCITY_UNIT,
    WATCHDOG_UNIT,
)
from hw_interface.drivers.dynamixel_registers import (
    BUS_WATCHDOG,
    CONTROL,
    CONTROL_FIELDS,
    GOAL_CURRENT,
    GOAL_POSITION,
    MOTION,
    MOTION_FIELDS,
    PRESENT,
    PRESENT_FIELDS,
    PROFILE,
    TORQUE,
)
from hw_interface.drivers.dynamixel_settings import (
    JointBounds,
    check_hardware_errors,
    check_settings,
    check_shadows,
)
from hw_interface.drivers.serial_bus import Reply
from hw_interface.drivers.servo_checks import GOAL_TOLERANCE, check_link
from hw_interface.drivers.servo_driver import ServoDriver
from hw_interface.drivers.servo_rest import Motion
from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Condition, JointState

SYNC_READ = "fast sync read: their firmware must be 45 or newer"


@dataclass(frozen=True)
class DynamixelOptions:
    """The serial port and the wiring of the arm."""

    port: str = ""  # the serial port
    calibration: str = ""  # a file; empty: the manufacturer's wiring of the arm


class Dynamixel(ServoDriver):
    """A Driver. Torque stays on after ``stop`` and ``disconnect``, or the arm would fall."""

    Options = DynamixelOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=1 / 320, realtime=True, gripper=True)
    max_round_trip: ClassVar[float] = capabilities.dt  # s, of a request and its answer
    goal_register = GOAL_POSITION
    torque_register = TORQUE

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
        self.options = options or DynamixelOptions()
        if not self.options.port:
            message = "Dynamixel servos are reached by a serial port"
            raise BadArgumentError(f"{message}: give --port, such as /dev/ttyUSB0")
        self.calibration: Calibration = read_calibration(self.options.calibration, arm)
        servos = self.calibration.servos
        bus = DynamixelBus(self.options.port, self.calibration.baud)
        super().__init__(arm, bus, servos, self.calibration.shadows)
        constants = [SERVO_MODELS[servo.model].torque_constant for servo in servos]
        self._torque_unit = CURRENT_UNIT * np.array(constants)  # N·m per unit of current
        # in WATCHDOG_UNIT, of each joint: a silent bus stops its servo when the last command is too
        # old to follow. A gripper's is off: it would end the grip.
        watchdog = int(arm.limits.deadline / WATCHDOG_UNIT)
        self._watchdogs = [watchdog if joint in arm.tool_joints else 0 for joint in arm.joints]
        self._silence = watchdog * WATCHDOG_UNIT / 2  # s after which a watchdog may have tripped
        self._watchdog_tripped = False
        self._clocks = ServoClocks()
        self._bounds: JointBounds | None = None  # what the servos accept; known once connected

    def connect(self) -> None:
        """Open the port and check that every servo is there and set as when it was calibrated.

        Raises:
            ArmError: another program drives this arm.
            OSError: there is no such port, or a servo does not answer.
            RuntimeError: a servo is another model or has other settings, or the link is slow.
        """
        self.bus.open()
        self._bounds = check_settings(self.bus, self.calibration)
        check_link(self.bus, self._all_ids, PRESENT, self.max_round_trip, SYNC_READ)
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
        goals = self._goals_to_hold(control)
        self._clocks.restart()
        state = self._retry(self._read_present)
        target = self._to_joints(np.array(goals))
        self._bound_speed_and_current(target, state.q)
        self._write_all(GOAL_POSITION, goals)
        self._check_written(GOAL_TOLERANCE, goal_position=goals)
        self._write_all(TORQUE, [1] * len(self._ids))
        self._write_all(BUS_WATCHDOG, self._watchdogs)
        self._check_written(torque=[1] * len(self._ids), bus_watchdog=self._watchdogs)
        self._enabled = True
        self._watchdog_tripped = False
        self._target = target
        self._state = replace(state, condition=Condition.READY, target=self._target)

    def _bound_speed_and_current(self, target: Array, q: Array) -> None:
        """Set the servos' speed and current limits to the joints' limits, or as far as possible.

        Args:
            target: (j,) where the servos will be held.
            q: (j,) where they are.
        """
        if self._bounds is None:
            raise OSError(f"{self.options.port} is not connected")
        limits = self.arm.limits
        fastest = limits.dq / self._transmission.largest  # (j,) rad/s, of the servos
        wanted = np.ceil(fastest / VELOCITY_UNIT).astype(int)
        velocity = np.minimum(wanted, self._bounds.velocity).tolist()
        # the register's low half is the profile acceleration: 0 means unlimited
        profile = [v << 32 for v in velocity]
        self._write_all(PROFILE, profile)
        self._check_written(profile_velocity=velocity, profile_acceleration=[0] * len(velocity))
        if self.calibration.mode == "current" or self.arm.gripper is not None:
            allowed = self._bounded_torques(target, q) / self._torque_unit
            current = np.minimum(allowed.astype(int), self._bounds.current).tolist()
            self._write_all(GOAL_CURRENT, current)  # servos in the mode position ignore theirs
            self._check_written(goal_current=current)

    def _write_grip(self, torque: float) -> None:
        assert self._bounds is not None, "it is known before anything is enabled"
        wanted = int(torque / self._torque_unit[-1])
        current = min(wanted, int(self._bounds.current[-1]))
        self.bus.sync_write(self._ids[-1:], GOAL_CURRENT, [current])

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
        if silent < self._silence:
            return True
        health = self._ask_health()
        if health is None:
            return False
        tripped = health["bus_watchdog"].tolist() != self._for_all(self._watchdogs)
        self._watchdog_tripped |= self._enabled and tripped
        return True

    def _release_watchdog(self) -> None:
        off = [0] * len(self._ids)
        self._write_all(BUS_WATCHDOG, off)
        self._check_written(bus_watchdog=off)

    def _read_motion(self) -> Motion | None:
        motion = self._read_block(self._ids, MOTION, MOTION_FIELDS)
        if motion is None:
            return None
        stands = bool((np.abs(motion["velocity"]) <= STANDING).all())
        return Motion(motion["goal"], motion["position"], stands)

    def _read_present(self) -> JointState | None:
        """One fresh reading; None if any part of it was lost, or is not new."""
        replies = self.bus.sync_read(self._all_ids, PRESENT)
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
        angles = self._to_angles(present["position"][:joints])
        ratios = self._transmission.ratios(angles)
        return JointState(
            q=self._transmission.to_joints(angles),
            dq=ratios * self._sign * present["velocity"][:joints] * VELOCITY_UNIT,
            tau=self._sign * current[:joints] * self._torque_unit / ratios,
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
        return self._read_block(self._all_ids, CONTROL, CONTROL_FIELDS)
