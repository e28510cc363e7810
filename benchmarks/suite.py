"""Environment steps per CPU second: 64 worlds of a suite family against dm_control's own loop.

    python benchmarks/suite.py [--tasks walker-walk,cartpole-swingup] [--rounds 5]

Both take turns on one core; the median of the rounds is printed. A world's step has the safety
gate, the engine, and dm_control's observation and reward in it.
"""

import argparse
import warnings
from time import process_time

import numpy as np

from sim.engines.suite import SuiteEngine
from sim.families import FAMILIES
from sim.suite.names import PREFIX, domain_and_task
from sim.vec_world import VecWorld

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it looks for a screen
    from dm_control import suite

TASKS = "cartpole-swingup,walker-walk,reacher-easy,humanoid-walk"
WORLDS = 64
STEPS = 960  # of either per round, less than an episode


def ours(world: VecWorld, rng: np.random.Generator) -> float:
    """Steps per CPU second of all worlds together."""
    world.reset(world.family.sample(rng, WORLDS))
    shape = (STEPS // WORLDS, WORLDS, len(world.family.action.spec))
    actions = rng.uniform(-1, 1, shape)
    begin = process_time()
    for action in actions:
        world.step(action)
    return STEPS / (process_time() - begin)


def theirs(env: "suite.control.Environment", rng: np.random.Generator) -> float:
    """Steps per CPU second of dm_control's environment."""
    env.reset()
    actions = rng.uniform(-1, 1, (STEPS, *env.action_spec().shape))
    begin = process_time()
    for action in actions:
        env.step(action)
    return STEPS / (process_time() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'task':<20} {'VecWorld':>9} {'dm_control':>10} {'ratio':>6}")
    for task in options.tasks.split(","):
        name = f"{PREFIX}{task}"
        world = VecWorld(FAMILIES[name](), SuiteEngine(threads=1), WORLDS)
        env = suite.load(*domain_and_task(name))
        rng = np.random.default_rng(0)
        pairs = [(ours(world, rng), theirs(env, rng)) for _ in range(options.rounds)]
        own, other = np.median(pairs, 0)
        ratio = np.median([a / b for a, b in pairs])
        print(f"{task:<20} {own:9.0f} {other:10.0f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    main()
