"""Defaults that most families share."""

from typing import TypeVar

import numpy as np

from robots.arm import ArmSpec
from robots.catalog import ARMS
from robots.errors import BadArgumentError, PliantError
from robots.reward import RewardFunction
from robots.signals import Array, ArrayLike
from robots.world import Start, Task
from sim.randomization import Parameter

Z = TypeVar("Z")


def never(obs: ArrayLike) -> ArrayLike:
    """False for every state (..., o), also for NaN; bool (...,) in NumPy or torch, as ``obs``."""
    return obs[..., 0] < obs[..., 0]


def require_zone(arm: ArmSpec, zone: Z | None, name: str) -> Z:
    """The zone ``name`` of an arm's catalog entry.

    Raises:
        BadArgumentError: the arm has no such zone; the message lists the arms that do.
    """
    if zone is None:
        able = ", ".join(known for known in ARMS if _has_zone(known, name))
        raise BadArgumentError(f"{arm.name!r} has no {name}; arms that have one: {able}")
    return zone


def _has_zone(arm: str, name: str) -> bool:
    """Whether an arm can be imported and has a zone: a new arm's entry may not be filled in yet."""
    try:
        return getattr(ARMS[arm], name) is not None
    except PliantError:
        return False


class BaseFamily:
    """Defaults of a ``Family``.

    There is no visible target and no goal to relabel, an action lasts for one control period, the
    reward follows from observations, which do not determine the whole state, and episodes end only
    at their horizon. Users cannot change any range.
    """

    action_repeat = 1
    hidden_reward = False
    observes_state = False
    goal_names: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()

    def state_of(self, obs: Array, task: Task) -> tuple[Task, Start]:
        """Observations do not determine the whole state: NotImplementedError."""
        raise NotImplementedError("an observation of this family does not tell the whole state")

    @property
    def training_reward(self) -> RewardFunction | None:
        """None: training uses the family's reward."""
        return None

    def marker(self, task: Task) -> Array:
        """No target is visible: (n, 3) NaN."""
        return np.full((len(task), 3), np.nan)

    def terminated(self, obs: ArrayLike) -> ArrayLike:
        """Never."""
        return never(obs)
