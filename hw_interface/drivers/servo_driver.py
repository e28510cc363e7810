"""What the drivers of arms of servos on a serial bus have in common, whoever made the servos.

A tick costs one sync read and one sync write. If a reading is lost, late or repeated, the previous
one is returned. Its stamp then does not advance, and the watchdog decides what follows.
"""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from hw_interface.drivers.serial_bus import TRIES, Register, SerialBus
from hw_interface.drivers.servo_calibration import TICK, JointServo
from hw_interface.drivers.servo_checks import check_written, goals_to_hold
from hw_interface.drivers.servo_gripper import Transmission, grip_force, keep_grip
from hw_interface.drivers.servo_rest import Motion, let_go
from robots.arm import ArmSpec
from robots.errors import BadArgumentError
from robots.signals import Array, Command, JointState

T = TypeVar("T")

# share of the largest force by which a grip's force must change before it is sent again; ours: a
# sync write more in every tick would take a twentieth of it
GRIP_STEP = 0.01


class ServoDriver(ABC):
    """The part of a Driver that is the same for all servos; subclasses know their registers."""

    goal_register: ClassVar[Register]
    torque_register: ClassVar[Register]

    def __init__(
        self,
        arm: ArmSpec,
        bus: SerialBus,
        servos: Sequence[JointServo],
        shadows: Mapping[int, int] | None = None,
    ) -> None:
        """Begin without a connection.

        Args:
            arm: the arm.
            bus: of its servos, not yet open.
            servos: one per joint.
            shadows: the joint's index for the id of each further servo on a joint.
        """
        self.arm = arm
        self.bus = bus
        self._shadows = dict(shadows or {})
        self._ids = tuple(servo.id for servo in servos)
        self._all_ids = (*self._ids, *self._shadows)
        self._sign = np.array([servo.sign for servo in servos])
        self._zero = np.array([servo.zero for servo in servos])
        self._transmission = Transmission(arm)
        q_limits = [arm.limits.q_low, arm.limits.q_high]
        servo_limits = np.stack([self._transmission.to_servos(limit) for limit in q_limits])
        tick_limits = self._zero + self._sign * servo_limits / TICK
        # ticks, rounded inward so that no goal is past a limit
        self._lowest = np.ceil(tick_limits.min(0))
        self._highest = np.floor(tick_limits.max(0))
        self._enabled = False
        self._state: JointState | None = None
        self._target: Array | None = None  # (j,) rad or m, the goals that were written last
        self._grip_force = 0.0  # N, of both fingers, that was written last

    def write(self, command: Command) -> None:
        """Send a command; ignored unless enabled."""
        if not np.isfinite(command.q).all():
            raise BadArgumentError(f"a command must be finite, got {command.q}")
        if self._enabled:
            q = self._bound(command.q)
            self._bound_grip(q)
            self._write_goals(self._to_ticks(q))
            self._target = q.copy()

    def _bound_grip(self, q: Array) -> None:
        """Bound the force of the fingers for goals (j,), if it is to change."""
        gripper = self.arm.gripper
        if gripper is None or self._state is None:
            return
        force = grip_force(gripper, float(q[-1]), float(self._state.q[-1]))
        if abs(force - self._grip_force) >= GRIP_STEP * gripper.force:
            self._grip_force = force
            self._write_grip(self._grip_torque(force, self._state.q))

    def _bounded_torques(self, target: Array, q: Array) -> Array:
        """The largest torques, N·m, of the joints' servos when they are enabled, (j,).

        Args:
            target: (j,) where they will be held.
            q: (j,) where they are.
        """
        torques = self.arm.limits.tau.copy()
        gripper = self.arm.gripper
        if gripper is not None:
            self._grip_force = grip_force(gripper, float(target[-1]), float(q[-1]))
            torques[-1] = self._grip_torque(self._grip_force, q)
        return torques

    def _grip_torque(self, force: float, q: Array) -> float:
        """The torque, N·m, of the gripper's servo for a force, N, at joint positions (j,)."""
        ratios = self._transmission.ratios(self._transmission.to_servos(q))
        return force * float(ratios[-1])

    @abstractmethod
    def _write_grip(self, torque: float) -> None:
        """Bound the torque, N·m, of the gripper's servo."""

    def _goals_to_hold(self, control: NDArray[np.void]) -> list[int]:
        """See ``goals_to_hold``; a gripper that holds something goes on doing so."""
        has_gripper = self.arm.gripper is not None
        return goals_to_hold(control, self._lowest, self._highest, has_gripper)

    def _bound(self, q: Array) -> Array:
        """The goals (j,) rad that are sent for commanded ones."""
        return q

    def stop(self) -> None:
        """Ignore further commands; the servos hold. A joint far from its goal holds where it is.

        A gripper keeps its goal and its force: it does not let go of what it holds.
        """
        if self._enabled:
            self._enabled = False
            self._let_go()

    def torque_off(self) -> None:
        """Switch the torque of all servos off, and read back that it is."""
        self._enabled = False
        off = [0] * len(self._ids)
        self._write_all(self.torque_register, off)
        self._check_written(torque=off)
        self._target = None  # no goal is in force any more

    def disconnect(self) -> None:
        """Close the port; the servos hold."""
        self._enabled = False
        if self.bus.is_open:
            with contextlib.suppress(Exception):
                if self._let_go():
                    self._release_watchdog()
            self.bus.close()

    @abstractmethod
    def _release_watchdog(self) -> None:
        """Disarm the servos' own watchdog, if they have one: the arm is at rest."""

    def _let_go(self) -> bool:
        """Make far goals the present positions; returns whether all servos are known to stand."""
        if self._state is None:  # never enabled or read: this driver has sent no goal
            return False
        held = self._state.q if self._target is None else self._target
        rest = keep_grip(self.arm, self._state.q, held)
        last = np.array(self._to_ticks(rest))
        return let_go(self._read_pressing, self._write_goals, self._lowest, self._highest, last)

    def _read_pressing(self) -> Motion | None:
        """Goals and measurements, with a gripper at its goal: it may press."""
        motion = self._read_motion()
        if motion is None:
            return None
        return motion._replace(position=keep_grip(self.arm, motion.position, motion.goal))

    @abstractmethod
    def _read_motion(self) -> Motion | None:
        """Goals and measurements of the joints; None if any part was lost."""

    @abstractmethod
    def _ask_health(self) -> NDArray[np.void] | None:
        """The control registers of every servo; None if any part was lost."""

    def _read_health(self) -> NDArray[np.void]:
        """The control registers of every servo; OSError if the servos do not answer."""
        return self._retry(self._ask_health)

    def _check_written(self, tolerance: int = 0, **written: list[int]) -> None:
        """Read registers back and compare them with one value per joint; shadows too."""
        of_all = {name: self._for_all(values) for name, values in written.items()}
        check_written(self._all_ids, self._read_health(), of_all, tolerance)

    def _for_all(self, values: list[int]) -> list[int]:
        """Values of all servos, for those of the joints: a shadow has its leader's."""
        return values + [values[joint] for joint in self._shadows.values()]

    def _to_ticks(self, q: Array) -> list[int]:
        """Goal positions in ticks for joint positions (j,), clipped to the limits."""
        ticks = np.rint(self._zero + self._sign * self._transmission.to_servos(q) / TICK)
        allowed = np.clip(ticks, self._lowest, self._highest)
        return [int(tick) for tick in allowed]

    def _to_angles(self, ticks: Array) -> Array:
        """The servos' angles (j,) rad in the joints' directions, at positions in ticks."""
        angles: Array = self._sign * (ticks - self._zero) * TICK
        return angles

    def _to_joints(self, ticks: Array) -> Array:
        """Joint positions (j,), rad or m, at positions in ticks."""
        return self._transmission.to_joints(self._to_angles(ticks))

    def _read_block(
        self, ids: Sequence[int], register: Register, fields: np.dtype[np.void]
    ) -> NDArray[np.void] | None:
        """A block of registers of several servos; None if any part was lost."""
        replies = self.bus.sync_read(ids, register)
        if replies is None:
            return None
        data = b"".join(reply.data for reply in replies)
        return np.frombuffer(data, fields)

    def _retry(self, read: Callable[[], T | None]) -> T:
        """The first answer of a few tries; OSError if all were lost."""
        for _ in range(TRIES):
            answer = read()
            if answer is not None:
                return answer
        raise OSError("the servos do not answer")

    def _write_goals(self, goals: list[int]) -> None:
        self._write_all(self.goal_register, goals)

    def _write_all(self, register: Register, values: list[int]) -> None:
        """Write one value per joint; shadows execute what is sent to their leaders."""
        self.bus.sync_write(self._ids, register, values)
