"""The simulator as a function, for methods that predict with it instead of a learned model."""

import numpy as np
import torch
from torch import Tensor

from robots.signals import Array, Verdict
from robots.world import Family, Task
from sim.vec_world import VecWorld

MAX_WORLDS = 256  # simulated at once


class Simulator:
    """Puts worlds into observed states and acts in them: ``policies.method.Simulate``.

    It uses the engine that the family is trained in. Worlds are kept between calls, in sizes of
    powers of two.
    """

    def __init__(self, family: Family) -> None:
        """``family`` is one whose observations tell the whole state (``observes_state``)."""
        self.family = family
        self._worlds: dict[int, VecWorld] = {}

    def __call__(self, task: Tensor, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Next observations (m, h, o) and rewards (m, h); see ``policies.method.Simulate``."""
        rows = [x.detach().cpu().double().numpy() for x in (task, obs, actions)]
        observations = []
        rewards = []
        for first in range(0, len(obs), MAX_WORLDS):
            block = [x[first : first + MAX_WORLDS] for x in rows]
            next_obs, reward = self._run(*block)
            observations.append(next_obs)
            rewards.append(reward)
        device = obs.device
        return (
            torch.from_numpy(np.concatenate(observations)).float().to(device),
            torch.from_numpy(np.concatenate(rewards)).float().to(device),
        )

    def _run(self, values: Array, obs: Array, actions: Array) -> tuple[Array, Array]:
        """Act in at most ``MAX_WORLDS`` worlds, from their observations on."""
        count = len(obs)
        world = self._world(count)
        rows = np.arange(world.n) % count  # worlds beyond the count repeat the first ones
        task = Task(self.family.task_names, values[rows], np.arange(world.n))
        task, start = self.family.state_of(obs[rows], task)
        world.reset(task, start=start)
        diverged = np.zeros(world.n, dtype=bool)
        observations = []
        rewards = []
        for k in range(actions.shape[1]):
            step = world.step(actions[rows, k])
            diverged |= (step.verdict & Verdict.DIVERGED) > 0
            observations.append(np.where(diverged[:, None], np.nan, step.obs))
            rewards.append(np.where(diverged, np.nan, step.reward))
        return np.stack(observations, 1)[:count], np.stack(rewards, 1)[:count]

    def _world(self, count: int) -> VecWorld:
        """Worlds for at least so many rows."""
        size = 1
        while size < count:
            size *= 2
        if size not in self._worlds:
            self._worlds[size] = VecWorld(self.family, n=size)
        return self._worlds[size]
