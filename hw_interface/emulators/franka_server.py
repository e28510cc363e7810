"""The server side of the Franka Control Interface (FCI), by the package ``franky-sim``.

``franky-sim`` speaks the protocol of ``libfranka``: commands over TCP, and every millisecond one
state to the client and one command back over UDP. Here its connection and its packets are used,
with our own motion control behind them: it has no limits and no reflexes.
"""

from dataclasses import dataclass, replace

import numpy as np
from franky_sim.franka_robot_protocol import (
    AutomaticErrorRecoveryCommand,
    BaseCommand,
    GetRobotModelCommand,
    MoveCommand,
    MoveCommandControllerMode,
    MoveCommandMotionGeneratorMode,
    MoveStatus,
    RobotCommand,
    RobotMode,
    SetCollisionBehaviorCommand,
    SetJointImpedanceCommand,
    SetLoadCommand,
    StateControllerMode,
    StateMotionGeneratorMode,
    StopMoveCommand,
    UDPCommand,
)
from franky_sim.franka_robot_state import FrankaRobotState
from franky_sim.franka_server import FrankaServer

from hw_interface.emulators import Physics
from hw_interface.emulators.franka_hand import HandServer
from robots.arm import ArmSpec
from robots.signals import Array

PORT = 1337  # of the FCI
VERSION = 10  # of the protocol: FR3, libfranka 0.21
CYCLE = 0.001  # s
ERRORS = 41  # flags of errors in a state
COMMUNICATION = 25  # the flag ``communication_constraints_violation``
TOO_FAST = 3  # the flag ``joint_velocity_violation``
FASTEST = 1.1  # share of a joint's velocity limit that is a reflex; the arm's own limits differ
EXTRAPOLATED = 5  # cycles; ours
NO_ERRORS = (False,) * ERRORS


class RecoverCommand(AutomaticErrorRecoveryCommand):  # type: ignore[misc]
    """The client asks to end a reflex."""

    def handle(self, server: "FciServer") -> None:
        """End it, and answer that it has ended."""
        server.recover()
        super().handle(server)


@dataclass
class Load:
    """What the client has said about the load; it changes nothing here but what is reported."""

    mass: float = 0.0  # kg
    center: tuple[float, ...] = (0.0, 0.0, 0.0)  # m
    is_fixed: bool = False  # fault for tests: it cannot be changed

    def set_load(self, mass: float, center: tuple[float, ...], inertia: object) -> None:
        """Called by the protocol."""
        if not self.is_fixed:
            self.mass = mass
            self.center = center


class FciServer(FrankaServer):  # type: ignore[misc]
    """One arm behind the FCI: joint velocity motions, and a reflex when the client falls silent."""

    def __init__(
        self,
        arm: ArmSpec,
        physics: Physics,
        address: str,
        patience: int,
        hand: HandServer | None = None,
    ) -> None:
        """Not open yet: ``init`` opens the port.

        Args:
            arm: the arm.
            physics: its joints; they are held where they are.
            address: an address of this machine.
            patience: cycles without a command in a motion, after which a reflex stops the arm.
            hand: the arm's gripper, which has a port of its own; None: it has none.
        """
        commands = {
            RobotCommand.kMove: MoveCommand,
            RobotCommand.kStopMove: StopMoveCommand,
            RobotCommand.kSetCollisionBehavior: SetCollisionBehaviorCommand,
            RobotCommand.kSetJointImpedance: SetJointImpedanceCommand,
            RobotCommand.kSetLoad: SetLoadCommand,
            RobotCommand.kGetRobotModel: GetRobotModelCommand,
            RobotCommand.kAutomaticErrorRecovery: RecoverCommand,
        }
        self.arm = arm
        self.robot = Load()
        self.goals = 0
        self.outside = 0
        self.errors = NO_ERRORS
        self.mode: RobotMode = RobotMode.kIdle  # in which the arm is while it does not move
        self.current_motion_id = 0  # 0: no motion
        self.hand = hand
        self.plant = physics
        self._joints = slice(len(arm.tool_joints))  # those of the FCI: a hand is none of them
        self.desired: Array = physics.read()[0][self._joints]  # rad
        self._patience = patience
        lead = arm.damping / arm.stiffness  # s by which a servo without velocity lags
        self._lead = lead[self._joints]
        self._velocity = np.zeros_like(self.desired)  # rad/s
        self._acceleration = np.zeros_like(self.desired)  # rad/s², of the last cycle
        self._silent = 0  # cycles since the last command
        super().__init__([address], PORT, commands, VERSION)

    def start_motion(
        self,
        controller: MoveCommandControllerMode,
        generator: MoveCommandMotionGeneratorMode,
        number: int,
    ) -> None:
        """Begin a motion; called by the protocol.

        Raises:
            ValueError: the arm is stopped, or the motion is none of joint velocities; the protocol
                tells the client that it was aborted.
        """
        if self.mode != RobotMode.kIdle:
            raise ValueError(f"the arm is in {self.mode.name}")
        if generator != MoveCommandMotionGeneratorMode.kJointVelocity:
            raise ValueError(f"only joint velocities are emulated, not {generator.name}")
        self.current_motion_id = number
        self._silent = 0

    def stop_motion(self) -> None:
        """End the motion, as the client has asked for; called by the protocol."""
        self._end_motion(MoveStatus.kPreempted)

    def reset_current_motion_id(self) -> None:
        """Forget the motion; called by the protocol."""
        self.current_motion_id = 0

    def reflex(self, error: int) -> None:
        """Stop as the arm's own controller does, with this flag; only ``recover`` ends it."""
        flags = list(NO_ERRORS)
        flags[error] = True
        self.errors = tuple(flags)
        self.mode = RobotMode.kReflex
        self._end_motion(MoveStatus.kReflexAborted)

    def recover(self) -> None:
        """End a reflex, as the client has asked for."""
        if self.mode == RobotMode.kReflex:
            self.errors = NO_ERRORS
            self.mode = RobotMode.kIdle

    def user_stop(self, pressed: bool) -> None:
        """Press or release the external activation device."""
        self.mode = RobotMode.kUserStopped if pressed else RobotMode.kIdle
        if pressed:
            self._end_motion(MoveStatus.kAborted)

    def cycle(self) -> None:
        """Take the client's commands, move for one cycle, and send the state."""
        before = self._velocity
        self.process_commands()
        self._acceleration = (self._velocity - before) / CYCLE
        self._silent += 1
        if self.current_motion_id and self._silent > self._patience:
            self.reflex(COMMUNICATION)
        self._move()
        self.plant.write(self._targets())
        self.plant.advance(CYCLE)
        self.send_state()

    def _targets(self) -> Array:
        """Position targets (j,) of all motors; the hand takes its commands."""
        arm = self.desired + self._lead * self._velocity
        if self.hand is None:
            return arm
        q, dq, _ = self.plant.read()
        return np.append(arm, self.hand.cycle(float(q[-1]), float(dq[-1])))

    @property
    def state(self) -> FrankaRobotState:
        """What the client is sent."""
        q, dq, tau = (values[self._joints] for values in self.plant.read())
        state = FrankaRobotState(
            q=tuple(q),
            q_d=tuple(self.desired),
            dq=tuple(dq),
            dq_d=tuple(self._velocity),
            ddq_d=tuple(self._acceleration),
            tau_J=tuple(tau),
            m_load=self.robot.mass,
            F_x_Cload=self.robot.center,
            tau_ext_hat_filtered=tuple(tau),
            theta=tuple(q),
            robot_mode=self.mode,
            errors=self.errors,
            reflex_reason=self.errors,
            control_command_success_rate=1.0 if self.current_motion_id else 0.0,
        )
        if not self.current_motion_id:
            return state
        return replace(
            state,
            robot_mode=RobotMode.kMove,
            motion_generator_mode=StateMotionGeneratorMode.kJointVelocity,
            controller_mode=StateControllerMode.kJointImpedance,
        )

    def _get_state_bytes(self) -> bytes:
        packed: bytes = self.state.pack_state()
        return packed

    def _reset_state(self) -> None:
        """The client has gone, or another one comes: a motion ends by a reflex."""
        if self.current_motion_id:
            self.reflex(COMMUNICATION)

    def _handle_udp_command(self, data: bytes) -> None:
        command = UDPCommand.from_bytes(data)
        if not self.current_motion_id or command.message_id == 0:
            return
        self._silent = 0
        if command.motion_generation_finished:
            self._end_motion(MoveStatus.kSuccess)
            return
        velocity = np.array(command.dq_c)
        if (np.abs(velocity) > FASTEST * self.arm.limits.dq[self._joints]).any():
            self.reflex(TOO_FAST)
            return
        self._velocity = velocity

    def _move(self) -> None:
        """Move for a cycle: for ``EXTRAPOLATED`` cycles without a command at the last velocity."""
        if not self.current_motion_id or self._silent > EXTRAPOLATED:
            return
        self.desired = self.desired + CYCLE * self._velocity
        limits = self.arm.limits
        low = limits.q_low[self._joints]
        high = limits.q_high[self._joints]
        beyond = (self.desired < low) | (self.desired > high)
        self.goals += len(self.desired)
        self.outside += int(beyond.sum())

    def _end_motion(self, status: MoveStatus) -> None:
        self._velocity = np.zeros_like(self.desired)
        number = self.current_motion_id
        self.current_motion_id = 0
        if number and self._tcp_socket is not None:
            BaseCommand.send_response(self._tcp_socket, RobotCommand.kMove, number, status)
