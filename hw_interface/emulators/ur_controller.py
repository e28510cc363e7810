"""The state of an emulated Universal Robots controller: modes, safety, program, registers.

Not emulated: safety limits, collisions and the protective stops that follow from them, what a
payload changes, the power of the motors. Currents are 0. A gripper is moved by its own controller,
see ``robotiq``.
"""

from collections.abc import Mapping

import numpy as np

from hw_interface.drivers.ur_modes import (
    EMERGENCY_STOPS,
    MAY_MOVE,
    RobotMode,
    RuntimeState,
    SafetyMode,
)
from hw_interface.emulators import Physics
from hw_interface.emulators.robotiq import RobotiqGripper
from hw_interface.emulators.rtde import REGISTERS, Value
from hw_interface.emulators.ur_motion import JointTargets
from hw_interface.emulators.ur_program import JOINTS, ControlProgram, Order
from robots.arm import ArmSpec
from robots.signals import Array

STOP_ACCELERATION = 15.0  # rad/s², with which the controller itself stops the joints; ours
PROTECTIVE_WAIT = 5.0  # s, before which a protective stop cannot be released: the maker's
STATUS_BITS = {  # of ``safety_status_bits``
    SafetyMode.NORMAL: 1 << 0,
    SafetyMode.REDUCED: 1 << 1,
    SafetyMode.PROTECTIVE_STOP: 1 << 2 | 1 << 10,
    SafetyMode.RECOVERY: 1 << 3,
    SafetyMode.SAFEGUARD_STOP: 1 << 4 | 1 << 10,
    SafetyMode.SYSTEM_EMERGENCY_STOP: 1 << 5 | 1 << 7 | 1 << 10,
    SafetyMode.ROBOT_EMERGENCY_STOP: 1 << 6 | 1 << 7 | 1 << 10,
    SafetyMode.VIOLATION: 1 << 8 | 1 << 10,
    SafetyMode.FAULT: 1 << 9 | 1 << 10,
}


class UrController:
    """One arm's controller, switched on, its brakes released, under remote control."""

    def __init__(self, arm: ArmSpec, physics: Physics) -> None:
        """The joints are held where ``physics`` has them."""
        self.arm = arm
        self.physics = physics
        self.robot_mode = RobotMode.RUNNING
        self.safety_mode = SafetyMode.NORMAL
        self.runtime_state = RuntimeState.STOPPED
        self.remote_control = True
        self.time = 0.0  # s, since it was switched on
        self.goals = 0  # position targets that arrived, counted for each joint
        self.outside = 0  # of these, those outside the arm's limits, or not finite
        self.force = np.zeros(6)  # N and N·m that act on the tool, in the controller's base frame
        self.uploads = 0  # programs that were started
        self.refuses_watchdog = False  # fault for tests: the watchdog cannot be armed
        self.never_ready = False  # fault for tests: the program never becomes ready for commands
        self.payload = [0.0, 0.0, 0.0, 0.0]  # kg and x, y, z in m, as at the pendant
        self.keeps_payload = False  # fault for tests: the payload cannot be changed
        self.messages: list[str] = []  # why a program ended
        self.gripper: RobotiqGripper | None = None
        self.state = self._read()  # positions, velocities and torques, without a gripper's
        if arm.gripper is not None:
            position, _ = self._fingers
            self.gripper = RobotiqGripper(arm.gripper, position)
        self.targets = JointTargets(arm, self.state[0])
        self._program: ControlProgram | None = None
        self._ints = [0] * REGISTERS  # input registers
        self._doubles = [0.0] * REGISTERS
        # s, the longest time without a write of the command register; 0: the watchdog is not armed
        self._watchdog_period = 0.0
        self._silent = 0.0  # s since the last write of the command register
        self._stopped_for = 0.0  # s since the protective stop

    def _read(self) -> tuple[Array, Array, Array]:
        q, dq, tau = self.physics.read()
        self._fingers = (float(q[-1]), float(dq[-1]))  # of an arm with a gripper
        return q[:JOINTS], dq[:JOINTS], tau[:JOINTS]

    @property
    def slider(self) -> float:
        """The speed slider: the fraction of every speed that is applied, in [0, 1]."""
        return self.targets.slider

    @slider.setter
    def slider(self, fraction: float) -> None:
        self.targets.slider = fraction

    def upload(self, script: str) -> None:
        """Start a program; like the real controller, refuse it if the arm may not move."""
        may_run = self.robot_mode is RobotMode.RUNNING and self.safety_mode in MAY_MOVE
        if not may_run or not script.startswith("def "):
            self.messages.append("a program was refused")
            return
        self.stop_program()
        self.uploads += 1
        self._program = ControlProgram(self.targets, self._set_watchdog, self._set_payload)
        self.runtime_state = RuntimeState.PLAYING

    def _set_watchdog(self, frequency: float) -> None:
        if self.refuses_watchdog:
            raise ValueError("there is no such function as rtde_set_watchdog")
        self._watchdog_period = 1 / frequency if frequency > 0 else 0.0
        self._silent = 0.0

    def _set_payload(self, payload: list[float]) -> None:
        heaviest = self.arm.rated_payload
        if heaviest is not None and not 0 <= payload[0] <= heaviest:
            raise ValueError(f"a payload of {payload[0]} kg is out of range")
        if not self.keeps_payload:
            self.payload = payload

    @property
    def order(self) -> int:
        """The command in input register 0, see ``Order``."""
        return self._ints[0]

    @property
    def is_watched(self) -> bool:
        """Whether the watchdog is armed."""
        return self._watchdog_period > 0

    def stop_program(self) -> None:
        """End the program: the joints come to rest, and the watchdog is disarmed."""
        self._program = None
        self._watchdog_period = 0.0
        self.runtime_state = RuntimeState.STOPPED
        self.targets.brake(STOP_ACCELERATION)

    def take_inputs(self, values: Mapping[str, Value]) -> None:
        """Write a client's inputs into the input registers."""
        for name, value in values.items():
            kind, _, number = name.rpartition("_register_")
            if kind == "input_int":
                self._ints[int(number)] = int(np.asarray(value))
            elif kind == "input_double":
                self._doubles[int(number)] = float(np.asarray(value))
            elif name == "speed_slider_fraction":
                self.slider = float(np.asarray(value))
        if "input_int_register_0" in values:
            self._silent = 0.0
            if self._ints[0] == Order.SERVO_J:
                self._count_goal(np.array(self._doubles[:JOINTS]))

    def _count_goal(self, q: Array) -> None:
        limits = self.arm.limits
        low = limits.q_low[:JOINTS]
        high = limits.q_high[:JOINTS]
        inside = (low <= q) & (q <= high)  # NaN is not
        self.goals += len(q)
        self.outside += int((~inside).sum())

    def protective_stop(self) -> None:
        """Stop as after a collision; a person has to ``release`` it."""
        self.safety_mode = SafetyMode.PROTECTIVE_STOP
        self._stopped_for = 0.0
        if self._program is not None:
            self.runtime_state = RuntimeState.PAUSED
        self.targets.brake(STOP_ACCELERATION)

    def emergency_stop(self) -> None:
        """Stop as when the button is pressed: at rest, the motors go off and the brakes on."""
        self.stop_program()
        self.safety_mode = SafetyMode.ROBOT_EMERGENCY_STOP

    def release(self) -> None:
        """Release a stop at the pendant; after an emergency stop the motors stay off."""
        self.safety_mode = SafetyMode.NORMAL

    def unlock_protective_stop(self) -> bool:
        """Release a protective stop over the network; refused for ``PROTECTIVE_WAIT``."""
        if self._stopped_for < PROTECTIVE_WAIT:
            return False
        if self.safety_mode is SafetyMode.PROTECTIVE_STOP:
            self.release()
        return True

    def power_on(self) -> None:
        """Power the motors; the brakes stay on."""
        if self.safety_mode in MAY_MOVE and self.robot_mode is RobotMode.POWER_OFF:
            self.robot_mode = RobotMode.IDLE

    def release_brakes(self) -> None:
        """Power the motors and release the brakes."""
        self.power_on()
        if self.robot_mode is RobotMode.IDLE:
            self.robot_mode = RobotMode.RUNNING

    def power_off(self) -> None:
        """Put the brakes on and take the power off the motors."""
        self.stop_program()
        self.robot_mode = RobotMode.POWER_OFF

    def advance(self, dt: float) -> None:
        """Simulate ``dt`` s."""
        self.time += dt
        self._silent += dt
        self._stopped_for += dt
        if 0 < self._watchdog_period < self._silent:
            self.messages.append("the watchdog's register was not written in time")
            self.stop_program()
        if self._program is not None and self.runtime_state is RuntimeState.PLAYING:
            self._run(self._program)
        self.targets.advance(dt)
        q, _, _ = self.state
        is_stopped = self.safety_mode not in MAY_MOVE
        if self.safety_mode in EMERGENCY_STOPS and self.targets.at_rest:
            self.robot_mode = RobotMode.POWER_OFF
        is_braked = self.robot_mode is not RobotMode.RUNNING
        if is_braked or (is_stopped and self.targets.at_rest):
            self.targets.hold(q)
        motor_targets = self.targets.motor_targets
        if self.gripper is not None:
            fingers = self.gripper.advance(dt, *self._fingers)
            motor_targets = np.append(motor_targets, fingers)
        self.physics.write(motor_targets)
        self.physics.advance(dt)
        self.state = self._read()

    def _run(self, program: ControlProgram) -> None:
        """Run one cycle of the program; an error ends the program."""
        try:
            goes_on = program.step(self._ints[0], self._doubles)
        except ValueError as error:
            self.messages.append(str(error))
            goes_on = False
        if not goes_on:
            self.stop_program()

    def variables(self) -> dict[str, Value]:
        """The RTDE outputs by name; all other variables are 0."""
        q, dq, _ = self.state
        is_running = self.runtime_state is RuntimeState.PLAYING
        is_powered = self.robot_mode in (RobotMode.IDLE, RobotMode.RUNNING)
        program = self._program
        answer = 0 if program is None or self.never_ready else program.answer
        return {
            "timestamp": self.time,
            "target_q": self.targets.q.tolist(),
            "target_qd": self.targets.dq.tolist(),
            "actual_q": q.tolist(),
            "actual_qd": dq.tolist(),
            "actual_TCP_force": self.force.tolist(),
            "payload": self.payload[0],
            "payload_cog": self.payload[1:],
            "robot_mode": int(self.robot_mode),
            "safety_mode": int(self.safety_mode),
            "runtime_state": int(self.runtime_state),
            "speed_scaling": self.slider,
            "target_speed_fraction": self.slider,
            "robot_status_bits": int(is_powered) | int(is_running) << 1,
            "safety_status_bits": STATUS_BITS.get(self.safety_mode, 0),
            "output_int_register_0": answer,
        }
