"""An emulated serial bus of servos on a pseudo-terminal, with simulated joints.

Answers take the time that they need on a wire: ten bits per byte, and the servos' return delay.
"""

import contextlib
import fcntl
import os
import select
import termios
import threading
import time
import tty
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

import numpy as np

from hw_interface.drivers.servo_calibration import TICK, JointServo
from hw_interface.drivers.servo_gripper import Transmission
from hw_interface.emulators import Physics
from hw_interface.emulators.fingers import stiff_target
from hw_interface.emulators.packets import InstructionPacket, PacketParser
from robots.arm import ArmSpec
from robots.signals import Array

POLL = 0.004  # s, the longest time between two polls of the bus
BITS_PER_BYTE = 10  # with start and stop bit
RETURN_DELAY_UNIT = 2e-6  # s, of every vendor's register of that name


@dataclass(frozen=True)
class SerialBusOptions:
    """How the bus is wired and timed."""

    calibration: str = ""  # a file; empty: the manufacturer's wiring of the arm
    wire: bool = True  # answers take the time they need on a wire


@dataclass
class Faults:
    """Faults of the bus, which a test may change while it runs."""

    mute: set[int] = field(default_factory=set)  # ids that execute instructions, but do not answer
    corrupt: set[int] = field(default_factory=set)  # ids whose answers are corrupted on the wire
    silent: bool = False  # no packet passes, in either direction
    frozen: set[int] = field(default_factory=set)  # ids whose state and clock stand still
    glitches: dict[int, int] = field(default_factory=dict)  # ticks added to a position, by id
    # writes that are lost, as (id, name of the register)
    lost_writes: set[tuple[int, str]] = field(default_factory=set)
    delay: float = 0.0  # s that every answer is held back, as by a USB adapter
    copies: int = 1  # how often every answer arrives


class Servo(Protocol):
    """One emulated servo."""

    servo_id: int
    reference: float  # ticks, where its profile is on the way to the goal

    @property
    def wiring(self) -> JointServo:
        """Its joint's entry of the calibration."""
        ...

    def get(self, name: str) -> int:
        """The value of a register."""
        ...

    def halt(self) -> None:
        """Set the goal to the present position."""
        ...

    def advance(self, now: float, dt: float) -> None:
        """Simulate ``dt`` s up to ``now``."""
        ...


S = TypeVar("S", bound=Servo)


class Group(Protocol[S]):
    """All servos of one bus."""

    faults: Faults
    servos: dict[int, S]  # by id
    leaders: list[S]  # one per joint
    joint_of: dict[int, int]  # index of the joint by id

    def answer(self, packet: InstructionPacket, now: float) -> bytes:
        """Execute an instruction; returns the bytes that the servos answer."""
        ...


class EmulatedBus(ABC, Generic[S]):
    """An Emulator: all servos of one arm. Subclasses know one vendor's protocol and registers."""

    holds_weight: ClassVar[bool] = False

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        group: Group[S],
        parser: PacketParser,
        baud: int,
        wire: bool,
        clock: Callable[[], float],
    ) -> None:
        """Open a pseudo-terminal; ``port`` is its name.

        Args:
            arm: the arm whose servos these are.
            physics: its joints.
            group: the servos.
            parser: of the vendor's protocol.
            baud: bits per second on the wire.
            wire: whether answers take the time that they need there.
            clock: returns monotonic time, s.
        """
        self.arm = arm
        self.physics = physics
        self.group = group
        self.baud = baud
        self._transmission = Transmission(arm)
        self.servos: Mapping[int, S] = group.servos
        self.faults = group.faults
        self.goals = 0
        self.outside = 0
        self.bytes_carried = 0  # both ways
        self._parser = parser
        self._wire = wire
        self._clock = clock
        self._now = clock()
        self._wire_free = 0.0  # s, when the wire will be free
        self._open_terminal()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._measure()
        for servo in self.servos.values():
            servo.halt()

    def _open_terminal(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)  # the driver may have ended without reading
        self.port = os.ttyname(self._slave)

    def serve(self) -> None:
        """Answer until closed."""
        self._idle.clear()
        try:
            while not self._closed.is_set():
                # a driver that was killed leaves its exclusive lock; a real port would lose it
                fcntl.ioctl(self._slave, termios.TIOCNXCL)
                ready, _, _ = select.select([self._master], [], [], POLL)
                data = os.read(self._master, 4096) if ready else b""
                packets = list(self._parser.feed(data))
                self.pass_time()
                for packet in packets:
                    self._occupy_wire(packet.size)
                    if not self.faults.silent:
                        self._send(self.group.answer(packet, self._now))
        finally:
            self._idle.set()

    def close(self) -> None:
        """Stop answering and remove the port, even if a driver has it open."""
        if not self._closed.is_set():
            self._closed.set()
            self._idle.wait()
            os.close(self._master)
            os.close(self._slave)

    def pass_time(self) -> None:
        """Bring the servos and the joints to the present time."""
        now = self._clock()
        dt = now - self._now
        if dt == 0:  # nothing moves; a clock may stand still between two packets
            return
        self._now = now
        for servo in self.servos.values():
            servo.advance(now, dt)
        self.physics.write(self._bound_grip(self._targets()))
        self.physics.advance(dt)
        self._measure()

    def _targets(self) -> Array:
        """Where the joints' servos pull to, (j,) rad or m."""
        return self._transmission.to_joints(self._angles())

    def _angles(self) -> Array:
        """The setpoints of the joints' servos, (j,) rad."""
        return np.array([to_angle(servo.wiring, servo.reference) for servo in self.group.leaders])

    def _bound_grip(self, targets: Array) -> Array:
        """Targets with which a gripper's servo is stiff, but has its bounded torque at most.

        Without torque it presses no more.
        """
        gripper = self.arm.gripper
        if gripper is None:
            return targets
        q, _, _ = self.physics.read()
        bounded = targets.copy()
        servo = self.group.leaders[-1]
        if not servo.get("torque"):
            bounded[-1] = q[-1]
            return bounded

        ratios = self._transmission.ratios(self._transmission.to_servos(q))
        force = self._torque_bound(servo) / ratios[-1]
        bounded[-1] = stiff_target(gripper, float(targets[-1]), float(q[-1]), float(force))
        return bounded

    @abstractmethod
    def _torque_bound(self, servo: S) -> float:
        """The largest torque, N·m, that a servo is allowed to have."""

    def count_goal(self, servo: S, goal: int) -> None:
        """Count a goal position in ticks that arrived."""
        joint = self.group.joint_of[servo.servo_id]
        angles = self._angles()
        angles[joint] = to_angle(servo.wiring, goal)
        q = self._transmission.to_joints(angles)[joint]
        low = self.arm.limits.q_low[joint]
        high = self.arm.limits.q_high[joint]
        self.goals += 1
        self.outside += not low <= q <= high

    def _measure(self) -> None:
        """Write the joints' states into the servos' registers."""
        q, dq, tau = self.physics.read()
        angles = self._transmission.to_servos(q)
        ratios = self._transmission.ratios(angles)
        velocity = dq / ratios
        torque = tau * ratios
        for servo_id, servo in self.servos.items():
            if servo_id not in self.faults.frozen:
                joint = self.group.joint_of[servo_id]
                glitch = self.faults.glitches.get(servo_id, 0)
                wiring = servo.wiring
                position = wiring.zero + wiring.sign * angles[joint] / TICK + glitch
                sign = wiring.sign
                self._show(servo, position, sign * velocity[joint], sign * torque[joint])

    @abstractmethod
    def _show(self, servo: S, position: float, velocity: float, torque: float) -> None:
        """Write a measurement into a servo's registers.

        Args:
            servo: the servo.
            position: ticks.
            velocity: rad/s in the servo's direction.
            torque: N·m in the servo's direction, of the joint.
        """

    def _occupy_wire(self, size: int) -> None:
        """Reserve the wire for the time that ``size`` bytes need."""
        self.bytes_carried += size
        start = max(self._wire_free, self._now)
        self._wire_free = start + BITS_PER_BYTE * size / self.baud

    def _send(self, packet: bytes) -> None:
        if not packet:
            return
        slowest = max(servo.get("return_delay") for servo in self.servos.values())
        delay = RETURN_DELAY_UNIT * slowest
        self._occupy_wire(len(packet))
        if self._wire:
            remaining = self._wire_free + delay - self._clock()
            time.sleep(max(0.0, remaining))
        time.sleep(self.faults.delay)
        with contextlib.suppress(OSError):
            os.write(self._master, packet * self.faults.copies)


def to_angle(wiring: JointServo, ticks: float) -> float:
    """The joint angle, rad, at a servo position in ticks."""
    return wiring.sign * (ticks - wiring.zero) * TICK


def uint16(data: bytes) -> int:
    """The first two bytes, the least significant first."""
    return int.from_bytes(data[:2], "little")


def flip_bit(packet: bytes, index: int) -> bytes:
    """The packet with one bit of one byte flipped."""
    corrupted = bytearray(packet)
    corrupted[index] ^= 0x10
    return bytes(corrupted)
