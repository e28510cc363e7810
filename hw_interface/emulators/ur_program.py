"""The control program that ur_rtde uploads, as an emulated controller runs it.

URScript is not interpreted; the program's side of the register protocol is written from its
description. Integer input register 0 holds a command, the double registers hold its arguments. The
integer output register 0 tells whether the program is ready for the next command (1) or has
finished one (2).
"""

from collections.abc import Callable
from enum import IntEnum

import numpy as np

from hw_interface.emulators.ur_motion import JointTargets

READY = 1
DONE = 2
JOINTS = 6


class Order(IntEnum):
    """The commands that the emulated program knows."""

    NONE = 0
    SPEED_J = 9
    SERVO_J = 11
    SPEED_STOP = 15
    SERVO_STOP = 16
    SET_PAYLOAD = 17
    STOP_L = 33
    STOP_J = 34
    SET_WATCHDOG = 35
    STOP_SCRIPT = 255


STREAMED = (Order.SPEED_J, Order.SERVO_J)  # after these the program is ready at once
STOPS = (Order.SPEED_STOP, Order.SERVO_STOP, Order.STOP_L, Order.STOP_J)
STOP_L_ACCELERATION = 10.0  # rad/s², in place of the argument, which is the tool's, in m/s²


class ControlProgram:
    """The running program: one call of ``step`` per cycle of the controller."""

    def __init__(
        self,
        targets: JointTargets,
        set_watchdog: Callable[[float], None],
        set_payload: Callable[[list[float]], None],
    ) -> None:
        """Start, ready for commands.

        Args:
            targets: of the joints.
            set_watchdog: called with the lowest frequency, Hz, at which register 0 must be written.
            set_payload: called with mass, kg, and center of mass, m.
        """
        self.answer = READY  # output register 0
        self._targets = targets
        self._set_watchdog = set_watchdog
        self._set_payload = set_payload
        self._executing = False  # whether the present command has been started
        self._braking = False  # whether the present command lasts until the targets are at rest

    def step(self, order: int, doubles: list[float]) -> bool:
        """Execute the command in the input registers; returns whether the program continues.

        Args:
            order: integer input register 0, see ``Order``.
            doubles: the double input registers, with the command's arguments.

        Raises:
            ValueError: the command is unknown or a target is not finite; the program ends.
        """
        if self._braking:
            self._braking = not self._targets.at_rest
            self.answer = READY if self._braking else DONE
        elif order in STREAMED:
            self._follow(order, doubles)
            self.answer = READY
        elif order == Order.NONE:
            self._executing = False
            self.answer = READY
        elif order == Order.STOP_SCRIPT:
            return False
        elif not self._executing:
            self._executing = True
            self._begin(order, doubles)
        return True

    def _follow(self, order: int, doubles: list[float]) -> None:
        joints = np.array(doubles[:JOINTS])
        if not np.isfinite(joints).all():
            raise ValueError(f"a target is not finite: {joints}")
        if order == Order.SERVO_J:
            self._targets.servo(joints, lookahead=doubles[9])
        else:
            self._targets.speed(joints, acceleration=doubles[6])

    def _begin(self, order: int, doubles: list[float]) -> None:
        """Start a command whose end the client waits for."""
        if order == Order.SET_WATCHDOG:
            self._set_watchdog(doubles[0])
            self.answer = DONE
        elif order == Order.SET_PAYLOAD:
            self._set_payload(doubles[:4])
            self.answer = DONE
        elif order in STOPS:
            in_joints = order in (Order.SPEED_STOP, Order.STOP_J)
            self._targets.brake(doubles[0] if in_joints else STOP_L_ACCELERATION)
            self._braking = True
        else:
            raise ValueError(f"the emulated program does not know the command {order}")
