"""The only loop that acts and adapts: the same for training, for judging, and on an arm.

NumPy meets torch here and nowhere else: worlds speak NumPy, methods speak torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from policies.method import Method, Transition, TrialBatch, stack
from robots.signals import Verdict
from robots.world import Step, Task, World

OnTick = Callable[[int, int, Step], None]  # episode, tick, what the world answered


@torch.no_grad()
def rollout(
    world: World,
    method: Method,
    task: Task,
    episodes: int,
    explore: bool | Sequence[bool] = True,
    on_tick: OnTick | None = None,
) -> TrialBatch:
    """Visit n tasks for some episodes, the belief carried over from one to the next.

    Args:
        task: n tasks; only a privileged method is shown them before it acts.
        explore: whether the method adds exploration to its actions, for all episodes or for each.
        on_tick: called after every step of the world, for recorders and viewers.

    Returns:
        What happened, (E, H, n, ...). Ticks after a world has ended are there, with ``valid`` False; a world
        whose physics diverged is invalid from that tick on.

    A method that takes gradient steps within its adaptation enables gradients itself.
    """
    if len(task) != world.n:
        raise ValueError(f"{len(task)} tasks do not fit a world of {world.n}")
    explores = [explore] * episodes if isinstance(explore, bool) else list(explore)
    if len(explores) != episodes:
        raise ValueError(f"explore names {len(explores)} episodes, the trial has {episodes}")

    truth = _tensor(task.values)
    belief = method.prior(world.n, truth if method.privileged else None)
    happened: list[Transition] = []
    successes: list[Tensor] = []
    for e in range(episodes):
        ticks: list[Transition] = []
        success = torch.zeros(world.n, dtype=torch.bool)
        alive = torch.ones(world.n, dtype=torch.bool)
        obs = _tensor(world.reset(task))
        for t in range(world.family.horizon):
            action = method.act(obs, belief, explores[e])
            step = world.step(action.double().numpy())
            tick = _transition(obs, action, step, first=e == t == 0, begins=t == 0, alive=alive)
            belief = method.observe(belief, tick)
            if on_tick is not None:
                on_tick(e, t, step)
            ticks.append(tick)
            success = torch.where(tick.valid, _flags(step.success), success)
            alive = tick.valid & ~tick.terminated & ~tick.truncated
            obs = tick.next_obs
            if not alive.any():
                break
        nothing = replace(
            ticks[-1],
            valid=torch.zeros_like(alive),
            first=torch.zeros_like(alive),
            begins=torch.zeros_like(alive),
        )
        ticks += [nothing] * (world.family.horizon - len(ticks))
        episode = stack(ticks)  # (H, n, ...)
        belief = method.adapt(belief, episode)
        happened.append(episode)
        successes.append(success)
    return TrialBatch(stack(happened), truth, torch.as_tensor(task.ids), torch.stack(successes))


def _transition(
    obs: Tensor, action: Tensor, step: Step, first: bool, begins: bool, alive: Tensor
) -> Transition:
    diverged = _flags(step.verdict & int(Verdict.DIVERGED))
    return Transition(
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


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _flags(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.bool_))
