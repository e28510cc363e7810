"""Commands that are fixed in advance, to be given in any engine. Axes: E, H, n, a."""

from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adaptation.rollout import rollout
from policies.method import Transition, TrialBatch
from robots.signals import Array, Mask, Signals
from robots.world import Family, Start, Step, Task
from sim.vec_world import VecWorld

REPLAY = 77_006  # first number of the seeds: not those of training or of any evaluation
HOLD = 0.5  # s between the random values that smooth actions lead through

Instant = tuple[int, int]  # episode and decision


@dataclass(frozen=True)
class OpenLoop:
    """A policy that looks at nothing: its actions are a list. The belief is where in it we are."""

    actions: Tensor  # (E, H, n, a) in [-1, 1]
    privileged: bool = False

    def prior(self, n: int, task: Tensor | None = None) -> Instant:
        """The first action of the first episode."""
        return 0, 0

    def act(self, obs: Tensor, belief: Instant, explore: bool) -> Tensor:
        """The action of this instant, (n, a)."""
        episode, decision = belief
        return self.actions[episode, decision]

    def observe(self, belief: Instant, transition: Transition) -> Instant:
        """The next action."""
        episode, decision = belief
        return episode, decision + 1

    def adapt(self, belief: Instant, episode: Transition) -> Instant:
        """The first action of the next episode."""
        number, _ = belief
        return number + 1, 0


def smooth_actions(family: Family, n: int, rng: np.random.Generator) -> Tensor:
    """Random actions for one episode of n worlds, (1, H, n, a).

    Each leads in straight lines through values that are uniform in [-1, 1] and ``HOLD`` s apart.
    Where an episode is one decision, that decision is one such value.
    """
    decisions = np.arange(family.horizon)
    knots = decisions * family.dt * family.action_repeat / HOLD
    before = knots.astype(np.int64)
    share = (knots - before)[:, None, None]
    values: Array = rng.uniform(-1, 1, (before[-1] + 2, n, len(family.action.spec)))
    actions = (1 - share) * values[before] + share * values[before + 1]
    return torch.from_numpy(actions).float()[None]


class SeededWorld(VecWorld):
    """Worlds whose e-th episode has random numbers of its own: the same starts in every engine."""

    def __init__(self, family: Family, engine: str, n: int, seed: int) -> None:
        """As ``VecWorld``."""
        super().__init__(family, engine, n)
        self._seed = seed
        self._episode = 0
        self.at_start: Signals | None = None  # when the newest episode began

    def reset(self, task: Task, mask: Mask | None = None, start: Start | None = None) -> Array:
        """Begin an episode with its own random numbers."""
        self.rng = np.random.default_rng([REPLAY, self._seed, self._episode])
        self._episode += 1
        obs = super().reset(task, mask, start)
        self.at_start = self.signals
        return obs


class Replay(NamedTuple):
    """What one engine makes of commands."""

    start: Signals  # of the last episode
    measured: list[Signals]  # after every control period of the last episode
    trial: TrialBatch


def replay(family: Family, engine: str, task: Task, actions: Tensor, seed: int) -> Replay:
    """Give commands (E, H, n, a) to n tasks in an engine, and measure the last episode.

    Raises:
        UnknownNameError: there is no engine of this name.
        BadArgumentError: the engine does not support the family's scene.
    """
    last = len(actions) - 1
    measured: list[Signals] = []

    def keep(world: VecWorld) -> None:
        measured.append(world.signals)

    def forget_earlier(episode: int, decision: int, step: Step) -> None:
        if episode < last:
            measured.clear()

    with closing(SeededWorld(family, engine, len(task), seed)) as world:
        world.on_frame = keep
        trial = rollout(world, OpenLoop(actions), task, last + 1, False, forget_earlier)
        start = world.at_start
    assert start is not None, "a rollout resets the world"
    missing = family.horizon * family.action_repeat - len(measured)  # every task ended early
    return Replay(start, measured + missing * measured[-1:], trial)
