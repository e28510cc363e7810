"""What a known latency costs a method that plans, and what predicting over it gains.

    python benchmarks/latency.py RUN --delays 0.5 1 2 --tasks 48

A run is evaluated in simulation on held-out tasks whose actions take effect late. It was trained
without this delay. The same tasks are tried with a planner that ignores the delay and with one that
expects it.
"""

import argparse
from pathlib import Path

import numpy as np

from adaptation.rollout import rollout
from adaptation.runs.run import Run
from robots.signals import Array
from robots.world import Family, Task
from sim.vec_world import VecWorld

LATENCY = "disturbance.latency"
EPISODES = 2  # the last one counts


def late_tasks(family: Family, count: int, latency: float) -> Task:
    """Held-out tasks whose actions are late by ``latency`` s, always the same ones."""
    task = family.sample(np.random.default_rng(7), count, "heldout")
    column = np.full(count, latency)
    if LATENCY in task.names:
        return task.with_columns({LATENCY: column})
    return Task((*task.names, LATENCY), np.c_[task.values, column], task.ids)


def returns(run: Run, tasks: int, latency: float) -> Array:
    """Returns (n,) of the last episode of each task, whose actions are late by ``latency`` s."""
    _, policy = next(run.policies())
    family = run.family
    task = late_tasks(family, tasks, latency)
    world = VecWorld(family, n=tasks, seed=11)
    ticks = rollout(world, policy, task, EPISODES, explore=False).ticks
    world.close()
    total: Array = (ticks.reward * ticks.valid)[-1].sum(0).double().numpy()
    return total


def interval(difference: Array) -> tuple[float, float]:
    """The 95 % interval of a mean over tasks, by bootstrap."""
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (10_000, len(difference))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Print the mean return for each delay, and what predicting over it gains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--delays", type=float, nargs="+", default=[1.0], help="in decisions")
    parser.add_argument("--tasks", type=int, default=48)
    options = parser.parse_args()
    run = Run.open(options.run)
    decision = run.family.dt * run.family.action_repeat
    print(f"without a delay {returns(run, options.tasks, 0.0).mean():.3f}")
    for delay in options.delays:
        latency = delay * decision
        ignored = returns(run, options.tasks, latency)
        expected = returns(run.with_latency(latency), options.tasks, latency)
        gain = expected - ignored
        low, high = interval(gain)
        print(
            f"delay {delay:g}: ignored {ignored.mean():.3f}, expected {expected.mean():.3f}, "
            f"gain {gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        )


if __name__ == "__main__":
    main()
