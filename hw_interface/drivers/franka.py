"""A Franka Research 3 through the Franka Control Interface, by the client library ``franky``.

Each tick passes one joint velocity to the client's own thread, which answers the controller every
millisecond and brakes when no new velocity comes, see ``franka_link``.
"""

import contextlib
from functools import partial
from typing import ClassVar

import numpy as np

from hw_interface.drivers.bounded import BackgroundStop
from hw_interface.drivers.franka_fingers import FrankaFingers
from hw_interface.drivers.franka_link import FrankaLink
from hw_interface.drivers.franka_modes import (
    MAY_MOVE,
    RobotMode,
    condition_of,
    describe_stop,
    names_of,
)
from hw_interface.drivers.franka_options import FrankaOptions, check_options
from hw_interface.drivers.franka_rest import SETTLED, come_to_rest
from hw_interface.drivers.host_address import resolve
from hw_interface.drivers.payload import read_payload
from hw_interface.lease import Lease
from robots.arm import ArmSpec
from robots.driver import REACHED, Capabilities
from robots.errors import BadArgumentError
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState

TICK = 0.004  # s between two commands
JITTER = 0.0005  # s by which two readings may be closer than a tick: half a cycle
PATIENCE = 0.01  # s, for a new state before it counts as lost; one is due every ms
# 1/s, from the distance between setpoint and desired position to a velocity. An arm whose gate uses
# all the acceleration that the client has leaves nothing to correct with: at 20/s it swung about
# its setpoint, up to a fault; at 5/s it stayed within 0.05 rad.
GAIN = 5.0
# rad between the setpoint and the controller's desired position, beyond which the arm is not moved
# after it: it was stopped in between
BEHIND = 0.1
# readings in a row in which the desired position does not change although the arm is driven, at
# more than CREEP rad/s in a joint: the controller repeats an old state
UNMOVED = 5
CREEP = 0.02
STOP_PATIENCE = 6.0  # s for the arm to come to rest


class Franka:
    """A Driver. The controller holds the arm after ``stop`` and ``disconnect``."""

    Options = FrankaOptions
    capabilities: ClassVar[Capabilities] = Capabilities(
        dt=TICK, realtime=True, wrench=True, gripper=True, payload=True, holds_weight=True
    )

    def __init__(
        self, arm: ArmSpec, scene: Scene | None = None, options: FrankaOptions | None = None
    ) -> None:
        """Check the options; touches no hardware.

        Raises:
            BadArgumentError: see ``check_options``; also for too heavy a payload.
        """
        self.arm = arm
        self.options = options or FrankaOptions()
        check_options(arm, self.options)
        self._payload = read_payload(self.options.payload, arm)
        self._lease: Lease | None = None
        self._link: FrankaLink | None = None
        self._fingers: FrankaFingers | None = None  # of an arm with a hand, while connected
        self._joints = slice(len(arm.tool_joints))  # all but the hand's
        self._stopping = BackgroundStop(STOP_PATIENCE)
        self._enabled = False
        # whether a reflex may be ended: the operator has said so, or has cleared a fault since
        self._may_recover = self.options.recover
        self._trip = ""  # why the arm stopped by itself while it was enabled
        self._began = 0.0  # s to add to the stamps of this connection: they begin at zero
        self._is_fresh = False  # whether the newest reading was new
        self._driven = False  # whether the newest velocity was more than ``CREEP``
        self._unmoved = 0  # see ``UNMOVED``
        self._state: JointState | None = None  # without the hand
        # (j,) rad, the controller's newest desired position
        self._desired = arm.home[self._joints]

    def connect(self) -> None:
        """Open the connection and check that the arm may move; nothing moves.

        A reflex is ended only if the options say so, or if this driver has been enabled before: the
        controller connects again only after the operator has cleared the fault.

        Raises:
            ArmError: another program drives this arm.
            OSError: no controller answers at this address.
            RuntimeError: arm or hand may not move; the message says what to do.
        """
        self.disconnect()
        address = resolve(self.options.port)  # the same lease for every name of the host
        lease = Lease(address)
        lease.take()
        self._lease = lease
        self._link = FrankaLink(address, self.arm)
        self._end_reflex()
        self._check_ready()
        if self.arm.gripper is not None:
            force = self.options.grip
            self._fingers = FrankaFingers(address, self.arm.gripper, force, self.options.home)

    @property
    def link(self) -> FrankaLink:
        """The open connection.

        Raises:
            OSError: the driver is not connected.
        """
        if self._link is None:
            raise OSError(f"{self.options.port} is not connected")
        return self._link

    def _check_ready(self) -> None:
        """Refuse an arm that is stopped or moves.

        Raises:
            RuntimeError: it is one of these; the message says what to do.
        """
        state = self.link.state
        mode = int(state.robot_mode)
        if mode not in MAY_MOVE:
            raise RuntimeError(describe_stop(mode, names_of(state.current_errors)))
        speed = np.abs(state.dq).max()
        if speed > SETTLED:
            raise RuntimeError(f"the arm moves, at {speed:.2f} rad/s: let it come to rest")

    def enable(self) -> None:
        """Take commands from now on; the arm stays where it is until the first one.

        A reflex that stopped the arm since it was enabled before is ended: the controller enables
        again only after the operator has cleared the fault.

        Raises:
            RuntimeError: arm or hand may not move, or the arm does not take the payload; the
                message says what to do.
            OSError: the controller does not answer.
        """
        self._enabled = False
        with contextlib.suppress(RuntimeError):  # a motion that was aborted is judged by its mode
            self._stopping.finish()
        self._end_reflex()
        self._check_ready()
        if self._payload is not None:
            self.link.set_load(self._payload)
        if self._fingers is not None:
            self._fingers.enable()
        self._trip = ""
        self._driven = False
        self._may_recover = True
        self._enabled = True

    def _end_reflex(self) -> None:
        """End a reflex, if that is permitted."""
        in_reflex = int(self.link.state.robot_mode) == RobotMode.REFLEX
        if in_reflex and self._may_recover:
            self.link.recover()

    def read(self) -> JointState:
        """The measurement of this tick; the previous one if none arrived in time.

        A hand with a problem, such as a lost link, gives it the condition ERROR.

        Raises:
            OSError: the link to the arm is lost.
        """
        state = self._read_arm()
        return state if self._fingers is None else self._fingers.extend(state)

    def _read_arm(self) -> JointState:
        """The measurement without the hand; see ``read``."""
        before = -np.inf if self._state is None else self._state.stamp - self._began
        state, stamp = self.link.await_state(before + TICK - JITTER, PATIENCE)
        desired = np.array(state.q_d)
        self._is_fresh = stamp > before and not self._is_old(desired, int(state.robot_mode))
        if self._state is not None and not self._is_fresh:
            return self._state
        self._desired = desired
        q = np.array(state.q)
        is_held = np.abs(self._desired - q).max() < REACHED
        self._state = JointState(
            q=q,
            dq=np.array(state.dq),
            tau=np.array(state.tau_J),
            stamp=self._began + stamp,
            condition=self._condition(int(state.robot_mode), names_of(state.current_errors)),
            target=self._desired if is_held else None,
            wrench=np.array(state.O_F_ext_hat_K),
        )
        return self._state

    def _is_old(self, desired: Array, mode: int) -> bool:
        """Whether a state is an old one under a new stamp: the arm is driven and does not move."""
        follows = mode in MAY_MOVE and self._driven
        stands = follows and np.array_equal(desired, self._desired)
        self._unmoved = self._unmoved + 1 if stands else 0
        return self._unmoved >= UNMOVED

    def _condition(self, mode: int, errors: str) -> Condition:
        """The condition that the controller's mode implies; once one forbids motion, trip."""
        reported = condition_of(mode)
        if mode == RobotMode.REFLEX and not self._enabled and self._may_recover:
            return Condition.DISABLED  # ``enable`` ends it
        if self._enabled and reported is not Condition.READY:
            self._trip = describe_stop(mode, errors)
        if reported is not Condition.READY:
            return reported
        if not self._enabled:
            return Condition.DISABLED
        return Condition.ERROR if self._trip else Condition.READY

    def write(self, command: Command) -> None:
        """Follow a setpoint; ignored unless enabled, and after a reading that was lost.

        Raises:
            BadArgumentError: it is not finite.
            RuntimeError: it is far from where the arm is held, or the motion was aborted.
            OSError: the link is lost.
        """
        if not np.isfinite(command.q).all() or not np.isfinite(command.dq).all():
            raise BadArgumentError(f"a target must be finite, got {command.q}, {command.dq}")
        if not self._enabled or self._trip or not self._is_fresh:
            return
        if self._fingers is not None:
            self._fingers.command(float(command.q[-1]))
        ahead = command.q[self._joints] - self._desired
        if np.abs(ahead).max() > BEHIND:
            far = np.abs(ahead).max()
            raise RuntimeError(f"the target is {far:.2f} rad ahead of the arm, which has stopped")
        velocity = command.dq[self._joints] + GAIN * ahead
        self._driven = bool(np.abs(velocity).max() > CREEP)
        self.link.stream(velocity)

    def stop(self) -> None:
        """Brake, and release joints that press on something, in the background.

        A hand gets no more commands, and keeps its grip.
        """
        if not self._enabled:
            return
        self._enabled = False
        if self._fingers is not None:
            self._fingers.hold()
        self._driven = False
        self._stopping.begin(partial(come_to_rest, self.link))

    def torque_off(self) -> None:
        """Come to rest; the brakes can be put on in Desk only.

        Raises:
            RuntimeError: always, to say so.
        """
        self.stop()
        self._stopping.finish()
        raise RuntimeError("a Franka arm is locked in Desk: this interface has no command for it")

    def disconnect(self) -> None:
        """Come to rest and close; the controller holds the arm."""
        self.stop()
        with contextlib.suppress(OSError, RuntimeError):
            self._stopping.finish()
        if self._state is not None:
            self._began = self._state.stamp
        self._state = None
        if self._fingers is not None:
            self._fingers.close()
        self._fingers = None
        if self._link is not None:
            self._link.close()
        self._link = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None
