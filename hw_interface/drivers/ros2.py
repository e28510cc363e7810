"""Any arm under ros2_control, over DDS; no ROS needs to be installed here.

Commands go to a position ``forward_command_controller`` or a ``joint_trajectory_controller``.
Neither has a watchdog: the one holds the last command, the other brakes at the end of the last
trajectory and holds. Therefore no command goes farther than ``LEAD`` from where its joint was last
measured.
"""

import contextlib
import importlib.util
import time
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hw_interface.drivers.lead import held_positions, hold_back
from hw_interface.drivers.ros2_options import (
    Ros2Options,
    check_options,
    controller_of,
    joints_of,
)
from hw_interface.lease import Lease
from robots.arm import ArmSpec
from robots.driver import REACHED, Capabilities
from robots.errors import BadArgumentError, MissingExtraError, install_extra
from robots.scene import Scene
from robots.signals import Array, Command, Condition, JointState

if TYPE_CHECKING:
    from hw_interface.drivers.ros2_connect import Finder
    from hw_interface.drivers.ros2_link import Ros2Link, Sample

POLL = 2e-4  # s between two looks for a new joint state
PATIENCE = 5e-3  # s, for a new joint state in a tick
MAX_LAG = 0.1  # s that a joint state may be older than the freshest ones were; ours: ten ticks
DRIFT = 1e-3  # s per s by which two clocks may drift apart; quartz clocks do by a tenth of it
STANDING = 0.05  # rad/s, below which an arm counts as at rest; ours: above the noise of encoders
UNUSABLE = 3  # joint states in a row that may be unusable


class Ros2:
    """A Driver. The controller holds the last command after ``stop`` and ``disconnect``."""

    Options = Ros2Options
    # efforts of joint states have no agreed unit: some arms report currents
    capabilities: ClassVar[Capabilities] = Capabilities(dt=0.01, realtime=True, torque=False)

    def __init__(
        self, arm: ArmSpec, scene: Scene | None = None, options: Ros2Options | None = None
    ) -> None:
        """Check the options; touches no hardware.

        Raises:
            BadArgumentError: an impossible option.
            MissingExtraError: the client is not installed.
        """
        self.arm = arm
        self.options = options or Ros2Options()
        check_options(self.options)
        self.joints = joints_of(self.options, arm)
        if importlib.util.find_spec("cyclonedds") is None:
            raise MissingExtraError(f"driver 'ros2' needs an extra: {install_extra('ros2')}")
        self._link: Ros2Link | None = None
        self._finder: Finder | None = None
        self._lease: Lease | None = None
        self._enabled = False
        self._target: Array | None = None  # (j,) rad, the last command that was sent
        self._rest: Array | None = None  # (j,) rad, where the controller holds if no other comes
        self._state: JointState | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget what was measured."""
        self._state = None
        self._unusable = 0  # joint states in a row
        self._offset = np.inf  # s, our clock minus the arm's, of the freshest joint states
        self._heard = 0.0  # s, on our clock, when the last joint state arrived

    def _clock(self) -> float:
        """Our time, s."""
        return time.monotonic()

    def _pause(self) -> None:
        """Wait a little for the arm's answer."""
        time.sleep(POLL)

    def connect(self) -> None:
        """Join the domain and check that the arm and its controller are there.

        Raises:
            ArmError: another program of this machine drives this arm.
            OSError: no joint states arrive, or nobody listens to commands.
            RuntimeError: it is another arm, or it is not set up as the options say.
        """
        self.disconnect()
        options = self.options
        lease = Lease(f"ros2-{options.domain}-{options.namespace}-{controller_of(options)}")
        lease.take()
        self._lease = lease
        self._begin()
        # the client is an extra: it is imported only here
        from hw_interface.drivers.ros2_connect import Finder
        from hw_interface.drivers.ros2_link import Ros2Link

        dt = self.capabilities.dt
        self._link = Ros2Link(options, self.joints, self.arm.limits, dt)
        self._finder = Finder(self._link, options, self._clock, self._pause)
        self._finder.check_all(1 / dt)

    @property
    def link(self) -> "Ros2Link":
        """The open link.

        Raises:
            OSError: the driver is not connected.
        """
        if self._link is None:
            raise OSError("the driver ros2 is not connected")
        return self._link

    def enable(self) -> None:
        """Activate the controller, and follow commands; the first one is sent here: stay.

        Raises:
            RuntimeError: the arm moves, its controller cannot be activated, or another program
                commands it.
            OSError: no new joint state arrives.
        """
        self._enabled = False
        fastest = float(np.abs(self._read_new().dq).max())
        if fastest > STANDING:
            raise RuntimeError(f"the arm moves, with {fastest:.2f} rad/s: let it come to rest")
        if self._finder is not None:
            self._finder.activate()
        self._check_controller()
        state = self._read_new()
        held = self._rest
        is_held = held is not None and np.abs(held - state.q).max() < REACHED
        target = held if held is not None and is_held else self._within_limits(state.q)
        self._hold(target)
        self._enabled = True
        self._state = replace(state, condition=Condition.READY, target=self._target)

    def _read_new(self) -> JointState:
        """A joint state that is newer than the last one, within a few tries."""
        before = None if self._state is None else self._state.stamp
        for _ in range(10 * UNUSABLE):
            state = self.read()
            if before is None or state.stamp > before:
                return state
        raise OSError("no new joint states arrive")

    def read(self) -> JointState:
        """The newest joint state; the previous one if none arrived in time, or it was too old.

        Raises:
            OSError: nothing was measured yet, or the driver is not connected.
            RuntimeError: joint states are unusable, or the controller is no longer active.
        """
        sample = self._await_sample()
        if sample is not None and self._is_fresh(sample):
            self._take(sample)
        if self._enabled:
            self._check_controller()
        if self._state is None:
            raise OSError("no joint states arrive")
        return self._state

    def _await_sample(self) -> "Sample | None":
        """The newest sample, for which it waits a little."""
        link = self.link
        deadline = self._clock() + PATIENCE
        sample = link.take()
        while sample is None and self._clock() < deadline:
            self._pause()
            sample = link.take()
        return sample

    def _is_fresh(self, sample: "Sample") -> bool:
        """Whether a sample is newer than the last one, and not much older than when it arrived."""
        now = self._clock()
        offset = now - sample.stamp
        drifted = self._offset + DRIFT * (now - self._heard)
        self._offset = min(offset, drifted)
        self._heard = now
        is_newer = self._state is None or sample.stamp > self._state.stamp
        return is_newer and offset - self._offset < MAX_LAG

    def _take(self, sample: "Sample") -> None:
        """Make a sample the newest reading, unless it is unusable.

        Raises:
            RuntimeError: several in a row were.
        """
        if sample.problem:
            self._unusable += 1
            if self._unusable >= UNUSABLE:
                raise RuntimeError(sample.problem)
            return
        self._unusable = 0
        self._state = JointState(
            q=sample.q,
            dq=sample.dq,
            tau=np.full_like(sample.q, np.nan),
            stamp=sample.stamp,
            condition=Condition.READY if self._enabled else Condition.DISABLED,
            target=self._target if self._enabled else None,
        )

    def _check_controller(self) -> None:
        """Raise RuntimeError unless the controller is active and listens."""
        state = self.link.controller_state()
        if state != "active":
            problem = f"the controller {self.link.controller} is {state or 'unknown'}"
            raise RuntimeError(f"{problem}: look at the arm; enable activates it again")
        if not self.link.stream.has_listener:
            raise RuntimeError(f"the controller {self.link.controller} has gone")

    def write(self, command: Command) -> None:
        """Send a command, held back where a joint is behind; ignored unless enabled.

        Raises:
            BadArgumentError: it is not finite.
            OSError: it could not be sent.
        """
        if not (np.isfinite(command.q).all() and np.isfinite(command.dq).all()):
            raise BadArgumentError(f"a command must be finite, got {command.q}, {command.dq}")
        if self._enabled and self._state is not None:
            last = command.q if self._target is None else self._target
            bounded = hold_back(command.q, last, self._state.q)
            target = self._within_limits(bounded)
            speed = np.where(target == command.q, command.dq, 0.0)  # a joint held back stands
            self._rest = self.link.stream.send(target, speed)
            self._target = target.copy()

    def _within_limits(self, q: Array) -> Array:
        limited: Array = np.clip(q, self.arm.limits.q_low, self.arm.limits.q_high)
        return limited

    def _hold(self, target: Array) -> None:
        """Command the arm to stand."""
        self.link.stream.hold(target)
        self._target = self._rest = target.copy()

    def stop(self) -> None:
        """Ignore further commands; the controller stays active, and the arm holds.

        A joint far from its goal holds where it is.
        """
        if not self._enabled:
            return
        self._enabled = False
        if self._target is not None and self._state is not None:
            self._state = replace(self._state, condition=Condition.DISABLED, target=None)
            held = held_positions(self._target, self._state.q, REACHED)
            if held is not None:
                self._hold(self._within_limits(held))

    def torque_off(self) -> None:
        """Refuse: ros2_control has no way to do this that all arms have.

        Raises:
            RuntimeError: always.
        """
        self.stop()
        message = "ros2_control cannot switch the motors of every arm off"
        raise RuntimeError(f"{message}: use the maker's own switch")

    def disconnect(self) -> None:
        """Leave the domain; the controller stays active and holds the last command."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                self.stop()
            self._link.close()
        self._link = None
        self._finder = None
        self._enabled = False
        if self._lease is not None:
            self._lease.release()
        self._lease = None
