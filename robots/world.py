"""The types that all packages share: tasks, steps, and the protocols of families and worlds.

Axes: n worlds, o observation, a action, j joints, p task parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robots.actions import ActionMap
from robots.arm import Body, Limits
from robots.errors import BadArgumentError, UnknownNameError
from robots.reward import RewardFunction
from robots.scene import Scene
from robots.signals import Array, ArrayLike, Mask, Pose, Signals, Spec


@dataclass(frozen=True)
class Task:
    """n tasks as data: the parameters that differ between worlds.

    A parameter's name is dotted, and its first part says what uses it: an object's name, ``joint``,
    ``actuator``, ``body``, ``geom`` and ``fixture`` are physics, written into the engine's model;
    ``disturbance`` is applied between policy and engine (noise, delay); ``goal`` and ``marker`` are
    read by the family only. On an arm the physics are unknown: NaN.
    """

    names: tuple[str, ...]  # p parameters
    values: Array  # (n, p)
    ids: NDArray[np.int64]  # (n,), the same id if a task is visited again

    def __post_init__(self) -> None:
        """Check that the shapes fit; BadArgumentError where they do not."""
        shape = (len(self.ids), len(self.names))
        if self.values.shape != shape:
            raise BadArgumentError(
                f"values {self.values.shape} do not fit {shape[0]} tasks of {self.names}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, name: str) -> Array:
        """One parameter of every task, (n,); UnknownNameError lists the names that exist."""
        if name not in self.names:
            known = ", ".join(self.names)
            message = f"no task parameter {name!r}; there are: {known}"
            raise UnknownNameError(message)
        column = self.names.index(name)
        return self.values[:, column]

    def columns(self, *names: str) -> Array:
        """Several parameters of every task, (n, len(names))."""
        return np.stack([self[name] for name in names], axis=-1)

    def with_columns(self, columns: Mapping[str, Array]) -> "Task":
        """The same tasks with some parameters replaced, (n,) each."""
        values = self.values.copy()
        for name, column in columns.items():
            values[:, self.names.index(name)] = column
        return Task(self.names, values, self.ids)

    def take(self, rows: NDArray[np.int64] | Mask | slice | list[int]) -> "Task":
        """Some of the tasks, by index or by mask (n,)."""
        return Task(self.names, self.values[rows], self.ids[rows])


@dataclass(frozen=True)
class Start:
    """How an episode of n worlds begins."""

    q: Array  # (n, j) rad, joint positions; a walker's root joints first
    dq: Array | None = None  # (n, j) rad/s; None: at rest
    # of the scene's first object
    object_pos: Array | None = None  # (n, 3) m; None: where the scene says, if there is an object
    object_quat: Array | None = None  # (n, 4) w, x, y, z; None: the identity
    # further objects by name; those that are not named begin where the scene says
    objects: Mapping[str, Pose] | None = None


@dataclass(frozen=True)
class Step:
    """The outcome of one action in n worlds."""

    obs: Array  # (n, o), after the action
    reward: Array  # (n,)
    terminated: Mask  # (n,), the task itself has ended: the value of this state is 0
    truncated: Mask  # (n,), time limit: the value of this state is bootstrapped
    success: Mask  # (n,), the goal is met in this state
    applied: Array  # (n, a) in [-1, 1], mean action that reached the joints, perhaps delayed
    verdict: NDArray[np.int64]  # (n,) Verdict flags of all ticks of the action
    stamp: Array  # (n,) s since the episode began


class Family(Protocol):
    """A distribution of tasks on one body: pure, batched and independent of any engine.

    ``reward``, ``success``, ``terminated`` and ``metrics`` are functions of observations, so that
    the same lines serve simulation, a planner's imagined states and the arm. They are written with
    operators that NumPy arrays and torch tensors share, and take any leading axes (..., k).

    The properties do not change while a family is in use; plain class attributes serve as well.
    """

    @property
    def name(self) -> str:
        """The name that reports and messages use."""
        ...

    @property
    def body(self) -> Body:
        """What is moved."""
        ...

    @property
    def limits(self) -> Limits:
        """The limits that the gate keeps: those of the body, perhaps with a smaller tool box."""
        ...

    @property
    def scene(self) -> Scene:
        """What an engine simulates: the body, and perhaps objects and fixtures."""
        ...

    @property
    def action(self) -> ActionMap:
        """The map from an action (a,) in [-1, 1] to a joint command."""
        ...

    @property
    def obs(self) -> Spec:
        """Columns (o,) of an observation, with the range that scales them and their unit."""
        ...

    @property
    def dt(self) -> float:
        """The control period: s between two actions that are posted to the joints."""
        ...

    @property
    def action_repeat(self) -> int:
        """The number of control periods for which an action is held."""
        ...

    @property
    def tick(self) -> float:
        """s between two setpoints in simulation; on an arm the driver's capabilities decide."""
        ...

    @property
    def horizon(self) -> int:
        """Decisions of the policy per episode."""
        ...

    @property
    def episodes(self) -> int:
        """Episodes per trial."""
        ...

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the p parameters of a task, in the order of the ``task`` argument below."""
        ...

    @property
    def goal_names(self) -> tuple[str, ...]:
        """Columns of an observation that are the goal: only the reward depends on them.

        Methods may relabel transitions with other goals and recompute their rewards.
        """
        ...

    @property
    def hidden_reward(self) -> bool:
        """Whether the reward depends on task parameters that are not observed."""
        ...

    @property
    def training_reward(self) -> RewardFunction | None:
        """A dense reward for actors and critics in training, where the task is known.

        For rewards that are too sparse to be found by chance; beliefs read the true reward.
        None: there is no other reward.
        """
        ...

    def sample(self, rng: np.random.Generator, n: int, split: str = "train") -> Task:
        """Draw n tasks of a split, ``"train"`` or ``"heldout"``.

        Raises:
            BadArgumentError: there is no such split.
        """
        ...

    def start(self, rng: np.random.Generator, task: Task) -> Start:
        """Draw the start of an episode of each task."""
        ...

    @property
    def observes_state(self) -> bool:
        """Whether an observation determines the whole state, so that ``state_of`` works."""
        ...

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """The state that belongs to observations (n, o), to continue a simulation from.

        Returns:
            The tasks, with their observed parameters, such as a target, set to the observed values;
            and the start that has these observations.

        Raises:
            NotImplementedError: observations do not determine the state (``observes_state``).
        """
        ...

    def marker(self, task: Task) -> Array:
        """Position of the visible target of each task, (n, 3) m; NaN where there is none."""
        ...

    def observe(self, signals: Signals) -> Array:
        """The observation (n, o) that a measurement gives."""
        ...

    def reward(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Reward (...,) of transitions.

        Args:
            obs: (..., o) before the action.
            applied: (..., a) in [-1, 1], the action that reached the joints.
            next_obs: (..., o) after the action.
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
        """Physical quantities of an episode's last state (..., o), by name.

        They show how well the task was solved to somebody who does not know the reward. A name ends
        in its SI unit: ``{"distance_m": ...}``. Each value is (...,).
        """
        ...


class World(Protocol):
    """n tasks in which a policy acts: a batch of simulations, or one arm."""

    @property
    def n(self) -> int:
        """Number of tasks."""
        ...

    @property
    def dt(self) -> float:
        """The control period, s; ``step`` takes ``family.action_repeat`` of them."""
        ...

    @property
    def family(self) -> Family:
        """The family of the tasks."""
        ...

    def reset(self, task: Task) -> Array:
        """Begin an episode of n tasks; returns the observations (n, o).

        On an arm this blocks until the arm is at its start and the object is placed.

        Raises:
            BadArgumentError: not n tasks, or a start outside the limits.
            ArmError: the arm does not reach the start.
        """
        ...

    def step(self, action: Array) -> Step:
        """Hold actions (n, a) in [-1, 1] for ``family.action_repeat`` control periods.

        On an arm in real time this blocks until they have passed.

        Raises:
            BadArgumentError: the actions have another shape.
            ArmError: the arm cannot continue.
        """
        ...

    def close(self) -> None:
        """Stop and release everything; may be called twice."""
        ...
