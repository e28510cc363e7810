"""The nouns every package shares: a task, one step of a world, and what families and worlds promise.

Axes: n worlds, o observation, a action, j joints, p task parameters.
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robots.arm import ActionMap, Body, Limits
from robots.signals import Array, Signals


class Verdict(IntFlag):
    """What was done to a command between the policy and the joints, as flags."""

    OK = 0
    LIMITED = 1  # changed to stay inside a limit
    DROPPED = 2  # not finite, stale or out of order: not used
    HELD = 4  # no usable command: braking to, or at, a standstill
    STOPPED = 8  # controlled stop asked for by the operator or by the software
    FAULT = 16  # latched; only an operator's word clears it
    DIVERGED = 32  # the physics of this world broke down; its numbers mean nothing


@dataclass(frozen=True)
class Spec:
    """Named numbers with bounds and units: the columns of an observation or an action."""

    names: tuple[str, ...]
    low: Array  # (k,)
    high: Array  # (k,)
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.units) == len(self.low) == len(self.high):
            raise ValueError(f"names, units, low and high differ in length for {self.names}")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"a name stands twice in {self.names}")
        if not np.all(np.asarray(self.low) < np.asarray(self.high)):
            raise ValueError(f"low must lie below high for each of {self.names}")

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Task:
    """What differs between worlds, as data.

    Names are dotted: ``object.*``, ``joint.*`` and ``actuator.*`` are physics and are written into the engine,
    ``disturbance.*`` into the wires, ``goal.*`` and ``marker.*`` are read by the family alone. On an arm the
    physics are unknown: NaN.
    """

    names: tuple[str, ...]
    values: Array  # (n, p)
    ids: NDArray[np.int64]  # (n,)

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.ids), len(self.names)):
            raise ValueError(f"values {self.values.shape} do not fit {len(self.ids)} tasks of {self.names}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Array:
        """One parameter of every task, (n,)."""
        if name not in self.names:
            raise KeyError(f"no task parameter {name!r}; there are: {', '.join(self.names)}")
        return self.values[:, self.names.index(name)]

    def columns(self, *names: str) -> Array:
        """Several parameters of every task, (n, len(names))."""
        return np.stack([self[name] for name in names], axis=-1)

    def take(self, rows: NDArray[Any] | slice | list[int]) -> "Task":
        """Some of the tasks, by index or mask."""
        return Task(self.names, self.values[rows], self.ids[rows])


@dataclass(frozen=True)
class Start:
    """How an episode begins: joint positions (n, j), the object's pose (n, 3), (n, 4), and how fast."""

    q: Array
    object_pos: Array
    object_quat: Array
    dq: Array | None = None  # (n, j); at rest, where it is not said


@dataclass(frozen=True)
class Step:
    """What one action led to, for n worlds."""

    obs: Array  # (n, o)
    reward: Array  # (n,)
    terminated: NDArray[np.bool_]  # (n,) the task itself ended: no value follows
    truncated: NDArray[np.bool_]  # (n,) only the time was up
    success: NDArray[np.bool_]  # (n,) the goal is met in this state
    applied: Array  # (n, a) the action as it reached the joints
    verdict: NDArray[np.int64]  # (n,) Verdict flags
    stamp: Array  # (n,) s since the episode began


class Family(Protocol):
    """A distribution of tasks on one body: pure, batched and free of any engine.

    ``reward`` and ``success`` take observations, so that the same lines serve simulation, a planner's imagined
    states and the arm; they are written with operators that NumPy arrays and torch tensors share, and take any
    leading axes.
    """

    name: str
    body: Body
    limits: Limits  # the body's, perhaps with a smaller box for the tool
    scene: Any  # sim.engine.Scene
    engines: tuple[str, ...]  # that can carry it, the best first
    action: ActionMap
    obs: Spec
    dt: float  # s between two actions
    tick: float  # s between two setpoints, in simulation
    horizon: int  # actions per episode
    episodes: int  # episodes per trial
    task_names: tuple[str, ...]
    hidden_reward: bool  # the reward depends on task parameters that are not observed

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task: ...

    def start(self, rng: np.random.Generator, task: Task) -> Start: ...

    def marker(self, task: Task) -> Array: ...

    def observe(self, signals: Signals) -> Array: ...

    def reward(self, obs: Any, applied: Any, next_obs: Any, task: Any) -> Any: ...

    def success(self, obs: Any, task: Any) -> Any: ...

    def terminated(self, obs: Any) -> Any: ...


class World(Protocol):
    """n tasks being acted in: a simulation's batch, or one arm."""

    n: int
    dt: float
    family: Family

    def reset(self, task: Task) -> Array: ...

    def step(self, action: Array) -> Step: ...

    def close(self) -> None: ...
