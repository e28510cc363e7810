"""The control of one arm, tick by tick: the only holder of the driver and of the gate.

Every tick: read the arm, check the reading, turn the newest action into joint velocities, pass them
through the gate, write. Time is an argument; ``hw_interface.control.process`` does the pacing.
"""

import contextlib
from collections.abc import Callable
from functools import partial

import numpy as np

from hw_interface.control.events import Event, Mode, Report
from hw_interface.control.first_reading import enable_within_limits, read_object
from hw_interface.control.guided_move import Mover
from hw_interface.control.joint_feed import JointFeed
from hw_interface.control.layout import OBJECT_STATE
from hw_interface.control.measurements import Measurements
from hw_interface.control.preflight import preflight
from hw_interface.control.retreat import Retreat
from hw_interface.control.watchdog import Watchdog, WatchdogConfig
from hw_interface.devices import Devices, check_tracker
from robots.errors import ArmError
from robots.safety import SafetyGate
from robots.signals import Array, Command, Condition, JointState, Verdict
from robots.world import Family, Start, Task


class ArmController:
    """One arm's control, tick by tick."""

    state: JointState  # the newest plausible reading

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
        self._joint_feed = JointFeed(devices.tracker)
        arm = self.driver.arm
        capabilities = self.driver.capabilities
        self.mover = Mover(arm, family.limits, capabilities.dt, report)
        readings = Measurements(family.limits, config, capabilities, len(arm.tool_joints))
        self.watchdog = Watchdog(family.limits, config, report, readings)
        self.verdict = 0  # Verdict flags since the newest action
        self.object_state = np.full(OBJECT_STATE, np.nan)  # pose and twist
        # (a,) sum of what was applied in each tick since the episode's first action
        self.applied_sum = np.zeros(len(family.action.spec))
        self.applied_ticks = 0  # how many ticks these are
        self._action: Array | None = None  # (1, a) in [-1, 1]
        self._share = 1.0  # share of the action's velocities that is followed
        self._zero_velocity = np.zeros((1, len(arm.joints)))
        holds_weight = capabilities.holds_weight
        self._retreat = Retreat(family.limits, self.mover.kinematics, holds_weight)
        self.failure = ""  # of the driver
        self._driver_stopped = False
        self.link_broken = False  # whether the driver raised, or its stamp stood still

    def start(self) -> None:
        """Connect and enable the arm, at rest where it is.

        Raises:
            OSError: there is no connection.
            RuntimeError: the arm refuses, is another arm, or its readings do not agree.
            BadArgumentError: the family needs a tracker, or has several objects.
            ArmError: the arm is outside its limits; its motors stay off.
        """
        check_tracker(self.family.scene, self.tracker)
        self.driver.connect()
        self._begin_where_the_arm_is()
        self.watchdog.mode = Mode.IDLE

    def _begin_where_the_arm_is(self) -> None:
        """Enable; the gate starts at the motors' target if it is known, else at the measurement.

        A soft arm sags below its target; from the measurement it would sag further every time.
        """
        self.state = enable_within_limits(self.driver, self.watchdog.config.frozen_readings)
        self.watchdog.measurements.begin_at(self.state)
        begin = self.state.q if self.state.target is None else self.state.target
        self.gate.reset(begin[None])

    @property
    def gate(self) -> SafetyGate:
        """The gate in use."""
        return self.mover.gate

    def begin_move(self, path: Array) -> None:
        """Begin to move along ``path``, (j,) or (k, j) rad, once the setpoint stands.

        Raises:
            ArmError: a fault is latched, an operator holds the arm, or it is not ready.
            BadArgumentError: the start or a waypoint is outside the limits.
        """
        if self.watchdog.latched:
            raise ArmError(f"the arm is in {self.watchdog.mode.name}: it must be cleared first")
        if self.watchdog.operator_hold:
            raise ArmError("an operator holds the arm: it must be released first")
        if self._driver_stopped:
            self._call_driver(self._enable_again)
        if self.watchdog.mode is Mode.FAULT:
            raise ArmError(f"the arm cannot be enabled where it is: {self.failure}")
        if self.unready:
            raise ArmError(f"the arm may not move yet: {self.unready}")
        self.mover.begin(path)
        self.watchdog.mode = Mode.IDLE
        self._action = None
        self.applied_sum = np.zeros_like(self.applied_sum)
        self.applied_ticks = 0

    @property
    def unready(self) -> str:
        """Why the arm may not move; empty if it may. See ``preflight``."""
        held = self.gate.setpoint.q[0]
        return preflight(self.driver.arm, self.state, held, self.watchdog.measurements)

    def _enable_again(self) -> None:
        """Enable after a stop; the first command starts from where the motors hold the arm."""
        if self.link_broken:
            self._reconnect()
        self._begin_where_the_arm_is()
        if self.state.condition is not Condition.READY:
            raise RuntimeError(f"the arm is enabled, but {self.state.condition.name}")
        self._driver_stopped = False

    def _reconnect(self) -> None:
        """Reopen the connection: the old one may belong to a port that was unplugged."""
        with contextlib.suppress(Exception):
            self.driver.disconnect()
        self.driver.connect()
        self.link_broken = False

    @property
    def at_rest(self) -> bool:
        """Whether the setpoint is at rest; after a fault or ``leave``: the driver is stopped."""
        will_stop = self.watchdog.latched or self.watchdog.leaving
        return self._driver_stopped or (not will_stop and self.mover.is_standing)

    def hold(self) -> None:
        """Operator: brake until released.

        Then the next action resumes; a move to a start does not.
        """
        self.watchdog.hold()
        self.mover.abort()

    def clear(self) -> None:
        """Operator: leave a latched fault; an arm that still releases a contact stops there."""
        if self.watchdog.in_contact or self._retreat.has_begun:
            self.stop()
        self.watchdog.clear()

    def end_episode(self) -> None:
        """Brake, and follow no action until the next episode."""
        self.watchdog.end_episode()
        self.mover.abort()

    def leave(self) -> None:
        """Come to rest for good: brake, release what the joints press on, stop the driver."""
        self.end_episode()
        self.watchdog.leaving = True

    def set_action(
        self,
        seq: int,
        stamp: float,
        action: Array,
        taken: float | None = None,
        continues: bool = False,
        distance: float = 0.0,
    ) -> None:
        """Take a newly posted action, or drop it.

        ``distance`` is that of its observation, see ``Watchdog.check_observation``; for the other
        arguments see ``Watchdog.accept_action``.
        """
        if not self.watchdog.accept_action(seq, stamp, action, taken, continues):
            self.verdict = int(Verdict.DROPPED)
            return
        self._share = self.watchdog.check_observation(distance)
        self._action = np.clip(action[None], -1, 1)
        self.verdict = int(Verdict.LIMITED if self._share < 1 else Verdict.OK)

    def tick(self, now: float) -> None:
        """One period of the driver, at monotonic time ``now`` s."""
        watchdog = self.watchdog
        self.mover.end_stall(now, watchdog.config.stall)
        if not (self._driver_stopped and self.link_broken):  # the next ``begin_move`` reconnects
            self._call_driver(self._read_state)
        self._joint_feed.tell(self.state)
        watchdog.check_age(now)
        was_standing = self.mover.is_standing
        requested = self._requested_velocity()
        if watchdog.in_contact:
            overloaded = watchdog.measurements.overloaded
            requested = self._retreat(self.gate.setpoint, self.state.q, overloaded, now)
        elif watchdog.may_release_contact and (was_standing or self._retreat.has_begun):
            requested = self._retreat.release_contact(self.gate.setpoint, self.state, now)
        else:
            self._retreat.cancel()
        _, flags = self.gate(requested)
        self.verdict |= int(flags[0]) | watchdog.flags
        if self._driver_stopped:
            return
        braked = watchdog.measurements.link_lost or self._retreat.ended(was_standing, now)
        must_stop = watchdog.mode is Mode.FAULT or watchdog.leaving
        if watchdog.mode is Mode.EXTERNAL_STOP or (must_stop and braked):
            self.stop()
        else:
            self._call_driver(self._write_setpoint)

    def torque_off(self) -> None:
        """Switch the motors off, with the arm in its rest pose; ``begin_move`` enables it again.

        Raises:
            ArmError: the arm is not at rest there, or the driver failed.
        """
        if self.watchdog.mode is not Mode.IDLE or not self.mover.is_parked(self.state.q):
            rest = self.driver.arm.rest
            raise ArmError(f"the motors stay on: the arm is not in its rest pose {rest}")
        self._driver_stopped = True
        self._call_driver(self.driver.torque_off)
        if self.watchdog.latched:
            raise ArmError(f"the motors could not be switched off: {self.failure}")

    def stop(self) -> None:
        """Stop the driver; nothing is written after it."""
        if not self._driver_stopped:
            self._driver_stopped = True
            with contextlib.suppress(Exception):
                self.driver.stop()

    def _read_state(self) -> None:
        reading = self.driver.read()
        setpoint = None if self._driver_stopped else self.gate.setpoint.q[0]
        self.watchdog.check_state(reading, setpoint)
        believed = self.watchdog.measurements.believed
        if believed is not None:
            self.state = believed
        self.link_broken |= self.watchdog.measurements.link_lost

    def _write_setpoint(self) -> None:
        setpoint = self.gate.setpoint
        self.driver.write(Command(setpoint.q[0], setpoint.dq[0]))

    def _call_driver(self, call: Callable[[], None]) -> None:
        """Call the driver; if it raises, stop it at once: later commands may not arrive."""
        try:
            call()
        except Exception as error:
            self.link_broken |= not isinstance(error, RuntimeError)  # RuntimeError: the arm refused
            self.failure = str(error)
            self.watchdog.fault(Event.DRIVER_FAILED)
            self.stop()

    def _requested_velocity(self) -> Array:
        """Joint velocities (1, j) rad/s before the gate."""
        if self.watchdog.mode is not Mode.IDLE:
            self.mover.abort()
        if self.mover.is_moving:
            return self.mover.velocity()
        if self._action is None:
            return self._zero_velocity
        running = self.watchdog.mode is Mode.RUNNING
        share = self._share if running else 0.0
        setpoint = self.gate.setpoint
        applied = self._action
        if share < 1:
            standstill = self.family.action.standstill(setpoint)
            applied = standstill + share * (applied - standstill)
        self.applied_sum = self.applied_sum + applied[0]
        self.applied_ticks += 1
        if not running:
            return self._zero_velocity
        return share * self.family.action(self._action, setpoint)

    def track_object(self, now: float) -> None:
        """Read the tracker, if any; an object that cannot be located is NaN."""
        if self.tracker is None or not self.family.scene.objects:
            return
        state, stamp = read_object(self.tracker)
        is_current = self.watchdog.check_object(state, stamp, now)
        self.object_state = state if is_current else np.full(OBJECT_STATE, np.nan)

    def place_object(self, task: Task, start: Start) -> None:
        """Place the object if a device can do so; otherwise a person places it later."""
        if self.placer is not None:
            self._call_driver(partial(self.placer.place, task, start))
