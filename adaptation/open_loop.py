"""Open-loop commands: the same actions in any engine.

Axes: E episodes, H decisions, n worlds, a action.
"""

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
KNOT_SPACING = 0.5  # s between the random values that smooth actions interpolate

Instant = tuple[int, int]  # episode and decision


@dataclass(frozen=True)
class OpenLoop:
    """A policy whose actions are given; the belief is the index of the next one."""

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

    They interpolate linearly between knots, which are ``KNOT_SPACING`` s apart and have values
    uniform in [-1, 1]. If an episode is a single decision, it is the value of the first knot.
    """
    time = np.arange(family.horizon) * family.dt * family.action_repeat  # s, of each decision
    position = time / KNOT_SPACING  # in knots
    knot = position.astype(np.int64)  # the last knot before each decision
    fraction = (position - knot)[:, None, None]
    knots = knot[-1] + 2
    actions = len(family.action.spec)
    values: Array = rng.uniform(-1, 1, (knots, n, actions))
    before = values[knot]
    after = values[knot + 1]
    interpolated = (1 - fraction) * before + fraction * after
    return torch.from_numpy(interpolated).float()[None]


class SeededWorld(VecWorld):
    """Worlds whose episodes have separate random streams: the same starts in every engine."""

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
    """The outcome of commands in one engine."""

    start: Signals  # of the last episode
    measured: list[Signals]  # after every control period of the last episode
    trial: TrialBatch


def replay(family: Family, engine: str, task: Task, actions: Tensor, seed: int) -> Replay:
    """Run commands in an engine, and measure the last episode.

    Args:
        family: of the tasks.
        engine: name of the engine.
        task: n tasks.
        actions: (E, H, n, a) in [-1, 1].
        seed: of the starts and disturbances.

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
