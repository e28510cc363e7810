"""Acting with a trained policy from Python: NumPy or torch in, the same kind out.

``pliant`` offers these under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from adaptation.jobs.evaluate import explores
from adaptation.rollout import OnTick, make_transition
from adaptation.rollout import rollout as run_rollout
from adaptation.runs.run import Run
from policies.method import Method, Transition, TrialBatch, stack
from robots.errors import BadArgumentError
from robots.signals import Array, ArrayLike, Mask
from robots.world import Family, Step, Task, World

A = TypeVar("A", Array, Tensor)


class Policy:
    """A trained policy: it acts under a belief about the task, and updates it from experience.

    Observations are NumPy arrays or torch tensors; actions come back in kind.

    Attributes:
        method: the method itself, in torch.
        family: what it was trained for.

    Examples:
        >>> import pliant
        >>> policy = pliant.load("runs/point")
        >>> world = pliant.make("point", n=4)
        >>> task = world.family.sample(world.rng, world.n, "heldout")
        >>> belief = policy.prior(world.n)
        >>> for episode in range(2):
        ...     obs = world.reset(task)
        ...     ticks = []
        ...     for tick in range(world.family.horizon):
        ...         action = policy.act(obs, belief)
        ...         step = world.step(action)
        ...         ticks.append(pliant.transition(obs, action, step, episode, tick))
        ...         belief = policy.observe(belief, ticks[-1])
        ...         obs = step.obs
        ...     belief = policy.adapt(belief, ticks)
    """

    def __init__(self, method: Method[Any], family: Family) -> None:
        """Use ``load``."""
        self._method = method
        self.family = family

    @property
    def method(self) -> Method[Any]:
        """The method itself, in torch."""
        return self._method

    def prior(self, n: int, task: Task | None = None) -> Any:
        """The belief of n worlds before any experience.

        Args:
            n: number of worlds.
            task: the n true tasks; only an oracle reads them, and needs them.

        Raises:
            BadArgumentError: this is an oracle, and no task was given.
        """
        if not self._method.privileged:
            return self._method.prior(n)
        if task is None:
            raise BadArgumentError("an oracle reads the true task: pass it as task=")
        return self._method.prior(n, _tensor(task.values))

    def act(self, obs: A, belief: Any, explore: bool = False) -> A:
        """Actions (n, a) in [-1, 1] for observations (n, o)."""
        with torch.no_grad():
            action = self._method.act(_tensor(obs), belief, explore)
        if isinstance(obs, np.ndarray):
            return action.double().numpy()
        return action

    def observe(self, belief: Any, transition: Transition) -> Any:
        """The belief after one more tick; ``pliant.transition`` makes one."""
        with torch.no_grad():
            return self._method.observe(belief, transition)

    def adapt(self, belief: Any, episode: Transition | Sequence[Transition]) -> Any:
        """The belief after an episode: its ticks in order, or stacked (H, n, ...)."""
        ticks = episode if isinstance(episode, Transition) else stack(episode)
        with torch.no_grad():
            return self._method.adapt(belief, ticks)


def load(run: Run | str | Path, role: str = "method", arm: str | None = None) -> Policy:
    """Load a trained policy.

    Args:
        run: a run, or its folder.
        role: ``"method"``, or a reference: ``"blind"`` or ``"oracle"``.
        arm: the arm that it will drive, if any; refused unless it was trained for this arm.

    Raises:
        FileNotFoundError: there is no such run, or the role has no checkpoint.
        DamagedError: the checkpoint is not, byte for byte, what was written.
        RefusedError: it was trained for something else; the message names every difference.

    Examples:
        >>> import numpy as np
        >>> import pliant
        >>> policy = pliant.load("runs/point")
        >>> belief = policy.prior(n=4)
        >>> policy.act(np.zeros((4, 2)), belief).shape
        (4, 2)
    """
    path = Path(run) if isinstance(run, str | Path) else run.path
    checkpoint = Run.open(path).load(role, arm)  # read again: policies share no random stream
    return Policy(checkpoint.method, checkpoint.family)


def rollout(
    world: World,
    policy: Policy,
    task: Task,
    episodes: int | None = None,
    explore: bool | Sequence[bool] | None = None,
    on_tick: OnTick | None = None,
) -> TrialBatch:
    """Act in n tasks for some episodes, the belief carried over from one to the next.

    Args:
        world: n worlds, or an arm with n = 1.
        policy: acts and adapts.
        task: n tasks.
        episodes: E, per task; None is the family's own number.
        explore: in all episodes, or in each; None explores in all but the last of a trial.
        on_tick: called after every step with episode, tick and the world's answer.

    Returns:
        All ticks (E, H, n, ...), ``returns`` (E, n) and ``success`` (E, n), as torch tensors.

    Examples:
        >>> import pliant
        >>> world = pliant.make("point", n=4)
        >>> task = world.family.sample(world.rng, world.n, "heldout")
        >>> pliant.rollout(world, pliant.load("runs/point"), task).returns.shape
        torch.Size([3, 4])
    """
    if episodes is None:
        episodes = world.family.episodes
    if explore is None:
        explore = explores(world.family, episodes)
    return run_rollout(world, policy.method, task, episodes, explore, on_tick)


def transition(
    obs: ArrayLike,
    action: ArrayLike,
    step: Step,
    episode: int,
    tick: int,
    valid: Mask | None = None,
) -> Transition:
    """One tick of n worlds, as a policy learns about its task from it.

    Args:
        obs: (n, o) before the action.
        action: (n, a) as the policy chose it.
        step: the world's answer.
        episode: which episode of the task this is, from 0.
        tick: which tick of the episode, from 0.
        valid: (n,) worlds whose episode had not ended before; None: all of them.

    Examples:
        >>> import numpy as np
        >>> import pliant
        >>> world = pliant.make("point", n=2)
        >>> obs = world.reset(world.family.sample(world.rng, 2))
        >>> action = np.zeros((2, 2))
        >>> tick = pliant.transition(obs, action, world.step(action), episode=0, tick=0)
        >>> tick.reward.shape
        torch.Size([2])
    """
    alive = torch.ones(len(step.reward), dtype=torch.bool)
    if valid is not None:
        alive = torch.as_tensor(valid)
    begins = tick == 0
    first = begins and episode == 0
    return make_transition(_tensor(obs), _tensor(action), step, first, begins, alive)


def _tensor(array: ArrayLike) -> Tensor:
    """A float32 tensor of a NumPy array or a torch tensor."""
    return torch.as_tensor(array, dtype=torch.float32)
