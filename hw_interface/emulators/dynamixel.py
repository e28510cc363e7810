"""An emulated bus of Dynamixel servos on a pseudo-terminal, with simulated joints.

Answers take the time that they need on a wire: ten bits per byte, and the servos' return delay.
Bulk and registered instructions are not emulated. A servo without torque is held by its gears. The
answer to a fast sync read ends before the first mute servo.
"""

import contextlib
import fcntl
import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hw_interface.drivers.dynamixel_calibration import ServoWiring, read_calibration
from hw_interface.drivers.dynamixel_models import (
    CURRENT_UNIT,
    SERVO_MODELS,
    TICK,
    VELOCITY_UNIT,
)
from hw_interface.emulators import Physics
from hw_interface.emulators.protocol2 import Parser
from hw_interface.emulators.servo_group import ServoGroup
from hw_interface.emulators.x_series import EmulatedServo
from robots.arm import ArmSpec

POLL = 0.004  # s, the longest time between two polls of the bus
BITS_PER_BYTE = 10  # with start and stop bit
RETURN_DELAY_UNIT = 2e-6  # s


@dataclass(frozen=True)
class BusOptions:
    """How the bus is wired and timed."""

    calibration: str = ""  # a file; empty: the manufacturer's wiring of the arm
    wire: bool = True  # answers take the time they need on a wire


class Bus:
    """An Emulator: all servos of one arm."""

    Options = BusOptions
    holds_weight = False

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        options: BusOptions | None = None,
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
        self.options = options or BusOptions()
        calibration = read_calibration(self.options.calibration, arm)
        self.arm = arm
        self.physics = physics
        self.baud = calibration.baud
        self.group = ServoGroup(calibration, self._count_goal)
        self.servos = self.group.servos
        self.faults = self.group.faults
        self.goals = 0
        self.outside = 0
        self.bytes_carried = 0  # both ways
        self._clock = clock
        self._now = clock()
        self._wire_free = 0.0  # s, when the wire will be free
        self._parser = Parser()
        self._open_terminal()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._measure()
        for servo in self.servos.values():
            servo.last_instruction = self._now
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
        self._now = now
        for servo in self.servos.values():
            servo.advance(now, dt)
        targets = [_to_angle(servo.wiring, servo.reference) for servo in self.group.leaders]
        self.physics.write(np.array(targets))
        self.physics.advance(dt)
        self._measure()

    def _count_goal(self, servo: EmulatedServo, goal: int) -> None:
        joint = self.group.joint_of[servo.servo_id]
        q = _to_angle(servo.wiring, goal)
        low = self.arm.limits.q_low[joint]
        high = self.arm.limits.q_high[joint]
        self.goals += 1
        self.outside += not low <= q <= high

    def _measure(self) -> None:
        """Write the joints' states into the servos' registers."""
        q, dq, tau = self.physics.read()
        for servo_id, servo in self.servos.items():
            if servo_id in self.faults.frozen:
                continue
            joint = self.group.joint_of[servo_id]
            wiring = servo.wiring
            share = 0.5 if wiring.shadow is not None else 1.0  # with a shadow, half of the torque
            constant = SERVO_MODELS[wiring.model].torque_constant
            position = wiring.zero + wiring.sign * q[joint] / TICK
            velocity = wiring.sign * dq[joint] / VELOCITY_UNIT
            current = wiring.sign * share * tau[joint] / constant / CURRENT_UNIT
            position += self.faults.glitches.get(servo_id, 0)
            servo.measure(position, velocity, current)
            servo.set_clock(self._now)

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
        if self.options.wire:
            remaining = self._wire_free + delay - self._clock()
            time.sleep(max(0.0, remaining))
        time.sleep(self.faults.delay)
        with contextlib.suppress(OSError):
            os.write(self._master, packet * self.faults.copies)


def _to_angle(wiring: ServoWiring, ticks: float) -> float:
    """The joint angle, rad, at a servo position in ticks."""
    return wiring.sign * (ticks - wiring.zero) * TICK
