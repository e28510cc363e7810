"""The nouns every package shares: a task, one step of a world, and what families and worlds promise.

Axes: n worlds, o observation, a action, j joints, p task parameters.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robots.actions import ActionMap
from robots.arm import Body, Limits
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Signals, Spec


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
            raise ValueError(
                f"values {self.values.shape} do not fit {len(self.ids)} tasks of {self.names}"
            )

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
    """How an episode begins."""

    q: Array  # (n, j) rad; a walker's root joints first
    dq: Array | None = None  # (n, j) rad/s; None: at rest
    object_pos: Array | None = None  # (n, 3) m; None: there is no object
    object_quat: Array | None = None  # (n, 4) w, x, y, z; None: not turned


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

    ``reward``, ``success``, ``terminated`` and ``metrics`` are functions of observations, so that
    the same lines serve simulation, a planner's imagined states and the arm. They are written with
    operators that NumPy arrays and torch tensors share and take any leading axes (..., k).
    """

    name: str
    body: Body
    limits: Limits  # those of the body, perhaps with a smaller tool box
    scene: Scene
    action: ActionMap
    obs: Spec
    dt: float  # s between two actions
    tick: float  # s between two setpoints, in simulation
    horizon: int  # actions per episode
    episodes: int  # episodes per trial
    task_names: tuple[str, ...]
    hidden_reward: bool  # the reward depends on task parameters that are not observed

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Draw n tasks of a split, ``"train"`` or ``"heldout"``.

        Raises:
            BadArgumentError: there is no such split.
        """
        ...

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Draw how an episode of each task begins."""
        ...

    def marker(self, task: Task) -> Array:
        """Position of the visible target of each task, (n, 3) m; NaN where nothing shows it."""
        ...

    def observe(self, signals: Signals) -> Array:
        """The observation (n, o) of a measurement."""
        ...

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Reward (...,) of transitions.

        Args:
            obs: (..., o) before the action.
            applied: (..., a) the action that reached the joints, in [-1, 1].
            next_obs: (..., o) after it.
            task: (..., p) task parameters; NaN where they are unknown.
        """
        ...

    def success(self, obs: ArrayLike, task: ArrayLike) -> ArrayLike:
        """Whether the goal is met in the state (..., o), (...,) bool."""
        ...

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """Whether the task itself is over in the state (..., o), (...,) bool."""
        ...

    def metrics(self, obs: ArrayLike, task: ArrayLike) -> dict[str, ArrayLike]:
        """Numbers in SI units that people understand, of an episode's last state (..., o).

        The name ends in its unit: ``{"distance_m": ...}``. Each value is (...,).
        """
        ...


class World(Protocol):
    """n tasks being acted in: a batch of simulations, or one arm."""

    n: int
    dt: float  # s between two actions
    family: Family

    def reset(self, task: Task) -> Array:
        """Begin an episode of n tasks; returns the observations (n, o).

        At an arm this blocks until the arm is at its start and the object is placed.

        Raises:
            ArmError: the arm does not reach the start.
        """
        ...

    def step(self, action: Array) -> Step:
        """Act for one control period with actions (n, a) in [-1, 1].

        At an arm this blocks until the control period has passed.

        Raises:
            ArmError: the arm cannot go on.
        """
        ...

    def close(self) -> None:
        """Stop and release everything; may be called twice."""
        ...
