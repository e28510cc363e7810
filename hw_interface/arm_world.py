"""One arm as a World: the policy's side of the control process."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from hw_interface.arm_moves import ArmMoves
from hw_interface.control.client import ControlClient, EventRecord
from hw_interface.control.events import Mode
from hw_interface.control.layout import Record
from hw_interface.control.pacing import count_ticks_per_action
from hw_interface.control.requests import Request, unname_object
from hw_interface.control.timing import Timing
from hw_interface.control.words import Word
from hw_interface.devices import DevicePlan
from hw_interface.drivers import DRIVERS
from hw_interface.late_actions import LateActions
from hw_interface.observation_range import range_distance
from hw_interface.published_signals import published_setpoint, published_signals
from hw_interface.recording.process import RecordTo
from hw_interface.trackers import TRACKERS
from robots.arm import ArmSpec
from robots.driver import ObjectPlacer
from robots.errors import ArmError, BadArgumentError
from robots.kinematics import Kinematics
from robots.signals import Array, Signals, Verdict
from robots.world import Family, Start, Step, Task


class ArmWorld:
    """A World with n = 1 over a control process: a real arm, or a twin, perhaps in lockstep."""

    n = 1
    signals: Signals  # the newest measurement
    on_frame: Callable[["ArmWorld"], None] | None = None  # called after every control period
    # waits while an operator holds the arm, and returns whether an episode may begin then
    wait_for_operator: Callable[[], bool] | None = None

    def __init__(
        self,
        family: Family,
        arm: ArmSpec,
        driver: str = "twin",
        driver_options: dict[str, Any] | None = None,
        clock: str = "lockstep",
        record_to: RecordTo | None = None,
        seed: int = 0,
        placer: ObjectPlacer | None = None,
        tracker: str | None = None,
        tracker_options: dict[str, Any] | None = None,
        latency: float = 0.0,
    ) -> None:
        """Start the control process and wait until the arm is connected.

        Args:
            family: the tasks; its body must be the arm.
            arm: the arm.
            driver: a name in ``DRIVERS``.
            driver_options: fields of the driver's ``Options``.
            clock: ``lockstep`` or ``realtime``; lockstep needs a simulated arm.
            record_to: folder that gets the next ``recording-N.mcap``; None: no recording.
            seed: of the starts that ``reset`` draws.
            placer: puts the object at its start once the arm is at its own, such as a person.
            tracker: a name in ``TRACKERS``; None: the object is not measured.
            tracker_options: fields of the tracker's ``Options``.
            latency: s from a setpoint to the motion; ``applied`` of a step is then what was in
                effect at the joints.

        Raises:
            BadArgumentError: an unknown name or clock, another body, or a combination that the
                driver does not allow. A simulated arm brings its own tracker and placer.
            ArmError: the arm did not come up.
        """
        plan = DevicePlan(
            arm=arm,
            scene=family.scene,
            driver=DRIVERS[driver],
            driver_options=dict(driver_options or {}),
            tracker=None if tracker is None else TRACKERS[tracker],
            tracker_options=tracker_options,
        )
        plan.check_clock(clock)
        plan.check_object(placer)
        if family.body.name != arm.name:
            message = f"{family.name} is a task for {family.body.name!r}, not for {arm.name!r}"
            raise BadArgumentError(message)
        self.ticks_per_action = count_ticks_per_action(family, plan.driver.capabilities.dt)
        self.family = family
        self.dt = family.dt
        self.clock = clock
        self.rng = np.random.default_rng(seed)
        self._placer = placer
        self._late_actions = LateActions(latency / (family.dt * family.action_repeat))
        self._kinematics = Kinematics(arm)
        self._policy_times: list[float] = []  # s, from an observation to its action
        self.control = ControlClient(family, plan, clock == "lockstep", record_to)
        self.recorder = self.control.recorder
        self.moves = ArmMoves(self._kinematics, self.control, seed)

    def reset(self, task: Task) -> Array:
        """Move to an episode's start and have the object placed; blocks until both are done.

        Returns:
            Observations (1, o).

        Raises:
            ArmError: the arm does not reach the start.
            BadArgumentError: more than one task.
        """
        if len(task) != 1:
            raise BadArgumentError(f"an arm takes one task at a time, got {len(task)}")
        start = unname_object(self.family.start(self.rng, task))
        # a task may have more parameters than its family reads, and in another order
        self._task_values = task.columns(*self.family.task_names)
        self._marker = self.family.marker(task)
        self._decisions = 0
        self._periods = 0
        self._await_operator()
        state = self._begin_episode(task, start)
        while state["mode"] != Mode.ARMED and self._await_operator():
            state = self._begin_episode(task, start)
        if state["mode"] != Mode.ARMED:
            raise ArmError(f"the arm is in {self.control.explain_mode()}")
        self._due = time.monotonic()
        self._late_actions.begin(self.family.action.standstill(published_setpoint(state)))
        return self._observe(state)

    def _begin_episode(self, task: Task, start: Start) -> Record:
        """Move to a start and have the object placed; returns the state after that."""
        state = self.moves.begin_episode(start, self._task_values[0])
        if self._placer is not None and state["mode"] == Mode.ARMED:
            self._placer.place(task, start)
            self._await_operator()
            state = self.control.state
        return state

    def _await_operator(self) -> bool:
        """Wait while an operator holds the arm; whether there is one, and the arm is free."""
        return self.wait_for_operator is not None and self.wait_for_operator()

    def step(self, action: Array) -> Step:
        """Hold an action (1, a) in [-1, 1] for ``family.action_repeat`` control periods.

        Blocks until they have passed. The action carries the stamp of the observation that it
        answers: one that was thought about for too long is not followed. It is posted anew in every
        control period, so that the watchdog stops the arm soon after this process dies, however
        long an action lasts. Where a period is held, dropped or stopped, the step ends: only a
        fresh decision moves the arm.

        Raises:
            ArmError: the control process ended.
            BadArgumentError: an action of another shape.
        """
        action = self._checked(action)
        obs = self._obs
        distance = self._distance
        sum_before = self._applied_sum
        ticks_before = self._applied_ticks
        self._policy_times.append(time.monotonic() - self._observed_at)
        verdict = 0
        for period in range(self.family.action_repeat):
            state = self._run_one_period(action, continues=period > 0)
            verdict |= int(state["verdict"])
            if self.mode is not Mode.RUNNING:
                verdict |= int(Verdict.HELD)
                break
        self._decisions += 1
        next_obs = self._observe(state)
        sent = self._mean_applied(state, sum_before, ticks_before)
        applied = self._late_actions.send(sent)
        terminated = np.asarray(self.family.terminated(next_obs))
        truncated = np.array([self._decisions >= self.family.horizon])
        if terminated[0] or truncated[0]:
            self.control.request(Request.END_EPISODE)
        step = Step(
            obs=next_obs,
            reward=self.family.reward(obs, applied, next_obs, self._task_values),
            terminated=terminated,
            truncated=truncated,
            success=np.asarray(self.family.success(next_obs, self._task_values)),
            applied=applied,
            verdict=np.array([verdict]),
            stamp=np.array([self._periods * self.dt]),
        )
        stamp = float(state["stamp"])
        self.recorder.write_decision(stamp, self._decisions, obs, action, step, distance)
        return step

    def _run_one_period(self, action: Array, continues: bool) -> Record:
        """Post an action (1, a) and wait until its control period has passed."""
        stamp = time.monotonic() if continues else self._obs_stamp
        seq = self.control.post_action(action[0], stamp, continues, self._distance)
        state = self._wait_one_period(seq)
        self._periods += 1
        if self.on_frame is not None:
            self.signals = self._measure(state)
            self.on_frame(self)
        return state

    def _checked(self, action: Array) -> Array:
        action = np.asarray(action, dtype=np.float64)
        shape = (1, len(self.family.action.spec))
        if action.shape != shape:
            raise BadArgumentError(f"an arm takes actions of {shape}, got {action.shape}")
        return action

    def _wait_one_period(self, seq: int) -> Record:
        """Wait until the control period of the action numbered ``seq`` has passed."""
        if self.clock == "realtime":
            self._due = max(self._due + self.dt, time.monotonic())
            time.sleep(max(0.0, self._due - time.monotonic()))

        def done(state: Record) -> bool:
            passed = state["ticks_done"] >= seq * self.ticks_per_action
            if self.clock == "realtime":
                passed = state["stamp"] >= self._due
            return bool(passed and state["active_action_seq"] == seq)

        return self.control.wait_for(done, "act")

    def _observe(self, state: Record) -> Array:
        """Take a published state as the newest measurement; returns observations (1, o)."""
        self.signals = self._measure(state)
        self._obs = self.family.observe(self.signals)
        self._distance = range_distance(self.family.obs, self._obs)
        self._applied_sum = state["applied_sum"].copy()
        self._applied_ticks = int(state["applied_ticks"])
        self._observed_at = time.monotonic()
        self._obs_stamp = float(state["stamp"])
        return self._obs

    def _measure(self, state: Record) -> Signals:
        """The signals of a published state."""
        stamp = self._periods * self.dt
        scene = self.family.scene
        return published_signals(state, self._kinematics, scene, self._marker, stamp)

    def _mean_applied(self, state: Record, sum_before: Array, ticks_before: int) -> Array:
        """The mean action (1, a) that reached the joints since the previous observation.

        Ticks that were held count as standing still; a dropped action has no ticks of its own.
        """
        ticks = self._applied_ticks - ticks_before
        if ticks == 0:
            return self.family.action.standstill(published_setpoint(state))
        mean = (self._applied_sum - sum_before) / ticks
        return np.clip(mean, -1, 1)[None]

    @property
    def mode(self) -> Mode:
        """The mode of the control process."""
        return self.control.mode

    @property
    def is_held(self) -> bool:
        """Whether an operator holds the arm."""
        return bool(self.control.state["operator_hold"])

    @property
    def is_latched(self) -> bool:
        """Whether the arm is in a fault that must be cleared."""
        return self.mode in (Mode.FAULT, Mode.EXTERNAL_STOP)

    def hold(self) -> None:
        """Operator: brake, and follow no action and begin no episode until ``release``."""
        self.control.say(Word.HOLD)

    def release(self) -> None:
        """Operator: end a hold; the next action resumes."""
        self.control.say(Word.RELEASE)

    def stop(self) -> None:
        """Operator: controlled stop, latched until ``clear``."""
        self.control.say(Word.STOP)

    def clear(self) -> None:
        """Operator: leave a latched fault; nothing moves until the next ``reset``."""
        self.control.say(Word.CLEAR)

    @property
    def events(self) -> list[EventRecord]:
        """Events of the watchdog, oldest first."""
        return self.control.events

    def timing(self) -> Timing | None:
        """How the loop kept time and how long the policy took; None in lockstep."""
        if self.clock == "lockstep":
            return None
        return self.control.timing(self._policy_times)

    def close(self) -> None:
        """Stop the arm and end the control process and the recorder."""
        self.control.close()
