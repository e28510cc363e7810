"""An episode to show, as it was measured. Axes: T moments, j joints."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from robots.signals import Array, Signals
from robots.world import Family, Task
from sim.interpolation import interpolate
from sim.vec_world import VecWorld

Image = NDArray[np.uint8]  # (h, w, 3)

FRAME_RATE = 30  # Hz
ACTION_DURATION = 0.25  # s that a random action is held for


@dataclass(frozen=True)
class Clip:
    """One episode to show, as it was measured."""

    title: str
    task: dict[str, float]  # parameters of the task, among them those of its object
    t: Array  # (T,) s
    q: Array  # (T, j) rad or m
    object_pos: Array  # (T, 3) m; NaN without an object
    object_quat: Array  # (T, 4) w, x, y, z
    marker: Array  # (3,) m, the visible target; NaN without one

    def resample(self, times: Array) -> "Clip":
        """The clip at other moments, (S,) s, by linear interpolation."""
        return replace(
            self,
            t=times,
            q=interpolate(times, self.t, self.q),
            object_pos=interpolate(times, self.t, self.object_pos),
            object_quat=interpolate(times, self.t, self.object_quat),
        )

    def frame_times(self) -> Array:
        """The moments of a video's frames, (S,) s."""
        return np.arange(self.t[0], self.t[-1], 1 / FRAME_RATE)


def record_trial(family: Family, seed: int) -> list[Clip]:
    """One clip per episode of a trial under random actions."""
    rng = np.random.default_rng(seed)
    world = VecWorld(family, n=1, seed=seed)
    task = family.sample(rng, 1)
    clips = []
    for episode in range(family.episodes):
        measured = _record_episode(world, task, rng)
        title = f"{family.name}, random actions, episode {episode + 1}"
        t = np.array([float(signals.stamp[0]) for signals in measured])
        clips.append(make_clip(title, task, t, measured))
    world.close()
    return clips


def _record_episode(world: VecWorld, task: Task, rng: np.random.Generator) -> list[Signals]:
    """The signals at the start and after every control period."""
    family = world.family
    decisions = round(ACTION_DURATION / (family.dt * family.action_repeat))
    actions_held = max(1, decisions)
    action_dim = len(family.action.spec)
    action_shape = (1, action_dim)
    world.reset(task)
    measured = [world.signals]

    def keep(world: VecWorld) -> None:
        measured.append(world.signals)

    world.on_frame = keep
    for k in range(family.horizon):
        if k % actions_held == 0:
            action = rng.uniform(-1, 1, action_shape)
        world.step(action)
    return measured


def make_clip(
    title: str,
    task: Task,
    t: Array,
    measured: list[Signals],
    index: int = 0,
) -> Clip:
    """A clip of the world ``index`` from its signals at T moments."""
    parameters = task.values[index].tolist()
    return Clip(
        title=title,
        task=dict(zip(task.names, parameters, strict=True)),
        t=t,
        q=np.stack([signals.q[index] for signals in measured]),
        object_pos=np.stack([signals.object_pos[index] for signals in measured]),
        object_quat=np.stack([signals.object_quat[index] for signals in measured]),
        marker=measured[0].marker[index],
    )
