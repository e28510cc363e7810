"""How far an action moves the tool by the next observation: in the simulator and in the model.

    python benchmarks/latency_response.py RUN --delays 0 0.333333 0.666667 --tasks 64

For a run of ``context_mpc`` on an arm. In the second episode of each held-out task the action of
one decision is changed by a little along one axis, and back. The model predicts the same change
under the belief after the first episode: once with the action that was sent, and once with the mean
action in effect, which holds the delay.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from latency import late_tasks
from torch import Tensor

from adaptation.rollout import rollout
from adaptation.runs.run import Run
from policies.methods.context_mpc import ContextMPC
from policies.planning.latency import Latency
from robots.signals import Array
from robots.world import Task
from sim.vec_world import VecWorld

TOOL = ("tool.x", "tool.y", "tool.z")
DECISION = 6  # whose action is changed
CHANGE = 0.1  # of the action, up and down


def simulated(world: VecWorld, task: Task, actions: Array, columns: list[int]) -> Array:
    """The mean change (3,) of the tool per change of the action along each axis, m."""

    def outcome(axis: int, change: float) -> Array:
        world.reset(task)
        for action in actions[:DECISION]:
            world.step(action)
        changed = actions[DECISION].copy()
        changed[:, axis] += change
        return world.step(changed).obs[:, columns[axis]]

    return np.array([_slope(outcome(i, CHANGE), outcome(i, -CHANGE)) for i in range(len(columns))])


def predicted(
    method: ContextMPC, obs: Tensor, actions: Tensor, z: Tensor, delay: float, columns: list[int]
) -> Array:
    """The same by the model, which expects a delay of so many decisions, less than one."""
    latency = Latency(delay)
    under_way = (actions[DECISION - 1],) if delay > 0 else ()

    def outcome(axis: int, change: float) -> Array:
        changed = actions[DECISION].clone()
        changed[:, axis] += change
        in_effect = latency.in_effect(under_way, changed[:, None, None])
        states, _ = method.ema_model.predictor.rollout(obs, in_effect, z)
        return states[1].mean(0)[:, 0, columns[axis]].numpy()

    return np.array([_slope(outcome(i, CHANGE), outcome(i, -CHANGE)) for i in range(len(columns))])


def _slope(above: Array, below: Array) -> float:
    return float((above - below).mean() / (2 * CHANGE))


def _text(slopes: Array) -> str:
    return " ".join(f"{1000 * slope:.0f}" for slope in slopes)


@torch.no_grad()
def main() -> None:
    """Print the changes along x, y and z for each delay, in mm per unit of the action."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--delays", type=float, nargs="+", default=[0.0], help="in decisions, < 1")
    parser.add_argument("--tasks", type=int, default=64)
    options = parser.parse_args()
    run = Run.open(options.run)
    family = run.family
    _, method = next(run.policies())
    assert isinstance(method, ContextMPC)
    columns = family.obs.indices(TOOL)
    for delay in options.delays:
        latency = delay * family.dt * family.action_repeat
        task = late_tasks(family, options.tasks, latency)
        world = VecWorld(family, n=options.tasks, seed=11)
        ticks = rollout(world, method, task, 2, explore=False).ticks
        first, second = ticks[0], ticks[1]
        belief = method.ema_model.infer(first.transpose(0, 1), first.valid.T)
        z = belief.mean.expand(method.config.dynamics.ensemble_size, -1, -1)
        real = simulated(world, task, second.action.double().numpy(), columns)
        world.close()
        obs = second.obs[DECISION]
        sent, in_effect = (
            predicted(method, obs, second.action, z, expected, columns) for expected in (0.0, delay)
        )
        print(
            f"delay {delay:g}: simulator {_text(real)}, model with the action sent {_text(sent)}, "
            f"with the mean action in effect {_text(in_effect)}"
        )


if __name__ == "__main__":
    main()
