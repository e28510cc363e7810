"""The control of one arm, tick by tick: the only holder of the driver and of the gate.

Every tick: read the arm, check the reading, turn the newest action into joint velocities, pass them
through the gate, write. Time is an argument; ``hw_interface.control.process`` does the pacing.
"""

import contextlib
import time
from collections.abc import Callable

import numpy as np

from hw_interface.control.first_reading import read_twice
from hw_interface.control.layout import OBJECT_STATE
from hw_interface.control.retreat import Retreat
from hw_interface.control.watchdog import Event, Mode, Report, Watchdog, WatchdogConfig
from hw_interface.devices import Devices, check_tracker
from robots.actions import standstill
from robots.errors import ArmError
from robots.kinematics import Kinematics
from robots.motion import Move
from robots.safety import SafetyGate
from robots.signals import Array, Command, Condition, JointState, Verdict
from robots.world import Family, Start, Task

AT_REST = 1e-6  # rad/s, below which a joint's setpoint counts as standing
SETTLED = 0.01  # rad/s, the same for a measured joint


class ArmController:
    """One arm's control, tick by tick."""

    state: JointState  # the newest reading that can be true

    def __init__(
        self, family: Family, devices: Devices, report: Report, config: WatchdogConfig
    ) -> None:
        """Create the controller; nothing is sent to the arm.

        Args:
            family: the task family, with the action map and the limits.
            devices: the driver, and a tracker and a placer if the arm has them.
            report: called once for every event.
            config: when a disturbance becomes a fault.
        """
        self.family = family
        self.driver = devices.driver
        self.tracker = devices.tracker
        self.placer = devices.placer
        arm = self.driver.arm
        dt = self.driver.capabilities.dt
        self.gate = SafetyGate(family.limits, dt, 1, Kinematics(arm))
        self.watchdog = Watchdog(family.limits, config, report)
        self.verdict = 0  # Verdict flags since the newest action
        self.object_state = np.full(OBJECT_STATE, np.nan)  # pose and twist
        # (a,) sum of what was applied in each tick since the episode's first action
        self.applied_sum = np.zeros(len(family.action.spec))
        self.applied_ticks = 0  # how many ticks these are
        self._action: Array | None = None  # (1, a) in [-1, 1]
        self._standstill = standstill(family.action.spec)
        self._zero_velocity = np.zeros((1, len(arm.joints)))
        self._move: Move | None = None  # to the episode's start
        self._move_began = 0.0  # s
        self._retreat = Retreat(family.limits)  # after a fault of contact
        self._last_tick = np.inf  # s, when the newest tick was
        self._driver_stopped = False
        self.link_broken = False  # the driver raised, or its readings stood still

    def start(self) -> None:
        """Connect and enable the arm, at rest where it is.

        Raises:
            OSError: there is no connection.
            RuntimeError: the arm refuses, it is another one, or its readings do not agree.
            BadArgumentError: the arm is outside its limits, or its family needs a tracker.
        """
        check_tracker(self.family.scene, self.tracker)
        self.driver.connect()
        self.driver.enable()
        self._begin_where_the_arm_is()
        self.watchdog.mode = Mode.IDLE

    def begin_move(self, q: Array, now: float) -> None:
        """Begin to move to an episode's start ``q`` (j,) rad.

        Raises:
            ArmError: a fault is latched, an operator holds the arm, or it cannot be enabled.
            BadArgumentError: the start is outside the limits.
        """
        mode = self.watchdog.mode
        if self.watchdog.latched:
            raise ArmError(f"the arm is in {mode.name}: it must be cleared first")
        if self.watchdog.operator_hold:
            raise ArmError("an operator holds the arm: it must be released first")
        if self._driver_stopped:
            self._call_driver(self._enable_again)
        if self.watchdog.mode is Mode.FAULT:
            raise ArmError("the arm cannot be enabled where it is")
        self._move = Move(self.family.limits, self.gate.setpoint.q[0], q)
        self._move_began = now
        self.watchdog.mode = Mode.IDLE
        self._action = None
        self.applied_sum = np.zeros_like(self.applied_sum)
        self.applied_ticks = 0

    def _enable_again(self) -> None:
        """Enable after a stop; the first command starts from the measured position."""
        if self.link_broken:
            self._reconnect()
        self.driver.enable()
        self._begin_where_the_arm_is()
        if self.state.condition is not Condition.READY:
            raise RuntimeError(f"the arm is enabled, but {self.state.condition.name}")
        self._driver_stopped = False

    def _begin_where_the_arm_is(self) -> None:
        """Start the gate at rest where the arm is measured."""
        self.state = read_twice(self.driver, self.watchdog.config.frozen_readings)
        self.watchdog.measurements.believe(self.state)
        self.gate.reset(self.state.q[None])

    def _reconnect(self) -> None:
        """Open the connection anew: the old one may be that of a port that was unplugged."""
        with contextlib.suppress(Exception):
            self.driver.disconnect()
        self.driver.connect()
        self.link_broken = False

    @property
    def moving_to_start(self) -> bool:
        """Whether a move to an episode's start is under way."""
        return self._move is not None

    @property
    def at_rest(self) -> bool:
        """Whether the setpoint stands still and, after a fault, the driver has been stopped."""
        return self._driver_stopped or (not self.watchdog.latched and self._standing)

    @property
    def _standing(self) -> bool:
        return bool(np.abs(self.gate.setpoint.dq).max() < AT_REST)

    def hold(self) -> None:
        """Operator: brake until released.

        Then the next action resumes; a move to a start does not.
        """
        self.watchdog.hold()
        self._move = None

    def end_episode(self) -> None:
        """Brake, and follow no action until the next episode."""
        self.watchdog.end_episode()
        self._move = None

    def set_action(
        self,
        seq: int,
        stamp: float,
        action: Array,
        taken: float | None = None,
        continues: bool = False,
    ) -> None:
        """Take a newly posted action (a,), or drop it; see ``Watchdog.accept_action``."""
        self.verdict = 0
        if self.watchdog.accept_action(seq, stamp, action, taken, continues):
            self._action = np.clip(action[None], -1, 1)
        else:
            self.verdict |= int(Verdict.DROPPED)

    def tick(self, now: float) -> None:
        """One period of the driver, at monotonic time ``now`` s."""
        watchdog = self.watchdog
        self._end_stall(now)
        if not (self._driver_stopped and self.link_broken):  # reconnected before the next episode
            self._call_driver(self._read_state)
        watchdog.check_age(now)
        was_standing = self._standing
        requested = self._requested_velocity(now)
        if watchdog.in_contact:
            overloaded = watchdog.measurements.overloaded
            requested = self._retreat(self.gate.setpoint, self.state.q, overloaded, now)
        else:
            self._retreat.cancel()
        _, flags = self.gate(requested)
        self.verdict |= int(flags[0]) | self._mode_flags()
        if self._driver_stopped:
            return
        braked = watchdog.link_lost or self._retreat.ended(was_standing, now)
        if watchdog.mode is Mode.EXTERNAL_STOP or (watchdog.mode is Mode.FAULT and braked):
            self.stop()
        else:
            self._call_driver(self._write_setpoint)

    def _end_stall(self, now: float) -> None:
        """After a pause of the loop: the arm stands at the last command, and so does the gate."""
        elapsed = now - self._last_tick
        self._last_tick = now
        if elapsed > max(self.watchdog.config.stall, 3 * self.gate.dt):
            self.gate.reset(self.gate.setpoint.q)

    def stop(self) -> None:
        """Stop the driver; nothing is written after it."""
        if not self._driver_stopped:
            self._driver_stopped = True
            with contextlib.suppress(Exception):
                self.driver.stop()

    def settle(self, ticks: int, pause: float) -> None:
        """After ``stop``: read until the joints stand, at most ``ticks`` times, ``pause`` s apart.

        What is published last then says whether the arm was left at rest.
        """
        with contextlib.suppress(Exception):
            for _ in range(ticks):
                if self.link_broken or np.abs(self.state.dq).max() < SETTLED:
                    return
                time.sleep(pause)
                self.state = self.driver.read()

    def _read_state(self) -> None:
        reading = self.driver.read()
        setpoint = None if self._driver_stopped else self.gate.setpoint.q[0]
        self.watchdog.check_state(reading, setpoint)
        believed = self.watchdog.measurements.believed
        if believed is not None:
            self.state = believed
        self.link_broken |= self.watchdog.link_lost

    def _write_setpoint(self) -> None:
        setpoint = self.gate.setpoint
        self.driver.write(Command(setpoint.q[0], setpoint.dq[0]))

    def _call_driver(self, call: Callable[[], None]) -> None:
        """Call the driver; if it raises, stop it at once: later commands may not arrive."""
        try:
            call()
        except Exception as error:
            refused = isinstance(error, RuntimeError)  # by the arm: the link works
            self.link_broken |= not refused
            self.watchdog.fault(Event.DRIVER_FAILED)
            self.stop()

    def _requested_velocity(self, now: float) -> Array:
        """Joint velocities (1, j) rad/s before the gate."""
        if self._move is not None:
            return self._move_velocity(self._move, now - self._move_began)
        if self._action is None:
            return self._zero_velocity
        running = self.watchdog.mode is Mode.RUNNING
        applied = self._action[0] if running else self._standstill
        self.applied_sum = self.applied_sum + applied
        self.applied_ticks += 1
        if not running:
            return self._zero_velocity
        return self.family.action(self._action, self.gate.setpoint)

    def _move_velocity(self, move: Move, elapsed: float) -> Array:
        """Velocities (1, j) of the move to a start; it ends on arrival or where IDLE is left."""
        setpoint = self.gate.setpoint
        if self.watchdog.mode is not Mode.IDLE or move.arrived(elapsed, setpoint):
            self._move = None
            return self._zero_velocity
        return move(elapsed, setpoint)

    def _mode_flags(self) -> int:
        """Verdict flags that follow from the mode."""
        if self.watchdog.latched:
            return int(Verdict.FAULT | Verdict.STOPPED)
        if self.watchdog.mode is Mode.HOLD:
            return int(Verdict.HELD)
        return 0

    def track_object(self, now: float) -> None:
        """Read the tracker, if any; an object that cannot be located is NaN."""
        if self.tracker is None or not self.family.scene.loose_object:
            return
        unknown = np.full(OBJECT_STATE, np.nan)
        state = unknown
        stamp = np.nan
        with contextlib.suppress(Exception):
            reading = self.tracker.read()
            stamp = reading.stamp
            state = np.concatenate([reading.pos, reading.quat, reading.vel])
        is_current = self.watchdog.check_object(state, stamp, now)
        self.object_state = state if is_current else unknown

    def place_object(self, task: Task, start: Start) -> None:
        """Place the object if a device can do so; otherwise a person does it later."""
        placer = self.placer
        if placer is not None:
            self._call_driver(lambda: placer.place(task, start))
