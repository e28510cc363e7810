"""The simulator as a function, for methods that predict with it instead of a learned model."""

from threading import Lock

import numpy as np
import torch
from torch import Tensor

from robots.signals import Array, Verdict
from robots.world import Family, Task
from sim.vec_world import VecWorld

MAX_WORLDS = 256  # simulated at once


class Simulator:
    """Puts worlds into observed states and acts in them: ``policies.method.Simulate``.

    It uses ``VecWorld``'s default engine for the family's scene, whatever engine a training or a
    trial runs in. Worlds are kept between calls, in sizes of powers of two. Threads may share a
    simulator, as a policy and the background update of its belief do: one call runs at a time.
    """

    def __init__(self, family: Family) -> None:
        """``family`` is one whose observations tell the whole state (``observes_state``)."""
        self.family = family
        self._worlds: dict[int, VecWorld] = {}
        self._lock = Lock()  # of the worlds

    def __reduce__(self) -> tuple[type["Simulator"], tuple[Family]]:
        """How it is copied and sent to another process: the family alone."""
        return Simulator, (self.family,)

    def __call__(self, task: Tensor, obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Next observations (m, h, o) and rewards (m, h); see ``policies.method.Simulate``."""
        inputs = [_array(x) for x in (task, obs, actions)]
        observations = []
        rewards = []
        for first in range(0, len(obs), MAX_WORLDS):
            block = slice(first, first + MAX_WORLDS)
            rows = [x[block] for x in inputs]
            with self._lock:
                next_obs, reward = self._run(*rows)
            observations.append(_tensor(next_obs))
            rewards.append(_tensor(reward))
        device = obs.device
        all_observations = torch.cat(observations)
        all_rewards = torch.cat(rewards)
        return all_observations.to(device), all_rewards.to(device)

    def _run(self, values: Array, obs: Array, actions: Array) -> tuple[Array, Array]:
        """Act in at most ``MAX_WORLDS`` worlds, from their observations on."""
        count = len(obs)
        world = self._world(count)
        rows = np.arange(world.n) % count  # worlds beyond the count repeat the first ones
        ids = np.arange(world.n)
        task = Task(self.family.task_names, values[rows], ids)
        task, start = self.family.state_of(obs[rows], task)
        world.reset(task, start=start)
        diverged = np.zeros(world.n, dtype=bool)
        observations = []
        rewards = []
        for k in range(actions.shape[1]):
            action = actions[rows, k]
            step = world.step(action)
            flag = step.verdict & Verdict.DIVERGED
            diverged |= flag > 0
            next_obs = np.where(diverged[:, None], np.nan, step.obs)
            reward = np.where(diverged, np.nan, step.reward)
            observations.append(next_obs[:count])
            rewards.append(reward[:count])
        return np.stack(observations, 1), np.stack(rewards, 1)

    def _world(self, count: int) -> VecWorld:
        """Worlds for at least ``count`` rows."""
        size = 1
        while size < count:
            size *= 2
        if size not in self._worlds:
            self._worlds[size] = VecWorld(self.family, n=size)
        return self._worlds[size]


def _array(x: Tensor) -> Array:
    on_cpu = x.detach().cpu()
    return on_cpu.double().numpy()


def _tensor(x: Array) -> Tensor:
    return torch.from_numpy(x).float()
