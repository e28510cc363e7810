"""The only loop that acts and adapts: the same in training, in evaluation, and on an arm.

Worlds use NumPy and methods torch; the loop converts between them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from adaptation.metrics import judge
from policies.belief import map_tensors
from policies.method import DrawsNoise, Transition, TrialBatch, stack
from robots.signals import ArrayLike, Verdict
from robots.world import Step, Task, World

B = TypeVar("B")  # a belief
OnTick = Callable[[int, int, Step], None]  # episode, tick, what the world returned


class Next(Enum):
    """What follows an episode."""

    GO_ON = auto()
    AGAIN = auto()  # the same episode: what happened in it is forgotten
    END = auto()  # the remaining episodes are left out


OnEpisode = Callable[[int, Transition, Tensor], Next]  # episode, ticks (H, n, ...), success (n,)


class Forgets(ABC, Generic[B]):
    """A policy that keeps a belief of its own, and can go back to an earlier one."""

    @abstractmethod
    def forget_episode(self, before: B) -> B:
        """Forget the latest episode, at whose beginning the loop had the belief ``before``."""


class Policy(Protocol[B]):
    """The part of a method that a rollout uses; ``policies.method.Method`` documents each call."""

    @property
    def privileged(self) -> bool:
        """Whether it reads the true task parameters."""
        ...

    def prior(self, n: int, task: Tensor | None = None) -> B:
        """The belief of n worlds before any experience."""
        ...

    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """Actions (n, a) in [-1, 1] for observations (n, o)."""
        ...

    def observe(self, belief: B, transition: Transition) -> B:
        """The belief after one more tick."""
        ...

    def adapt(self, belief: B, episode: Transition) -> B:
        """The belief after an episode (H, n, ...)."""
        ...


@torch.no_grad()
def rollout(
    world: World,
    method: Policy[Any],
    task: Task,
    episodes: int,
    explore: bool | Sequence[bool] = True,
    on_tick: OnTick | None = None,
    on_episode: OnEpisode | None = None,
) -> TrialBatch:
    """Act in n tasks for some episodes; the belief is carried over from one episode to the next.

    Args:
        world: n tasks acted in at once.
        method: a method, or a policy that wraps one; if it takes gradients, it enables them.
        task: n tasks; only a privileged method reads their parameters.
        episodes: E, episodes per task.
        explore: whether the method explores: one value for all episodes, or one per episode.
        on_tick: called after every step of the world, for recorders and viewers.
        on_episode: called after every episode; says what follows. None: always the next one.

    Returns:
        The transitions, (E, H, n, ...). In each world, ticks after the end of an episode are not
        ``valid``, nor are those from the first tick with diverged physics or a non-finite number.

    Raises:
        ValueError: the number of tasks or of ``explore`` does not fit.
    """
    _check_count(task, world)
    explores = _per_episode(explore, episodes)
    parameters = _tensor(task.values)
    ids = torch.as_tensor(task.ids)
    belief = method.prior(world.n, parameters if method.privileged else None)
    finished: list[Transition] = []
    successes, noises = list[Tensor](), list[Tensor]()
    e = 0
    following = Next.GO_ON
    while e < episodes and following is not Next.END:
        before = belief
        noise = _episode_noise(method, belief)
        episode, last, belief = _run_episode(world, method, task, belief, explores[e], e, on_tick)
        success = judge(world.family, task, episode, last)
        if on_episode is not None:
            following = on_episode(e, episode, success)
        if following is Next.AGAIN:
            belief = method.forget_episode(before) if isinstance(method, Forgets) else before
            continue
        finished.append(episode)
        successes.append(success)
        noises += noise
        e += 1
        if e < episodes and following is not Next.END:  # else nothing could use this update
            belief = method.adapt(belief, episode)
    return _with_noise(TrialBatch(stack(finished), parameters, ids, torch.stack(successes)), noises)


def _run_episode(
    world: World,
    method: Policy[B],
    task: Task,
    belief: B,
    explores: bool,
    number: int,
    on_tick: OnTick | None,
) -> tuple[Transition, Tensor, B]:
    """Act until every world has ended.

    Returns:
        The ticks (H, n, ...), whether the goal was met in the last valid one (n,), and the belief.
    """
    ticks: list[Transition] = []
    success = torch.zeros(world.n, dtype=torch.bool)
    obs = _tensor(world.reset(task))
    alive = obs.isfinite().all(-1)
    obs = _zero_if_not_finite(obs)
    for t in range(world.family.horizon):
        action = method.act(obs, belief, explores)
        step = world.step(action.double().numpy())
        tick = make_transition(obs, action, step, t == 0 and number == 0, t == 0, alive)
        belief = method.observe(belief, tick)
        if on_tick is not None:
            on_tick(number, t, step)
        ticks.append(tick)
        success = torch.where(tick.valid, _flags(step.success), success)
        alive = tick.valid & ~tick.terminated & ~tick.truncated
        obs = tick.next_obs
        if not alive.any():
            break
    return _whole_episode(ticks, world.family.horizon), success, belief


def _with_noise(trial: TrialBatch, noises: list[Tensor]) -> TrialBatch:
    """The trial with the noise of its episodes, if there is any."""
    if not noises:
        return trial
    return replace(trial, noise=torch.stack(noises))


def _episode_noise(method: Policy[B], belief: B) -> list[Tensor]:
    """The noise (n, l) of the episode that begins, if the method draws some."""
    if isinstance(method, DrawsNoise):
        return [method.episode_noise(belief)]
    return []


def _check_count(task: Task, world: World) -> None:
    if len(task) != world.n:
        raise ValueError(f"{len(task)} tasks do not fit a world of {world.n}")


def _per_episode(explore: bool | Sequence[bool], episodes: int) -> list[bool]:
    if isinstance(explore, bool):
        return [explore] * episodes
    if len(explore) != episodes:
        raise ValueError(f"explore names {len(explore)} episodes, the trial has {episodes}")
    return list(explore)


def make_transition(
    obs: Tensor, action: Tensor, step: Step, first: bool, begins: bool, alive: Tensor
) -> Transition:
    """The transition of one tick in n worlds.

    Numbers that are not finite in single precision are replaced by zero, and the tick of their
    world is marked as not ``valid``. A mask alone would not keep NaN out of gradients.

    Args:
        obs: (n, o) before the action.
        action: (n, a) as the policy chose it.
        step: what the world returned.
        first: whether it is the first tick of a task.
        begins: whether it is the first tick of an episode.
        alive: (n,) bool, worlds that had not ended or diverged before this tick.
    """
    diverged = _flags(step.verdict & int(Verdict.DIVERGED))
    tick = Transition(
        obs=obs,
        action=action,
        applied=_tensor(step.applied),
        reward=_tensor(step.reward),
        next_obs=_tensor(step.obs),
        terminated=_flags(step.terminated),
        truncated=_flags(step.truncated),
        first=torch.full_like(alive, first),
        begins=torch.full_like(alive, begins),
        valid=alive & ~diverged,
    )
    reward = tick.reward[:, None]
    numbers = torch.cat([tick.obs, tick.action, tick.applied, reward, tick.next_obs], -1)
    is_finite = numbers.isfinite().all(-1)
    if is_finite.all():
        return tick
    repaired = map_tensors(_zero_if_not_finite, tick)
    return replace(repaired, valid=tick.valid & is_finite)


def _zero_if_not_finite(x: Tensor) -> Tensor:
    return torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)


def _whole_episode(ticks: list[Transition], horizon: int) -> Transition:
    """The ticks (n, ...) of an episode as (H, n, ...), padded with ticks that are not valid."""
    padding = _invalid(ticks[-1])
    return stack(ticks + [padding] * (horizon - len(ticks)))


def _invalid(tick: Transition) -> Transition:
    """A padding tick (n, ...), which is not valid in any world."""
    no = torch.zeros_like(tick.valid)
    return replace(tick, valid=no, first=no, begins=no)


def _tensor(array: ArrayLike) -> Tensor:
    """The array in single precision; numbers that are too large become infinite."""
    return torch.tensor(array, dtype=torch.float32)


def _flags(array: ArrayLike) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.bool_))
