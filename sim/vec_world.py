"""n simulated tasks in parallel: a World over any engine, with the same gate as a real arm."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robots.bodies import make_gate
from robots.errors import BadArgumentError
from robots.joint_steps import clip
from robots.scene import Scene
from robots.signals import Array, Mask, Setpoint, Signals, Verdict
from robots.world import Family, Start, Step, Task
from sim.disturbances import Disturbances
from sim.engines import ENGINES, engine_for
from sim.engines.base import Engine, stack_ticks
from sim.joint_faults import JointFaults

DIVERGED = int(Verdict.DIVERGED)


class VecWorld:
    """A World of n worlds, each with its own task and physics."""

    signals: Signals  # the newest, with the marker and without disturbances: for viewers
    on_frame: Callable[["VecWorld"], None] | None = None  # called after every control period

    def __init__(
        self,
        family: Family,
        engine: str | Engine | None = None,
        n: int = 1,
        seed: int = 0,
    ) -> None:
        """Load the family's scene n times.

        Args:
            family: what is simulated.
            engine: a registered name, or an engine that is not loaded yet; None: the first
                registered one that supports the family's scene.
            n: number of worlds.
            seed: of the episodes' starts and of the disturbances.

        Raises:
            BadArgumentError: the engine does not support the scene, or the family's times do not
                divide one another.
        """
        self.family = family
        self.n = n
        self.dt = family.dt
        self.tick = family.tick
        self.rng = np.random.default_rng(seed)
        self.task: Task | None = None
        self.engine = _as_engine(engine, family.scene)
        self.engine.load(family.scene, n)
        self.gate = make_gate(family.body, family.limits, self.tick, n)
        self._ticks = _whole_ratio(family.dt, self.tick)
        self._substeps = _whole_ratio(self.tick, family.scene.timestep)
        actions = len(family.action.spec)
        self._action_shape = (n, actions)
        self._disturbances = Disturbances(n, family.obs, actions, self.dt)
        self._faults = JointFaults(family.body, n)
        self._decision_time = self.dt * family.action_repeat  # s that ``step`` takes
        self._age = np.zeros(n, dtype=np.int64)  # decisions since the episode began

    def reset(self, task: Task, mask: Mask | None = None, start: Start | None = None) -> Array:
        """Begin an episode of n tasks, or only of those in ``mask`` (n,).

        Args:
            task: one row per world.
            mask: the worlds that begin; None: all.
            start: where they begin; None: the family draws it.

        Returns:
            Observations (n, o).

        Raises:
            BadArgumentError: there are not n tasks.
        """
        if len(task) != self.n:
            raise BadArgumentError(f"{len(task)} tasks do not fit a world of {self.n}")
        family = self.family
        rows = np.ones(self.n, dtype=bool)
        if mask is not None and self.task is not None:
            rows = np.asarray(mask, dtype=bool)
            task = _merge(self.task, task, rows)
        if start is None:
            start = family.start(self.rng, task)
        self.task = task
        self._age[rows] = 0
        self._task_values = task.columns(*family.task_names)
        self._marker = family.marker(task)
        self.engine.write(task, rows)
        self.engine.reset(start, rows)
        self.gate.reset(start.q, rows)
        standstill = family.action.standstill(self.gate.setpoint)
        self._disturbances.begin(task, rows, standstill)
        self._faults.begin(task, start.q, rows)
        self._true_obs = self._observe()
        return self._disturbances.observation(self._true_obs, self.rng)

    def step(self, action: Array) -> Step:
        """Hold actions (n, a) in [-1, 1] for ``family.action_repeat`` control periods.

        Actions outside that range are clipped; the gate drops an action that is NaN.

        Raises:
            RuntimeError: the world was not reset before.
            BadArgumentError: the actions have another shape.
        """
        if self.task is None:
            raise RuntimeError("reset the world before its first step")
        action = np.asarray(action, dtype=np.float64)
        if action.shape != self._action_shape:
            raise BadArgumentError(f"actions must be {self._action_shape}, got {action.shape}")
        clipped = clip(action, -1.0, 1.0)
        repeat = self.family.action_repeat
        applied = np.zeros(self._action_shape)
        verdict = np.zeros(self.n, dtype=np.int64)
        for _ in range(repeat):
            self._disturbances.post(clipped)
            period_applied, period_verdict = self._run_control_period()
            applied += period_applied
            verdict |= period_verdict
            self._show_frame()
        self._age += 1
        return self._finish_step(applied / repeat, verdict)

    def _show_frame(self) -> None:
        """Pass the signals to a viewer or recorder after a control period."""
        if self.on_frame is not None:
            self.signals = self._measure()
            self.on_frame(self)

    def _finish_step(self, applied: Array, verdict: NDArray[np.int64]) -> Step:
        """Observe and reward; a world that diverged keeps its last observation, with reward 0.

        A world whose reward is not finite counts as diverged too.
        """
        family = self.family
        task = self._task_values
        obs = self._true_obs
        next_obs = self._observe()
        is_finite = np.isfinite(next_obs).all(-1)
        diverged = self.engine.diverged | ~is_finite
        if diverged.any():
            next_obs = np.where(diverged[:, None], obs, next_obs)
        reward = family.reward(obs, applied, next_obs, task)
        diverged |= ~np.isfinite(reward)
        is_valid = ~diverged
        self._true_obs = next_obs
        return Step(
            obs=self._disturbances.observation(next_obs, self.rng),
            reward=np.where(diverged, 0.0, reward),
            terminated=family.terminated(next_obs) & is_valid,
            truncated=self._age >= family.horizon,
            success=family.success(next_obs, task) & is_valid,
            applied=applied,
            verdict=verdict | diverged * DIVERGED,
            stamp=np.asarray(self._age * self._decision_time, dtype=np.float64),
        )

    def _run_control_period(self) -> tuple[Array, NDArray[np.int64]]:
        """Pass every tick's command through the gate, then simulate all ticks at once.

        Returns:
            The mean action in effect (n, a), with the standstill action for NaN, and
            the gate's Verdict flags (n,).
        """
        applied = np.zeros(self._action_shape)
        verdict = np.zeros(self.n, dtype=np.int64)
        commands = []
        for tick in range(self._ticks):
            elapsed = tick * self.tick
            action = self._disturbances.action(elapsed)
            setpoint = self.gate.setpoint
            applied += self._usable(action, setpoint)
            target = self.family.action(action, setpoint)
            command, flags = self.gate(target)
            verdict |= flags
            commands.append(command)
        stacked = stack_ticks(commands)
        self.engine.run(self._faults(stacked), self._substeps)
        return applied / self._ticks, verdict

    def _usable(self, action: Array, setpoint: Setpoint) -> Array:
        """Actions (n, a), with the standstill action for those that have a NaN."""
        is_nan = np.isnan(action)
        if not is_nan.any():
            return action
        rows = is_nan.any(-1, keepdims=True)
        standstill = self.family.action.standstill(setpoint)
        return np.where(rows, standstill, action)

    def _observe(self) -> Array:
        """The true observation (n, o) of fresh signals."""
        self.signals = self._measure()
        return self.family.observe(self.signals)

    def _measure(self) -> Signals:
        """Fresh signals, with the position of the target."""
        return replace(self.engine.read(), marker=self._marker)

    def close(self) -> None:
        """Release the engine."""
        self.engine.close()


def _as_engine(engine: str | Engine | None, scene: Scene) -> Engine:
    """The engine itself, or a new one by its name or for the scene."""
    if engine is None or isinstance(engine, str):
        name = engine_for(scene, engine)
        created: Engine = ENGINES[name]()
        return created
    return engine


def _merge(old: Task, new: Task, rows: Mask) -> Task:
    """The new tasks in ``rows`` (n,), the old ones elsewhere."""
    values = np.where(rows[:, None], new.values, old.values)
    ids = np.where(rows, new.ids, old.ids)
    return Task(new.names, values, ids)


def _whole_ratio(long: float, short: float) -> int:
    """The ratio of ``long`` to ``short``, a whole number.

    Raises:
        BadArgumentError: the ratio is not whole.
    """
    ratio = round(long / short)
    if ratio < 1 or abs(ratio * short - long) > 1e-9:
        raise BadArgumentError(f"{long} s is not a whole number of {short} s")
    return ratio
