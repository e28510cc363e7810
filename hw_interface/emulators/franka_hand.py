"""The server side of a Franka Hand: port 1338, by the protocol definitions of ``franky-sim``.

The fingers are those of the simulated arm. The commands behave as users of real hands report, see
``hw_interface/drivers/franka_grip.py``.
"""

from dataclasses import dataclass

import numpy as np
from franky_sim.franka_gripper_protocol import (
    GripperCommand,
    GripperCommandStatus,
    GripperGraspCommand,
    GripperHomingCommand,
    GripperMoveCommand,
    GripperState,
    GripperStopCommand,
)
from franky_sim.franka_server import BaseCommand, FrankaServer

from robots.gripper import Gripper

PORT = 1338
VERSION = 3  # of the protocol: libfranka 0.21
STATE_CYCLES = 20  # cycles of 1 ms between two states; ours
STANDS = 0.002  # m/s, of a finger that stands
STANDING = 50  # cycles for which fingers stand when a motion ends; ours
LEAST_FORCE = 30.0  # N, of each finger in a grasp (libfranka, issue 111)
MOVING_FORCE = 30.0  # N, of each finger that moves without a grasp; ours
FULLY = 0.002  # m, of width, within which a move has arrived; ours


@dataclass
class HandFaults:
    """Faults for tests."""

    refuses: bool = False  # every motion ends with an error before it begins
    delay: int = 0  # cycles by which the answers to commands are late
    cannot_stop: bool = False  # ``stop`` waits for the end of the motion
    is_silent: bool = False  # no state is sent


@dataclass
class Motion:
    """A command that has not been answered."""

    command: GripperCommand
    number: int | None  # of the command; None: its client has gone
    goal: float  # m, position of a finger
    speed: float  # m/s, of a finger
    force: float  # N, of each finger
    low: float = 0.0  # m, width between which and ``high`` a grasp has grasped
    high: float = 0.0
    age: int = 0  # cycles
    standing: int = 0  # cycles for which the fingers have stood


class HandServer(FrankaServer):  # type: ignore[misc]
    """One hand: its position target, and the commands that change it."""

    def __init__(self, gripper: Gripper, position: float, address: str) -> None:
        """Not open yet: ``init`` opens the port.

        Args:
            gripper: the fingers.
            position: m, of each finger.
            address: an address of this machine.
        """
        commands = {
            GripperCommand.kMove: GripperMoveCommand,
            GripperCommand.kGrasp: GripperGraspCommand,
            GripperCommand.kHoming: GripperHomingCommand,
            GripperCommand.kStop: GripperStopCommand,
        }
        self.gripper = gripper
        self.faults = HandFaults()
        self.setpoint = position  # m, of a finger
        self.grasps = False
        self.max_width = 2 * gripper.opened  # m; 0: it is not homed
        self.log: list[str] = []  # the commands that have arrived
        self._position = position
        self._motion: Motion | None = None
        self._stop: int | None = None  # number of a stop that waits for the end of the motion
        self._cycles = 0
        super().__init__(
            [address],
            PORT,
            commands,
            VERSION,
            command_type_struct="H",
            state_message_id_type_struct="I",
        )

    def start_move(self, width: float, speed: float, number: int, client: object) -> None:
        """Go to a width; called by the protocol."""
        motion = Motion(GripperCommand.kMove, number, width / 2, speed, MOVING_FORCE)
        self._begin(motion, f"move {width:.4f}")

    def start_grasp(
        self,
        width: float,
        speed: float,
        force: float,
        inner: float,
        outer: float,
        number: int,
        client: object,
    ) -> None:
        """Close until the fingers meet something, or open if the width is larger than theirs."""
        closes = width < 2 * self._position
        goal = self.gripper.closed if closes else self.gripper.opened
        pressing = max(force, LEAST_FORCE)
        motion = Motion(GripperCommand.kGrasp, number, goal, speed, pressing)
        motion.low = width - inner
        motion.high = width + outer
        self._begin(motion, f"grasp {force:.0f}")

    def start_homing(self, number: int, client: object) -> None:
        """Open fully and measure the width."""
        fastest = self.gripper.speed
        motion = Motion(GripperCommand.kHoming, number, self.gripper.opened, fastest, MOVING_FORCE)
        self._begin(motion, "homing")

    def stop(self, number: int, client: object) -> None:
        """End the motion, and press no more."""
        self.log.append("stop")
        if self.faults.cannot_stop and self._motion is not None:
            self._stop = number
            return
        self._release()
        self._end(GripperCommandStatus.kAborted)
        self._answer(GripperCommand.kStop, number, GripperCommandStatus.kSuccess)

    def cycle(self, position: float, velocity: float) -> float:
        """Take commands, and move for 1 ms.

        Args:
            position: m, of a finger.
            velocity: m/s.

        Returns:
            The target of the fingers' motor, m.
        """
        self._position = position
        self.process_commands()
        if self._motion is not None:
            self._move(self._motion, velocity)
        self._cycles += 1
        if self._cycles % STATE_CYCLES == 0 and not self.faults.is_silent:
            self.send_state()
        return self.setpoint

    def _begin(self, motion: Motion, text: str) -> None:
        self.log.append(text)
        self._end(GripperCommandStatus.kAborted)
        self._motion = motion
        if self.faults.refuses:
            self._end(GripperCommandStatus.kFail)
        elif motion.goal > self._position:
            self._release()
        else:
            self.grasps = False

    def _move(self, motion: Motion, velocity: float) -> None:
        """Bring the target closer to the goal, no farther ahead of the fingers than the force."""
        motion.age += 1
        step = 0.001 * motion.speed
        ahead = 2 * motion.force / self.gripper.stiffness
        wanted = self.setpoint + np.clip(motion.goal - self.setpoint, -step, step)
        reached = np.clip(wanted, self._position - ahead, self._position + ahead)
        self.setpoint = float(reached)

        presses = reached != wanted
        arrived = reached == motion.goal
        stands = (presses or arrived) and abs(velocity) < STANDS
        motion.standing = motion.standing + 1 if stands else 0
        if motion.standing > STANDING and motion.age > self.faults.delay:
            self._arrive(motion)

    def _arrive(self, motion: Motion) -> None:
        """Answer a motion whose fingers have come to rest."""
        width = 2 * self._position
        if motion.command is GripperCommand.kHoming:
            self.max_width = width
        succeeds = abs(width - 2 * motion.goal) < FULLY
        if motion.command is GripperCommand.kGrasp:
            succeeds = motion.low < width < motion.high
            self.grasps = succeeds
        if succeeds:
            self._end(GripperCommandStatus.kSuccess)
            return
        self._release()
        self._end(GripperCommandStatus.kUnsuccessful)

    def _release(self) -> None:
        """Press no more: the fingers stay where they are."""
        self.grasps = False
        self.setpoint = self._position

    def _end(self, status: GripperCommandStatus) -> None:
        """Answer the motion, if there is one, and a stop that waits for its end."""
        if self._motion is not None:
            self._answer(self._motion.command, self._motion.number, status)
        self._motion = None
        if self._stop is not None:
            self._answer(GripperCommand.kStop, self._stop, GripperCommandStatus.kSuccess)
        self._stop = None

    def _answer(
        self, command: GripperCommand, number: int | None, status: GripperCommandStatus
    ) -> None:
        if self._tcp_socket is None or number is None:
            return
        BaseCommand.send_response(
            self._tcp_socket,
            command,
            number,
            status,
            command_type_struct="H",
            status_type_struct="H",
        )

    def _get_state_bytes(self) -> bytes:
        state = GripperState(2 * self._position, self.max_width, self.grasps)
        packed: bytes = state.pack()
        return packed

    def _reset_state(self) -> None:
        """The client has gone: its commands are not answered, and the fingers go on."""
        self._stop = None
        if self._motion is not None:
            self._motion.number = None
