"""One arm as a World: the policy's side of the servo process."""

import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hw_interface.control.process import ControlConfig, Verb, serve
from hw_interface.control.shared_state import EVENTS, LATENESS, SharedState
from hw_interface.control.watchdog import Event, Mode
from hw_interface.drivers import DRIVERS
from hw_interface.recording.recorder import record
from robots.actions import standstill
from robots.arm import ArmSpec
from robots.driver import Driver
from robots.errors import ArmError
from robots.kinematics import Kinematics
from robots.signals import Array, Signals
from robots.world import Family, Start, Step, Task

CLOCKS = ("lockstep", "wall")
PATIENCE = 20.0  # s, for the servo to answer
POLL = 2e-4  # s between two looks at what the servo publishes


class ArmWorld:
    """A World with n = 1 over the servo process; against a twin it can run as fast as the physics goes."""

    n = 1

    def __init__(
        self,
        family: Family,
        arm: ArmSpec,
        driver: str = "twin",
        driver_options: dict[str, Any] | None = None,
        clock: str = "lockstep",
        record_to: Path | None = None,
        seed: int = 0,
        place: Callable[[Task, Start], None] | None = None,
    ) -> None:
        """Start the servo process, and the recorder's if there is a file to record to; wait for the driver.

        ``place`` has a person put the object at its start, and returns when it is there; a twin does it itself.

        Raises:
            ValueError: an unknown clock, a body that is not this arm, or what only an arm that is not there can do.
            ArmError: the driver did not come up.
        """
        if clock not in CLOCKS:
            raise ValueError(f"clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
        if not isinstance(family.body, ArmSpec) or family.body.name != arm.name:
            raise ValueError(
                f"{family.name} is a task for {family.body.name!r}, which is not the arm {arm.name!r}"
            )
        kind = DRIVERS[driver]
        if not hasattr(kind, "place"):
            if clock == "lockstep":
                raise ValueError(
                    f"time does not wait at an arm: with the driver {driver!r} the clock must be wall"
                )
            if family.scene.loose_object and place is None:
                raise ValueError(
                    f"the driver {driver!r} cannot place an object: give a function that has it placed"
                )
        self.family, self.dt, self.clock, self._place = family, family.dt, clock, place
        self.rng = np.random.default_rng(seed)
        self._kinematics = Kinematics(arm)
        self._shared = SharedState(len(arm.joints), len(family.action.spec))
        make = functools.partial(_make_driver, kind, arm, family, dict(driver_options or {}))
        config = ControlConfig(family, make, clock == "lockstep", self._shared.name, os.getpid())
        spawn = multiprocessing.get_context("spawn")
        self._process = spawn.Process(target=serve, args=(config,), daemon=True)
        self._process.start()
        self._recorder = None
        if record_to is not None:
            what = (record_to, arm.joints, len(family.action.spec), self._shared.name, os.getpid())
            self._recorder = spawn.Process(target=record, args=what, daemon=True)
            self._recorder.start()
        self._number = self._requests = 0
        self._thinking: list[float] = []  # s, from an observation to its action
        try:
            self._await(lambda s: s["mode"] != Mode.DISCONNECTED, "connect")
        except ArmError:
            self.close()
            raise

    def reset(self, task: Task) -> Array:
        """Go to an episode's start and have the object placed; ArmError where the arm will not."""
        if len(task) != 1:
            raise ValueError(f"an arm takes one task at a time, got {len(task)}")
        start = self.family.start(self.rng, task)
        self._values = task.columns(
            *self.family.task_names
        )  # what the family reads, whatever else a task names
        self._age, self._marker = 0, self.family.marker(task)
        pose = np.full(7, np.nan)
        if start.object_pos is not None and start.object_quat is not None:
            pose = np.concatenate([start.object_pos[0], start.object_quat[0]])
        known = np.zeros(64)
        known[: self._values.shape[1]] = self._values[0]
        self._ask(Verb.BEGIN, q=start.q[0], pose=pose, task=known)
        state = self._await(lambda s: s["mode"] != Mode.IDLE, "reach the start")
        if self._place is not None and state["mode"] == Mode.ARMED:
            self._place(task, start)
            state = self._shared.state.fresh()
        if state["mode"] != Mode.ARMED:
            raise ArmError(f"the arm is in {self.mode.name}: {self._latest()}")
        self._due = time.monotonic()
        return self._look(state)

    def step(self, action: Array) -> Step:
        """Post an action (1, a), and wait for its control period to pass."""
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (1, len(self.family.action.spec)):
            raise ValueError(
                f"an arm takes actions of {(1, len(self.family.action.spec))}, got {action.shape}"
            )
        self._thinking.append(time.monotonic() - self._seen)
        before, told, self._number = self._obs, self._told, self._number + 1
        self._shared.action.write(number=self._number, stamp=time.monotonic(), action=action[0])
        if self.clock == "wall":
            self._due = max(self._due + self.dt, time.monotonic())
            time.sleep(max(0.0, self._due - time.monotonic()))
            state = self._await(lambda s: s["stamp"] >= self._due, "act")
        else:
            state = self._await(
                lambda s: s["action"] == self._number and s["done"] >= s["action"] * self.ticks,
                "act",
            )
        self._age += 1
        obs, applied = self._look(state), self._applied(told)
        terminated, truncated = (
            np.asarray(self.family.terminated(obs)),
            np.array([self._age >= self.family.horizon]),
        )
        if terminated[0] or truncated[0]:
            self._ask(Verb.REST)  # nobody acts between episodes
        return Step(
            obs=obs,
            reward=self.family.reward(before, applied, obs, self._values),
            terminated=terminated,
            truncated=truncated,
            success=np.asarray(self.family.success(obs, self._values)),
            applied=applied,
            verdict=np.array([int(state["verdict"])]),
            stamp=np.array([self._age * self.dt]),
        )

    @property
    def ticks(self) -> int:
        """Servo ticks per action."""
        return round(self.dt * float(self._shared.state.fresh()["rate"]))

    @property
    def mode(self) -> Mode:
        """The state the servo is in."""
        return Mode(int(self._shared.state.fresh()["mode"]))

    def hold(self) -> None:
        """An operator's word: brake to a standstill, and stand until ``release``; no episode begins before it."""
        self._ask(Verb.HOLD)

    def release(self) -> None:
        """An operator's word after ``hold``: the next action resumes."""
        self._ask(Verb.RELEASE)

    def stop(self) -> None:
        """Controlled stop, latched until ``clear``."""
        self._ask(Verb.STOP)

    def clear(self) -> None:
        """An operator's word after a fault: back to idle."""
        self._ask(Verb.CLEAR)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the watchdog reported, oldest first, each with its number; the newest 256."""
        count = int(self._shared.state.fresh()["events"])
        rows = (
            (i, *self._shared.events[i % EVENTS].tolist())
            for i in range(max(0, count - EVENTS), count)
        )
        return [
            {"number": i, "event": Event(kind).name, "stamp": at, "detail": detail}
            for i, kind, at, detail in rows
        ]

    def timing(self) -> dict[str, Any] | None:
        """How the servo kept time and how long the policy thought, ms; None in lockstep, where time is not real."""
        if self.clock != "wall":
            return None
        state = self._shared.state.fresh()
        late = 1e3 * self._shared.lateness[: min(int(state["tick"]), LATENESS)].astype(np.float64)
        thought = 1e3 * np.array(self._thinking)
        return {
            "rate_hz": float(state["rate"]),
            "ticks": int(state["tick"]),
            "missed": int(state["missed"]),
            "realtime": bool(state["realtime"]),
            "lateness_ms": _quantiles(late),
            "policy_ms": _quantiles(thought),
        }

    def close(self) -> None:
        """Stop the arm and end the servo process."""
        if self._process.is_alive():
            self._post(Verb.QUIT)
            self._process.join(5.0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        self._shared.finish()
        if self._recorder is not None:
            self._recorder.join(10.0)
        self._shared.close()

    def _look(self, state: Any) -> Array:
        q, dq, seen = state["q"][None], state["dq"][None], state["object"][None]
        pos, quat = self._kinematics.forward(q)
        jacobian = self._kinematics.jacobian(q)
        self.signals = Signals(
            q=q,
            dq=dq,
            tau=state["tau"][None],
            tool_pos=pos,
            tool_quat=quat,
            tool_vel=np.einsum("nij,nj->ni", jacobian[:, :3], dq),
            object_pos=seen[:, :3],
            object_quat=seen[:, 3:7],
            object_vel=seen[:, 7:],
            marker=self._marker,
            stamp=np.array([self._age * self.dt]),
        )
        self._obs, self._told = (
            self.family.observe(self.signals),
            (state["applied"].copy(), int(state["acted"])),
        )
        self._seen = time.monotonic()
        return self._obs

    def _applied(self, before: tuple[Array, int]) -> Array:
        """What was followed since ``before``, on average (1, a): a dropped action is none, and who is held stands."""
        ticks = self._told[1] - before[1]
        if not ticks:
            return standstill(self.family.action.spec)[None]
        return np.clip((self._told[0] - before[0]) / ticks, -1, 1)[None]

    def _post(self, verb: Verb, **values: Any) -> None:
        self._requests += 1
        self._shared.request.write(number=self._requests, verb=int(verb), **values)

    def _ask(self, verb: Verb, **values: Any) -> None:
        """Post a request and wait until it was heard; ArmError where it is refused."""
        self._post(verb, **values)
        state = self._await(lambda s: s["request"] >= self._requests, verb.name.lower())
        if state["refused"] == self._requests:
            raise ArmError(
                f"{verb.name.lower()} was refused, the arm is in {self.mode.name}: {self._latest()}"
            )

    def _await(self, ready: Any, what: str) -> Any:
        """The first published state for which ``ready``; ArmError when it does not come."""
        until = time.monotonic() + PATIENCE
        while not ready(state := self._shared.state.read()):
            if not self._process.is_alive():
                why = self._shared.last_words or "see what it said on standard error"
                raise ArmError(f"the servo process ended before it could {what}: {why}")
            if time.monotonic() > until:
                raise ArmError(
                    f"the arm did not {what} within {PATIENCE} s; it is in {self.mode.name}"
                )
            time.sleep(POLL)
        return state

    def _latest(self) -> str:
        return self.events[-1]["event"] if self.events else "no event"


def _make_driver(kind: Any, arm: ArmSpec, family: Family, options: dict[str, Any]) -> Driver:
    """Built in the servo's process; what it is given depends on the driver alone."""
    driver: Driver = kind(arm, family.scene, kind.Options(**options))
    return driver


def _quantiles(x: Array) -> dict[str, float]:
    if not len(x):
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    return {
        "p50": float(np.quantile(x, 0.5)),
        "p99": float(np.quantile(x, 0.99)),
        "max": float(x.max()),
    }
