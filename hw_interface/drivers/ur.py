"""An arm of Universal Robots' e-series, UR3e to UR30, by the client library ``ur_rtde``.

Each tick streams one position target to a program on the controller (URScript's ``servoj``). The
program runs, and the controller's watchdog is armed, exactly while the driver is enabled. Once its
link was lost, a driver cannot connect again in the same process. A Robotiq gripper is moved through
a link of its own, see ``ur_gripper``.
"""

import contextlib
import time
from functools import partial
from typing import ClassVar

import numpy as np

from hw_interface.drivers.bounded import BackgroundStop, Bounded
from hw_interface.drivers.host_address import resolve
from hw_interface.drivers.payload import read_payload
from hw_interface.drivers.ur_checks import FULL_SPEED, check_controller, check_ready
from hw_interface.drivers.ur_gripper import UrGripper
from hw_interface.drivers.ur_link import UrLink
from hw_interface.drivers.ur_modes import MAY_MOVE, STOPPED_OUTSIDE, RobotMode
from hw_interface.drivers.ur_options import UrOptions
from hw_interface.drivers.ur_rest import come_to_rest
from hw_interface.lease import Lease
from robots.arm import ArmSpec
from robots.driver import REACHED, Capabilities
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState

PATIENCE = 0.01  # s, for a new measurement before it counts as lost; one is due every 2 ms
POLL = 0.01  # s
TORN_READS = 3  # tries to read all values of one measurement before a newer one arrives
MAX_REFUSALS = 5  # commands in a row that the program may fail to take
STOP_PATIENCE = 3.0  # s for the arm to come to rest and the program to end
POWER_PATIENCE = 5.0  # s for the brakes
PAYLOAD_VARIABLES = ("payload", "payload_cog")  # RTDE outputs, since PolyScope 5.5.1


class Ur:
    """A Driver. The controller holds the arm after ``stop`` and ``disconnect``."""

    Options = UrOptions
    # the client passes on no torques: the controller measures motor currents
    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=0.002,
        realtime=True,
        wrench=True,
        gripper=True,
        payload=True,
        torque=False,
        holds_weight=True,
    )

    def __init__(
        self, arm: ArmSpec, scene: Scene | None = None, options: UrOptions | None = None
    ) -> None:
        """Check the options; touches no hardware.

        Raises:
            BadArgumentError: no address, another maker's arm, or an option that is impossible.
        """
        self.arm = arm
        self.options = options or UrOptions()
        self.options.check(arm)
        self._payload = read_payload(self.options.payload, arm)
        self._gripper: UrGripper | None = None
        if arm.gripper is not None:
            counts = self.options.gripper_counts
            self._gripper = UrGripper(arm.gripper, counts, self.options.activate)
        self._lease: Lease | None = None
        self._link: UrLink | None = None
        self._stopping = BackgroundStop(STOP_PATIENCE)
        self._is_spent = False  # a client with a lost link was left behind in this process
        self._enabled = False
        self._tripped = False  # whether the program has ended by itself, or the speed was reduced
        self._refusals = 0
        self._is_fresh = False  # whether the newest reading was new
        self._state: JointState | None = None

    def connect(self) -> None:
        """Open the connections and check that this is the expected arm, ready to move.

        Raises:
            ArmError: another program drives this arm.
            OSError: no controller answers at this address, or the link was lost before.
            RuntimeError: it is another arm, or not ready; the message says what to do.
        """
        self.disconnect()
        if self._is_spent:
            lost = f"the link to {self.options.port} was lost"
            raise OSError(f"{lost}: look at the arm and the cable, and start the command again")
        address = resolve(self.options.port)  # the same lease for every name of the host
        lease = Lease(address)
        lease.take()
        self._lease = lease
        self._link = UrLink(address, PAYLOAD_VARIABLES if self._payload else ())
        check_controller(self._link.dashboard, self.arm)
        check_ready(self._link.measured)
        if self._gripper is not None:
            self._gripper.connect(address)

    @property
    def link(self) -> UrLink:
        """The open connections.

        Raises:
            OSError: the driver is not connected.
        """
        if self._link is None:
            raise OSError(f"{self.options.port} is not connected")
        return self._link

    def enable(self) -> None:
        """Start the program that takes commands, and arm the controller's watchdog.

        The arm stays where it is until the first command. Blocks for a second or less; for some
        seconds if a gripper is activated, see ``UrGripper``.

        Raises:
            RuntimeError: the arm or its gripper is not ready, the arm does not take the payload, or
                the program or the watchdog does not start.
            OSError: the controller does not answer, or the link was lost.
        """
        self._enabled = False
        self._stopping.finish()
        check_ready(self.link.measured)
        if self._gripper is not None:
            self._gripper.enable()
        try:
            watchdog = 1 / self.arm.limits.deadline
            self.link.start_program(watchdog, self._payload)
        except Exception:
            self._stopping.begin(partial(come_to_rest, self.link))
            raise
        self._tripped = False
        self._refusals = 0
        self._enabled = True

    def read(self) -> JointState:
        """The newest measurement; the previous one if none arrived in time.

        Raises:
            OSError: nothing was measured yet, or the driver is not connected.
        """
        before = -np.inf if self._state is None else self._state.stamp
        stamp = self.link.await_measurement(before, PATIENCE)
        self._is_fresh = stamp is not None
        if stamp is not None:
            self._state = self._read_once(stamp)
        if self._state is None:
            raise OSError("the controller measures nothing")
        return self._state

    def _read_once(self, stamp: float) -> JointState:
        """The measurement of ``stamp`` s, or a newer one; all values belong to the same one."""
        measured = self.link.measured
        for _ in range(TORN_READS):
            q = np.array(measured.getActualQ())
            dq = np.array(measured.getActualQd())
            target = np.array(measured.getTargetQ())
            force = np.array(measured.getActualTCPForce())
            newest = measured.getTimestamp()
            if newest == stamp:
                break
            stamp = newest
        state = JointState(
            q=q,
            dq=dq,
            tau=np.full_like(q, np.nan),
            stamp=stamp,
            condition=self._condition(),
            target=target if np.abs(target - q).max() < REACHED else None,
            wrench=_to_wrench(force),
        )
        return state if self._gripper is None else self._gripper.extend(state)

    def _condition(self) -> Condition:
        """The condition that the controller's modes imply; once one forbids motion, trip."""
        measured = self.link.measured
        safety = measured.getSafetyMode()
        may_move = safety in MAY_MOVE and measured.getRobotMode() == RobotMode.RUNNING
        at_full_speed = measured.getTargetSpeedFraction() > FULL_SPEED
        follows = may_move and self.link.program_runs and at_full_speed
        self._tripped |= self._enabled and not follows
        if safety in STOPPED_OUTSIDE:
            return Condition.EXTERNAL_STOP
        if safety not in MAY_MOVE:
            return Condition.ERROR
        if not self._enabled:
            return Condition.DISABLED
        return Condition.ERROR if self._tripped else Condition.READY

    def write(self, command: Command) -> None:
        """Send a command; ignored unless enabled, and after a reading that was lost.

        Raises:
            BadArgumentError: it is not finite.
            RuntimeError: the program has not taken the last commands.
            OSError: the link is lost.
        """
        if not self._enabled or self._tripped or not self._is_fresh:
            return
        if self._gripper is not None:
            self._gripper.command(float(command.q[-1]))
        goal = command.q[: len(self.arm.tool_joints)]
        taken = self.link.servo(goal, self.options.lookahead, self.options.gain)
        self._refusals = 0 if taken else self._refusals + 1
        if self._refusals >= MAX_REFUSALS:
            raise RuntimeError("the control program on the controller takes no commands")

    def stop(self) -> None:
        """Brake, release joints that press on something, and end the program, in the background.

        A gripper keeps its grip.
        """
        if self._gripper is not None:
            self._gripper.hold()
        if self._enabled:
            self._enabled = False
            self._stopping.begin(partial(come_to_rest, self.link))

    def torque_off(self) -> None:
        """Put the brakes on and take the power off the motors; the pendant switches them on again.

        Blocks for some seconds.

        Raises:
            RuntimeError: the motors are still on.
        """
        self.stop()
        self._stopping.finish()
        link = self.link
        Bounded(link.dashboard.powerOff, "switch the motors off").wait(STOP_PATIENCE)
        deadline = time.monotonic() + POWER_PATIENCE
        while link.measured.getRobotMode() == RobotMode.RUNNING:
            if time.monotonic() > deadline:
                raise RuntimeError("the controller did not switch the motors off")
            time.sleep(POLL)

    def disconnect(self) -> None:
        """Come to rest and close; a program that cannot be ended keeps its watchdog.

        If the client does not return, or its link was lost, it is left open and the lease is kept:
        no other process may command this arm until this one ends.
        """
        self.stop()
        link = self._link
        if link is not None:
            with contextlib.suppress(Exception):
                self._stopping.finish()
            hangs = self._stopping.is_running
            with contextlib.suppress(Exception):
                link.close(keep_commands=hangs)
            self._is_spent |= link.keeps_client
        self._link = None
        self._state = None
        if self._gripper is not None:
            self._gripper.close()
        if self._lease is not None and not self._is_spent:
            self._lease.release()
            self._lease = None


def _to_wrench(force: Array) -> Array:
    """The wrench that the tool exerts (6,), N and N·m, along the axes of our base frame.

    The controller reports the wrench that acts on the tool, in its own base frame. That frame is
    ours, rotated by half a turn about z.
    """
    turned = np.array([-1.0, -1.0, 1.0, -1.0, -1.0, 1.0])
    wrench: Array = -turned * force
    return wrench
