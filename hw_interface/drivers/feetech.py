"""An arm of Feetech STS servos on one serial bus, such as the SO-101.

These servos have no watchdog and no clock. When the bus falls silent, each servo goes on to its
last goal and holds it. Therefore no goal goes farther than ``LEAD`` from where its joint was last
measured. The stamp of a reading is the time of its arrival. A servo that repeats an old position is
noticed only when its joint seems not to follow.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.feetech_bus import FeetechBus
from hw_interface.drivers.feetech_calibration import FeetechCalibration, read_calibration
from hw_interface.drivers.feetech_registers import (
    ACCELERATION,
    BOUNDS,
    CONTROL,
    CONTROL_FIELDS,
    CURRENT_SIGN,
    CURRENT_UNIT,
    GOAL_POSITION,
    LOAD_SIGN,
    MOTION,
    MOTION_FIELDS,
    POSITION_SIGN,
    PRESENT,
    PRESENT_FIELDS,
    SERVO_MODELS,
    STANDING,
    TORQUE,
    TORQUE_LIMIT,
    TORQUE_LIMIT_UNIT,
    VELOCITY_SIGN,
    VELOCITY_UNIT,
    to_signed,
)
from hw_interface.drivers.feetech_settings import check_settings, check_status
from hw_interface.drivers.lead import hold_back
from hw_interface.drivers.serial_bus import Reply
from hw_interface.drivers.servo_checks import GOAL_TOLERANCE, check_link
from hw_interface.drivers.servo_driver import ServoDriver
from hw_interface.drivers.servo_rest import Motion
from robots.arm import ArmSpec
from robots.driver import Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Condition, JointState

SYNC_READ = "sync read: their firmware is too old"


TORQUE_CHECK = 20  # readings between two looks at the torque, 0.1 s; a look takes half a ms


@dataclass(frozen=True)
class FeetechOptions:
    """The serial port and the wiring of the arm."""

    port: str = ""  # the serial port
    calibration: str = ""  # a file; empty: the wiring of the arm as its maker assembles it


class Feetech(ServoDriver):
    """A Driver. Torque stays on after ``stop`` and ``disconnect``, or the arm would fall."""

    Options = FeetechOptions
    capabilities: ClassVar[Capabilities] = Capabilities(dt=1 / 200, realtime=True, gripper=True)
    max_round_trip: ClassVar[float] = capabilities.dt  # s, of a request and its answer
    goal_register = GOAL_POSITION
    torque_register = TORQUE

    def __init__(
        self,
        arm: ArmSpec,
        scene: Scene | None = None,
        options: FeetechOptions | None = None,
    ) -> None:
        """Read the calibration; touches no hardware.

        Raises:
            BadArgumentError: no port, or no calibration that fits the arm.
        """
        self.options = options or FeetechOptions()
        if not self.options.port:
            message = "Feetech servos are reached by a serial port"
            raise BadArgumentError(f"{message}: give --port, such as /dev/ttyACM0")
        self.calibration: FeetechCalibration = read_calibration(self.options.calibration, arm)
        servos = self.calibration.servos
        bus = FeetechBus(self.options.port, self.calibration.baud)
        super().__init__(arm, bus, servos)
        models = [SERVO_MODELS[servo.model] for servo in servos]
        self._torque_unit = CURRENT_UNIT * np.array([model.torque_constant for model in models])
        self._stall_torque = np.array([model.stall_torque for model in models])
        self._until_check = TORQUE_CHECK  # readings
        self._lost_torque = False  # whether a servo has switched it off by itself
        self._max_torque: NDArray[np.int64] | None = None  # what the servos allow, once connected

    def connect(self) -> None:
        """Open the port and check that every servo is there and set as when it was calibrated.

        Raises:
            ArmError: another program drives this arm.
            OSError: there is no such port, or a servo does not answer.
            RuntimeError: a servo is another model or has other settings, or the link is slow.
        """
        self.bus.open()
        self._max_torque = check_settings(self.bus, self.calibration, self._lowest, self._highest)
        check_link(self.bus, self._ids, PRESENT, self.max_round_trip, SYNC_READ)
        self.bus.expect_speed()

    def enable(self) -> None:
        """Switch torque on where the arm is, with bounded speeds and torques.

        Raises:
            RuntimeError: a servo reports a fault, or does not read back what was written to it.
            OSError: the servos do not answer.
        """
        self._enabled = False
        control = self._read_health()
        check_status(self._ids, control["status"])
        goals = self._goals_to_hold(control)
        state = self._retry(self._read_present)
        target = self._to_joints(np.array(goals))
        self._bound_speed_and_torque(target, state.q)
        self._write_goals(goals)
        self._check_written(GOAL_TOLERANCE, goal_position=goals)
        on = [1] * len(self._ids)
        self._write_all(TORQUE, on)
        self._check_written(torque=on)
        self._enabled = True
        self._until_check = TORQUE_CHECK
        self._lost_torque = False
        self._target = target
        self._state = replace(state, condition=Condition.READY, target=self._target)

    def _bound_speed_and_torque(self, target: Array, q: Array) -> None:
        """Set the servos' speed and torque limits to the joints' limits.

        Args:
            target: (j,) where the servos will be held.
            q: (j,) where they are.
        """
        if self._max_torque is None:
            raise OSError(f"{self.options.port} is not connected")
        limits = self.arm.limits
        fastest = limits.dq / self._transmission.largest  # (j,) rad/s, of the servos
        velocity = np.ceil(fastest / VELOCITY_UNIT).astype(int).tolist()
        allowed = self._bounded_torques(target, q)
        share = allowed / self._stall_torque / TORQUE_LIMIT_UNIT
        torque = np.minimum(share.astype(int), self._max_torque).tolist()
        # goal time 0, velocity, torque limit: two bytes each, the first one lowest
        bounds = [v << 16 | t << 32 for v, t in zip(velocity, torque, strict=True)]
        none = [0] * len(self._ids)
        self._write_all(ACCELERATION, none)
        self._write_all(BOUNDS, bounds)
        self._check_written(
            acceleration=none, goal_time=none, goal_velocity=velocity, torque_limit=torque
        )

    def _write_grip(self, torque: float) -> None:
        assert self._max_torque is not None, "it is known before anything is enabled"
        share = int(torque / self._stall_torque[-1] / TORQUE_LIMIT_UNIT)
        bounded = min(share, int(self._max_torque[-1]))
        self.bus.sync_write(self._ids[-1:], TORQUE_LIMIT, [bounded])

    def read(self) -> JointState:
        """The newest reading; the previous one if it was lost."""
        if self._state is None:
            self._state = self._retry(self._read_present)
        else:
            self._check_torque()
            self._state = self._read_present() or self._state
        return self._state

    def _check_torque(self) -> None:
        """Now and then: whether every servo still has torque; one that restarted has none."""
        self._until_check -= 1
        if self._enabled and self._until_check <= 0:
            self._until_check = TORQUE_CHECK
            replies = self.bus.sync_read(self._ids, TORQUE) or []
            self._lost_torque |= any(not reply.data[0] for reply in replies)

    def _bound(self, q: Array) -> Array:
        """Goals that are held back where a joint is behind."""
        if self._state is None:
            return q
        last = q if self._target is None else self._target
        return hold_back(q, last, self._state.q)

    def _let_go(self) -> bool:
        """As for every servo, but only after ``enable``: a goal may switch a servo's torque on."""
        return self._target is not None and super()._let_go()

    def _release_watchdog(self) -> None:
        """These servos have none."""

    def _read_motion(self) -> Motion | None:
        motion = self._read_block(self._ids, MOTION, MOTION_FIELDS)
        if motion is None:
            return None
        velocity = to_signed(motion["velocity"], VELOCITY_SIGN)
        stands = bool((np.abs(velocity) <= STANDING).all())
        position = to_signed(motion["position"], POSITION_SIGN)
        return Motion(motion["goal"].astype(float), position, stands)

    def _ask_health(self) -> NDArray[np.void] | None:
        control = self._read_block(self._ids, CONTROL, CONTROL_FIELDS)
        if control is None:
            return None
        control = control.copy()
        position = to_signed(control["present_position"], POSITION_SIGN)
        control["present_position"] = np.maximum(position, 0)  # no goal is below 0
        return control

    def _read_present(self) -> JointState | None:
        """One fresh reading; None if any part of it was lost."""
        replies = self.bus.sync_read(self._ids, PRESENT)
        if replies is None:
            return None
        data = b"".join(reply.data for reply in replies)
        present = np.frombuffer(data, PRESENT_FIELDS)
        velocity = to_signed(present["velocity"], VELOCITY_SIGN)
        # the sign of the load tells the direction: not every firmware gives the current one
        size = np.abs(to_signed(present["current"], CURRENT_SIGN))
        current = np.sign(to_signed(present["load"], LOAD_SIGN)) * size
        angles = self._to_angles(to_signed(present["position"], POSITION_SIGN))
        ratios = self._transmission.ratios(angles)
        return JointState(
            q=self._transmission.to_joints(angles),
            dq=ratios * self._sign * velocity * VELOCITY_UNIT,
            tau=self._sign * current * self._torque_unit / ratios,
            stamp=self.bus.last_reply,
            condition=self._condition(replies),
            target=self._target if self._enabled else None,
        )

    def _condition(self, replies: list[Reply]) -> Condition:
        if self._lost_torque or any(reply.error for reply in replies):
            return Condition.ERROR
        return Condition.READY if self._enabled else Condition.DISABLED
