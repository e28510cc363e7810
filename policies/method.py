"""The interface of methods: a belief about the task, from which they act and which they update.

Axes: n worlds, E episodes, H steps, o observation, a action, p task parameters. Everything in this
package is torch on one device; NumPy ends at the loop that calls it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from policies.belief import map_tensors
from policies.ranges import Count, LargeCount, WholeNumber
from robots.signals import ArrayLike

B = TypeVar("B")


class Reward(Protocol):
    """A family's reward as a function of data."""

    def __call__(
        self, obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike
    ) -> ArrayLike:
        """Rewards (...,) of transitions (..., k) and task parameters (..., p)."""
        ...


class Simulate(Protocol):
    """The family's own simulator as a function."""

    def __call__(self, task: Tensor, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Act in m worlds for h ticks.

        Args:
            task: (m, p) task parameters. Those that the observation shows, such as a visible
                target, are taken from the observation.
            obs: (m, o) where each world starts.
            actions: (m, h, a) in [-1, 1].

        Returns:
            Observations (m, h, o) after each action, and rewards (m, h); NaN from the tick on in
            which a world's physics diverged.
        """
        ...


@dataclass(frozen=True)
class Problem:
    """All that a method knows about a family in advance: shapes, horizon, and what is hidden."""

    family: str
    obs_names: tuple[str, ...]
    obs_low: tuple[float, ...]
    obs_high: tuple[float, ...]
    action_names: tuple[str, ...]
    horizon: int
    episodes: int
    task_names: tuple[str, ...]
    task_low: tuple[float, ...]  # range over both splits
    task_high: tuple[float, ...]  # as low where a parameter is the same in every task
    reward: Reward | None  # the family's own; None if it depends on hidden parameters
    # columns of an observation that say what the goal is, and nothing else depends on
    goal_columns: tuple[int, ...] = ()
    # the family's simulator; None if an observation does not determine the simulator's state
    simulate: Simulate | None = None
    # reward that actors and critics learn from in training; None: the true reward
    training_reward: Reward | None = None
    # the family's reward for known tasks, as in training, even if it depends on hidden parameters
    true_reward: Reward | None = None

    @property
    def obs_dim(self) -> int:
        """Number of observations, o."""
        return len(self.obs_names)

    @property
    def action_dim(self) -> int:
        """Number of actions, a."""
        return len(self.action_names)

    @property
    def task_dim(self) -> int:
        """Number of task parameters, p."""
        return len(self.task_names)

    def task_range(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Low and high, (k,) each, of the task parameters in columns (k,), to scale them by.

        The width of a constant parameter is taken as 1, since scaling divides by it.
        """
        device = columns.device
        low = torch.tensor(self.task_low, device=device)[columns]
        high = torch.tensor(self.task_high, device=device)[columns]
        return low, torch.where(high > low, high, low + 1)


@dataclass(frozen=True)
class Transition:
    """One tick of n worlds, or any stack of ticks: all fields share their leading axes."""

    obs: Tensor  # (..., o)
    action: Tensor  # (..., a) as the policy chose it: for likelihood ratios
    applied: Tensor  # (..., a) as it passed the gate: for dynamics and context
    reward: Tensor  # (...,)
    next_obs: Tensor  # (..., o)
    terminated: Tensor  # (...,) bool, the task ended: no value follows
    truncated: Tensor  # (...,) bool, only the time was up
    first: Tensor  # (...,) bool, first tick of a new task (not of an episode)
    begins: Tensor  # (...,) bool, first tick of an episode
    valid: Tensor  # (...,) bool, False after a world ended early or its physics diverged

    def __getitem__(self, index: Any) -> Self:
        """Index the leading axes: ``ticks[0]``, ``ticks[:, rows]``, ``ticks[mask]``."""
        return map_tensors(lambda x: x[index], self)

    def flatten(self, start: int, end: int) -> Self:
        """Merge the leading axes from ``start`` to ``end``, both included."""
        return map_tensors(lambda x: x.flatten(start, end), self)

    def transpose(self, first: int, second: int) -> Self:
        """Swap two leading axes."""
        return map_tensors(lambda x: x.transpose(first, second), self)


def with_training_reward(problem: Problem, ticks: Transition, task: Tensor) -> Transition:
    """Ticks (..., k) with the rewards that are learned from, of tasks (..., p)."""
    if problem.training_reward is None:
        return ticks
    reward: Any = problem.training_reward(ticks.obs, ticks.applied, ticks.next_obs, task)
    return replace(ticks, reward=reward)


def stack(ticks: Sequence[Transition], dim: int = 0) -> Transition:
    """Ticks (n, ...) to one Transition (H, n, ...)."""
    columns = {f.name: [getattr(tick, f.name) for tick in ticks] for f in fields(Transition)}
    return Transition(**{name: torch.stack(column, dim) for name, column in columns.items()})


@dataclass(frozen=True)
class TrialBatch:
    """One trial of n tasks: E episodes of H ticks with the belief carried over between them."""

    ticks: Transition  # every field leads with (E, H, n)
    task: Tensor  # (n, p) true parameters; NaN where unknown. Only privileged methods act on them
    task_ids: Tensor  # (n,)
    success: Tensor  # (E, n) bool, in the last valid state of each episode
    noise: Tensor | None = None  # (E, n, l) of a method that ``DrawsNoise``

    @property
    def returns(self) -> Tensor:
        """Undiscounted return per episode, (E, n)."""
        return (self.ticks.reward * self.ticks.valid).sum(1)

    def sequences(self) -> Transition:
        """All episodes as one sequence (L, n, ...), L = E·H.

        The valid ticks of a world come first, in time order; the others follow.
        """
        ticks = self.ticks.flatten(0, 1)
        order = (~ticks.valid).int().argsort(dim=0, stable=True)  # (L, n)
        worlds = torch.arange(order.shape[1], device=order.device)
        return ticks[order, worlds]  # tick order[t, i] of world i at place (t, i)


@dataclass(frozen=True)
class CollectionSchedule:
    """What training collects between two calls of ``learn``."""

    meta_batch: Count  # tasks of an iteration, acted in at once
    episodes_per_trial: Count  # episodes of each task, with the belief carried over
    random_trials: WholeNumber = 0  # trials of random actions before the first gradient step
    iterations: LargeCount = 100  # iterations of a full training: collect trials, then learn
    # collect the next iteration while the present one is learned, with the weights from before it;
    # only for methods that learn from a replay. A second core saves time; results are the same
    overlap: bool = False


class Method(Protocol[B]):
    """policy = f(belief, obs); belief = f(past).

    Built as ``Method(problem, config, seed, device)``. All tensors are made on ``device``. All
    randomness comes from generators seeded with ``seed``; all state, generators included, passes
    through ``state_dict``, so that a run resumes bit for bit.
    """

    problem: Problem
    config: Any  # a frozen dataclass with the class method ``for_problem(problem)``
    privileged: bool  # reads the true task parameters: a reference, not a policy for an arm
    schedule: CollectionSchedule
    device: torch.device

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """The belief of n worlds before any experience.

        Args:
            n: number of worlds.
            task: (n, p) true parameters; only a privileged method reads them, and needs them.
        """
        ...

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Actions (n, a) in [-1, 1] for observations (n, o)."""
        ...

    def observe(self, belief: B, transition: Transition) -> B:
        """The belief after one more tick of n worlds; rows that are not valid stay as they were."""
        ...

    def adapt(self, belief: B, episode: Transition) -> B:
        """The belief after an episode (H, n, ...): draw a new sample, take a gradient step."""
        ...

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store a trial and improve; returns numbers for the log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts of tensors and plain numbers: everything needed to resume exactly."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state; the inverse of ``state_dict``."""
        ...


class Replans(ABC, Generic[B]):
    """A method whose belief holds a plan, which is updated even without adaptation."""

    @abstractmethod
    def replan(self, belief: B, transition: Transition) -> B:
        """``observe`` without learning about the task: only the plan is updated."""


class Scores(ABC, Generic[B]):
    """A method that can tell how well a belief predicts."""

    @abstractmethod
    def score(self, belief: B, ticks: Transition) -> Tensor:
        """How well a belief predicts transitions (H, n, ...), (n,): higher is better."""


class Taught(ABC, Generic[B]):
    """A method that may act on the true task in training, but never in evaluation or on an arm."""

    @property
    @abstractmethod
    def is_taught(self) -> bool:
        """Whether the policy of the next training trial is given the true task."""

    @abstractmethod
    def taught(self, task: Tensor) -> B:
        """The belief for true task parameters (n, p); no experience changes it."""

    @abstractmethod
    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """As of every method."""


class DrawsNoise(ABC, Generic[B]):
    """A method that explores a whole episode under noise that is drawn once, before its first tick.

    The trial records the noise, so that the method can learn what its actions depended on.
    """

    @abstractmethod
    def episode_noise(self, belief: B) -> Tensor:
        """The noise (n, l) of the episode that is acted in under this belief."""


class CollectsOtherwise(ABC):
    """A method that collects its training trials without the adaptation that it is judged with."""

    @property
    @abstractmethod
    def collector(self) -> Any:
        """The policy that acts and adapts in training trials."""
