"""n simulated tasks acted in at once: a World over any engine, through the gate that an arm has too."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robots.actions import standstill
from robots.arm import ArmSpec, Walker
from robots.kinematics import Kinematics
from robots.safety import SafetyGate, TorqueGate
from robots.signals import Array, Signals, Verdict
from robots.world import Family, Step, Task
from sim.disturbances import Disturbances
from sim.engines import ENGINES
from sim.engines.base import Engine


class VecWorld:
    """A World of n worlds, each with a task and physics of its own."""

    signals: Signals  # of the last step, undisturbed and with the marker: for viewers

    def __init__(
        self, family: Family, engine: str | Engine | None = None, n: int = 1, seed: int = 0
    ) -> None:
        """``engine`` is a registered name, or the family's own choice; ValueError where it cannot carry the family."""
        name = engine if isinstance(engine, str) else family.engines[0]
        if isinstance(engine, str) and name not in family.engines:
            raise ValueError(f"{family.name} runs on {', '.join(family.engines)}, not on {name}")
        self.family, self.n, self.dt = family, n, family.dt
        self.rng = np.random.default_rng(seed)
        self.engine: Engine = (
            ENGINES[name]() if engine is None or isinstance(engine, str) else engine
        )
        self.engine.load(family.scene, n)
        self.tick = family.tick
        self._ticks, self._substeps = (
            _whole(family.dt, self.tick),
            _whole(self.tick, family.scene.timestep),
        )
        body = family.body
        kinematics = Kinematics(body) if isinstance(body, ArmSpec) else None
        self.gate = (
            TorqueGate(family.limits, n)
            if isinstance(body, Walker)
            else SafetyGate(family.limits, self.tick, n, kinematics)
        )
        self._still = standstill(family.action.spec)
        self._wires = Disturbances(n, family.obs, self._still, self.dt)
        self._age = np.zeros(n, dtype=np.int64)  # actions since the episode began
        self.task: Task | None = None

    def reset(self, task: Task, mask: NDArray[np.bool_] | None = None) -> Array:
        """Begin an episode of n tasks, or of those in ``mask`` (n,) alone; returns observations (n, o)."""
        if len(task) != self.n:
            raise ValueError(f"{len(task)} tasks do not fit a world of {self.n}")
        rows = (
            np.ones(self.n, dtype=bool)
            if mask is None or self.task is None
            else np.asarray(mask, dtype=bool)
        )
        if self.task is not None and not rows.all():
            task = Task(
                task.names,
                np.where(rows[:, None], task.values, self.task.values),
                np.where(rows, task.ids, self.task.ids),
            )
        start = self.family.start(self.rng, task)
        self.task, self._age = task, np.where(rows, 0, self._age)
        self._values = task.columns(
            *self.family.task_names
        )  # what the family reads, whatever else a task names
        self._marker = self.family.marker(task)
        self.engine.write(task, rows)
        self.engine.reset(start, rows)
        self.gate.reset(start.q, rows)
        self._wires.begin(task, rows)
        self._true = self._look()
        return self._wires.observation(self._true, self.rng)

    def step(self, action: Array) -> Step:
        """One control period of n actions in [-1, 1], (n, a); the gate drops an action that is NaN."""
        if self.task is None:
            raise RuntimeError("reset the world before its first step")
        action = np.asarray(action, dtype=np.float64)
        if action.shape != (self.n, len(self.family.action.spec)):
            raise ValueError(
                f"actions must be {(self.n, len(self.family.action.spec))}, got {action.shape}"
            )
        self._wires.post(np.clip(action, -1, 1))
        applied, verdict = np.zeros_like(action), np.zeros(self.n, dtype=np.int64)
        for k in range(self._ticks):
            now = self._wires.action(k * self.tick)
            applied += np.where(np.isnan(now).any(-1, keepdims=True), self._still, now)
            command, flags = self.gate(self.family.action(now, self.gate.setpoint))
            verdict |= flags
            self.engine.step(command, self._substeps)
        applied /= self._ticks
        self._age += 1

        seen = self._look()
        broken = self.engine.diverged | ~np.isfinite(seen).all(-1)
        seen = np.where(broken[:, None], self._true, seen)
        reward = self.family.reward(self._true, applied, seen, self._values)
        self._true = seen
        return Step(
            obs=self._wires.observation(seen, self.rng),
            reward=np.where(broken, 0.0, reward),
            terminated=self.family.terminated(seen) & ~broken,
            truncated=self._age >= self.family.horizon,
            success=self.family.success(seen, self._values) & ~broken,
            applied=applied,
            verdict=verdict | np.where(broken, int(Verdict.DIVERGED), 0),
            stamp=np.asarray(self._age * self.dt, dtype=np.float64),
        )

    def _look(self) -> Array:
        self.signals = replace(self.engine.read(), marker=self._marker)
        return self.family.observe(self.signals)

    def close(self) -> None:
        """Release the engine."""
        self.engine.close()


def _whole(long: float, short: float) -> int:
    """How often ``short`` goes into ``long``; ValueError unless it does exactly."""
    times = round(long / short)
    if times < 1 or abs(times * short - long) > 1e-9:
        raise ValueError(f"{long} s is not a whole number of {short} s")
    return times
