"""How fast worlds are simulated, against their physics alone in C. Axes: H decisions, n worlds.

``VecWorld`` simulates an episode with everything on: a model per world, action map, gate,
observation and reward. What it asked of ``mujoco.batch`` is then repeated from the same states,
without all that: the upper limit of any loop in Python.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from robots.scene import Scene
from robots.signals import Array
from robots.world import Family, Task
from sim.engines.mujoco import MujocoEngine
from sim.vec_world import VecWorld

Clock = Callable[[], float]  # s


@dataclass(frozen=True)
class Stretch:
    """Physics steps in a row, in the same worlds with the same time steps."""

    control: Array  # (m, steps, j)
    worlds: NDArray[np.int64] | None  # (m,) None: all
    timestep: Array | None  # (m,) s, of these worlds; None: the scene's


class RecordingEngine(MujocoEngine):
    """MuJoCo's engine, which keeps what it asked of ``mujoco.batch``."""

    def load(self, scene: Scene, n: int) -> None:
        """As ``MujocoEngine.load``, with an empty record."""
        super().load(scene, n)
        self.stretches: list[Stretch] = []

    def _step(self, control: Array, ids: NDArray[np.int64] | None) -> None:
        timestep = None if ids is None else self._timestep[ids].copy()
        self.stretches.append(Stretch(control, ids, timestep))
        super()._step(control, ids)

    def repeat(self, stretches: list[Stretch]) -> None:
        """Nothing but the physics of an episode that was recorded, from its start."""
        for stretch in stretches:
            if stretch.timestep is not None:
                self._timestep[stretch.worlds] = stretch.timestep
            self.batch.rollout(
                stretch.control.shape[1], stretch.control, record=(), ids=stretch.worlds
            )
        self._is_stale = True


@dataclass(frozen=True)
class Episode:
    """Tasks, where they start, what a policy does and the control signals that follow from it."""

    family: Family
    task: Task
    state: Array  # (n, nq + nv) at the start
    actions: Array  # (H, n, a)
    stretches: list[Stretch]
    models: list[mujoco.MjModel] = field(repr=False)

    @property
    def control(self) -> Array:
        """The control signals of a family without fine steps, (n, physics steps, j)."""
        return np.concatenate([stretch.control for stretch in self.stretches], 1)

    @property
    def control_steps(self) -> int:
        """Control periods of all worlds."""
        return len(self.task) * self.family.horizon * self.family.action_repeat


def random_actions(family: Family, n: int) -> Array:
    """Uniform actions of an episode, (H, n, a): the same every time."""
    shape = (family.horizon, n, len(family.action.spec))
    return np.random.default_rng(0).uniform(-1, 1, shape)


def record(family: Family, n: int) -> Episode:
    """An episode of random actions in MuJoCo."""
    engine = RecordingEngine()
    world = VecWorld(family, engine, n)
    task = family.sample(np.random.default_rng(0), n)
    world.reset(task)
    state = np.concatenate([engine.batch.bind("qpos"), engine.batch.bind("qvel")], 1)
    actions = random_actions(family, n)
    for action in actions:
        world.step(action)
    stretches = engine.stretches
    if family.scene.contact_timestep is None:  # one call for the whole episode
        joined = np.concatenate([stretch.control for stretch in stretches], 1)
        stretches = [Stretch(joined, None, None)]
    models = [engine.batch.get_model(i) for i in range(n)]
    return Episode(family, task, state, actions, stretches, models)


def vec_world_run(
    world: VecWorld, task: Task, actions: Array, clock: Clock = time.perf_counter
) -> Callable[[], float]:
    """What takes the time of an episode in a world: the seconds of its decisions (H, n, a)."""

    def run() -> float:
        world.reset(task)
        return timed(lambda: [world.step(action) for action in actions], clock)

    return run


def open_loop_run(
    episode: Episode, threads: int | None = None, clock: Clock = time.perf_counter
) -> Callable[[], float]:
    """The same of the episode's physics alone; ``threads`` default to the cores."""
    engine = RecordingEngine(threads)
    world = VecWorld(episode.family, engine, len(episode.task))

    def run() -> float:
        world.reset(episode.task)
        return timed(lambda: engine.repeat(episode.stretches), clock)

    return run


def timed(work: Callable[[], Any], clock: Clock = time.perf_counter) -> float:
    """The seconds that a call takes, by a clock in s."""
    began = clock()
    work()
    return clock() - began


def median_seconds(runs: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median duration of each run, s.

    Args:
        runs: by name; each does its work and returns the seconds it took.
        repeats: each run takes its turn in every repeat; one more before them is the warm-up.
    """
    rows = []
    for _ in range(1 + repeats):
        rows.append([run() for run in runs.values()])
    medians = np.median(rows[1:], 0)
    return dict(zip(runs, medians.tolist(), strict=True))
