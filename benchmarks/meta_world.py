"""Meta-World's families: steps per second against the package's own loop, and its scripted experts.

    python benchmarks/meta_world.py [--tasks reach,push] [--goals 50] [--rounds 5]

Needs ``pip install --no-deps metaworld==3.1.1``. Speed: steps per CPU second of 8 worlds of a
family and of one environment of metaworld, with metaworld's own functions, which take turns on one
core; the median of the rounds. Experts: how many of a task's published training goals metaworld's
scripted expert solves, which acts in the family and is told the goal.
"""

import argparse
from importlib import import_module
from time import process_time
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.spatial.transform import Rotation

from robots.signals import Array
from robots.world import Task
from sim.engines.metaworld import MetaworldEngine
from sim.families import FAMILIES
from sim.families.metaworld import Metaworld
from sim.metaworld.environment import GOALS, OBSERVED, TaskEnvironment, published_places
from sim.metaworld.names import ML1, PREFIX, TASKS
from sim.vec_world import VecWorld

WORLDS = 8
STEPS = 400  # of either per round, less than an episode of metaworld
EXPERT_TASKS = "reach,push,pick-place,door-open,drawer-close,button-press-topdown,peg-insert-side"


def goals_of(family: Metaworld, task: str, count: int) -> Task:
    """The first training goals of a task."""
    places = published_places(task, seed=0)[:count]
    number = np.full(len(places), TASKS.index(task))
    values = np.column_stack([number, places])
    return Task(family.task_names, values, np.arange(len(places)))


def ours(world: VecWorld, task: Task, rng: np.random.Generator) -> float:
    """Steps per CPU second of all worlds together."""
    world.reset(task)
    actions = rng.uniform(-1, 1, (STEPS // WORLDS, WORLDS, 4))
    begin = process_time()
    for action in actions:
        world.step(action)
    return STEPS / (process_time() - begin)


def theirs(environment: TaskEnvironment, goal: Array, rng: np.random.Generator) -> float:
    """Steps per CPU second of metaworld's own environment, without what is replaced of it."""
    env: Any = environment.env
    environment.reset(goal)
    actions = rng.uniform(-1, 1, (STEPS, 4))
    with patch.object(import_module(type(env).__module__), "Rotation", Rotation, create=True):
        begin = process_time()
        for action in actions:
            env.step(action)
        return STEPS / (process_time() - begin)


def measure_speed(task: str, rounds: int) -> None:
    """Print both speeds and their ratio."""
    family: Metaworld = FAMILIES[f"{PREFIX}{ML1}{task}"]()
    goals = goals_of(family, task, WORLDS)
    world = VecWorld(family, n=WORLDS)
    environment = TaskEnvironment(task)
    del environment.env._get_curr_obs_combined_no_goal  # metaworld's own acts again
    goal = goals.values[0, 1:]
    rng = np.random.default_rng(0)
    pairs = [(ours(world, goals, rng), theirs(environment, goal, rng)) for _ in range(rounds)]
    own, other = np.median(pairs, 0)
    ratio = np.median([a / b for a, b in pairs])
    print(f"{task:<22} {own:9.0f} {other:10.0f} {ratio:6.2f}", flush=True)


def count_solved(task: str, goals: int) -> int:
    """How many goals the task's scripted expert solves, each in one episode."""
    from metaworld.policies import ENV_POLICY_MAP

    family: Metaworld = FAMILIES[f"{PREFIX}{ML1}{task}"]()
    expert = ENV_POLICY_MAP[f"{task}-v3"]()
    engine = MetaworldEngine()
    world = VecWorld(family, engine, n=1)
    every_goal = goals_of(family, task, goals)
    solved = 0
    for i in range(len(every_goal)):
        obs = world.reset(every_goal.take([i]))
        for _ in range(family.horizon):
            with_goal = obs[0, :OBSERVED].copy()
            with_goal[-3:] = engine.worlds[0].env._target_pos
            step = world.step(expert.get_action(with_goal)[None])
            obs = step.obs
            if step.success[0]:
                solved += 1
                break
    return solved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=EXPERT_TASKS)
    parser.add_argument("--goals", type=int, default=GOALS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tasks = options.tasks.split(",")
    print(f"{'task':<22} {'VecWorld':>9} {'metaworld':>10} {'ratio':>6}")
    for task in tasks:
        measure_speed(task, options.rounds)
    print(f"{'task':<22} solved by its expert")
    for task in tasks:
        solved = count_solved(task, options.goals)
        print(f"{task:<22} {solved} of {options.goals}", flush=True)


if __name__ == "__main__":
    main()
