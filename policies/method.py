"""What every method promises: a belief about the task, acted under and updated from experience.

Axes: n worlds, E episodes, H steps, o observation, a action, p task parameters. Everything in this package is
torch on one device; NumPy ends at the loop that calls it.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

B = TypeVar("B")


@dataclass(frozen=True)
class Problem:
    """All that a method knows of a family before it has seen it: shapes, horizon, and what is hidden."""

    family: str
    obs_names: tuple[str, ...]
    obs_low: tuple[float, ...]
    obs_high: tuple[float, ...]
    action_names: tuple[str, ...]
    horizon: int
    episodes: int
    task_names: tuple[str, ...]
    task_low: tuple[float, ...]  # the training range, to scale what an oracle is told
    task_high: tuple[float, ...]
    reward: Callable[..., Any] | None  # the family's own, of (obs, applied, next_obs, task); None where it is hidden

    @property
    def obs_dim(self) -> int:
        return len(self.obs_names)

    @property
    def action_dim(self) -> int:
        return len(self.action_names)


@dataclass(frozen=True)
class Transition:
    """One tick of n worlds, or any stack of ticks with the same leading axes everywhere."""

    obs: Tensor  # (..., o)
    action: Tensor  # (..., a) what the policy chose: for likelihood ratios
    applied: Tensor  # (..., a) what the gate let through: for dynamics and context
    reward: Tensor  # (...,)
    next_obs: Tensor  # (..., o)
    terminated: Tensor  # (...,) bool, the task ended: no value follows
    truncated: Tensor  # (...,) bool, only the time was up
    first: Tensor  # (...,) bool, the first tick of a new task (not of an episode)
    valid: Tensor  # (...,) bool, False after a world ended early or its physics diverged

    def map(self, f: Callable[[Tensor], Tensor]) -> "Transition":
        """The same function on every field."""
        return mapped(f, self)


def stack(ticks: list[Transition], dim: int = 0) -> Transition:
    """Ticks (n, ...) to one Transition (H, n, ...)."""
    return Transition(**{f.name: torch.stack([getattr(t, f.name) for t in ticks], dim) for f in fields(Transition)})


@dataclass(frozen=True)
class Trial:
    """What one visit to n tasks gave: E episodes of H ticks with the belief carried over between them."""

    ticks: Transition  # every field leads with (E, H, n)
    task: Tensor  # (n, p) true parameters; NaN on an arm. Only privileged methods may read them to act
    task_ids: Tensor  # (n,)
    success: Tensor  # (E, n) bool, in the last valid state of each episode

    @property
    def returns(self) -> Tensor:
        """Undiscounted return per episode, (E, n)."""
        return (self.ticks.reward * self.ticks.valid).sum(1)


@dataclass(frozen=True)
class Rhythm:
    """What a trainer gathers between two calls of ``learn``."""

    tasks: int  # worlds acted in at once, each with a task of its own
    episodes: int  # per trial
    warmup: int = 0  # trials with uniformly random actions, before the first ``learn``
    iterations: int = 100  # calls of ``learn`` in a full training


class Belief(Protocol):
    """A frozen dataclass whose every tensor leads with n. All adaptation state lives here and nowhere else."""


def mapped(f: Callable[..., Tensor], belief: B, *others: B) -> B:
    """A function of every tensor of a belief, and of the same ones of others, for any belief dataclass."""

    def of(x: Any, *ys: Any) -> Any:
        return f(x, *ys) if isinstance(x, Tensor) else mapped(f, x, *ys) if is_dataclass(x) else x

    found = {name: of(x, *(getattr(other, name) for other in others)) for name, x in vars(belief).items()}
    return replace(belief, **found)  # type: ignore[type-var]


def where(mask: Tensor, new: B, old: B) -> B:
    """Rows of ``new`` where mask (n,) is set, rows of ``old`` elsewhere, for any belief dataclass."""
    return mapped(lambda a, b: torch.where(mask.view(-1, *[1] * (a.dim() - 1)), a, b), new, old)


class Method(Protocol):
    """policy = f(belief, obs); belief = f(past).

    A method is built as ``Method(problem, config, seed)``, on the device that torch makes tensors on; all its
    randomness comes from generators it seeds itself, and all its state, those included, goes through ``state_dict``,
    so that a run resumes bit for bit.
    """

    problem: Problem
    config: Any  # a frozen dataclass
    privileged: bool  # reads the true task parameters: a ceiling, not a policy for an arm
    rhythm: Rhythm

    def prior(self, n: int, task: Tensor | None = None) -> Any:
        """The belief before any experience; only a privileged method reads ``task`` (n, p)."""
        ...

    def act(self, obs: Tensor, belief: Any, explore: bool) -> Tensor:
        """Actions (n, a) in [-1, 1] for observations (n, o)."""
        ...

    def observe(self, belief: Any, transition: Transition) -> Any:
        """The belief after one more tick of n worlds; rows with ``valid`` False are left as they were."""
        ...

    def adapt(self, belief: Any, episode: Transition) -> Any:
        """The belief at the end of an episode, whose ticks are (H, n, ...): resample, take a gradient step."""
        ...

    def learn(self, trial: Trial) -> dict[str, float]:
        """Keep a trial's experience and improve on it; returns what to log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Nested dicts of tensors and plain numbers: everything needed to go on as if never stopped."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
