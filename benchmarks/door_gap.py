"""The value of knowing a door: the best push found for each, or the one that is best on average.

Nothing is learned here. The same pushes are tried at all doors in an engine; all doors have the
same target. The best one of each door is refined, then repeated; so is the push with the highest
mean return. The family latch has knocks instead of pushes, and drawers among its doors.

    python benchmarks/door_gap.py --doors 60 --family latch
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from robots.signals import Array
from robots.world import Task
from sim.families import make_family
from sim.families.door import Door
from sim.families.latch import Latch
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

COMMON = 32  # pushes that are tried at every door
ROUNDS = 5  # of refinement of each door's best push
CANDIDATES = 8  # pushes of a round, for each door
SPREAD = 0.15  # of the candidates of the first round, in a normalized action
SHRINKS = 0.6  # their spread from round to round
# the target of all doors, rad or m: a push for all must not have to suit several
TARGETS = {"marker.angle": np.radians(33), "marker.opening": 0.11}


def play(family: Door | Latch, engine: str, task: Task, action: Array) -> tuple[Array, Array]:
    """Return and success, (n,) each, of pushes (n, a)."""
    world = VecWorld(family, engine, len(task))
    world.reset(task)
    step = world.step(action)
    world.close()
    return step.reward, step.success


def values(family: Door | Latch, engine: str, task: Task, actions: Array) -> Array:
    """Returns (n, k) of k pushes at each of n doors; actions are (n, k, a)."""
    pushes = actions.swapaxes(0, 1)
    return np.stack([play(family, engine, task, push)[0] for push in pushes], 1)


def best_of(actions: Array, returns: Array) -> Array:
    """The best push of each door, (n, a)."""
    rows = np.arange(len(actions))
    return np.asarray(actions[rows, returns.argmax(1)])


def search(
    family: Door | Latch, engine: str, task: Task, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The push that is best on average, and the best one found for each door, (n, a) each."""
    n = len(task)
    size = len(family.action.spec)
    pushes = rng.uniform(-1, 1, (COMMON, size))
    if isinstance(family, Door):
        pushes[:, 2] = rng.uniform(0.2, 1, COMMON)  # beyond the closed door
    actions = np.tile(pushes, (n, 1, 1))
    returns = values(family, engine, task, actions)
    blind = np.tile(pushes[returns.mean(0).argmax()], (n, 1))
    best = best_of(actions, returns)
    spread = SPREAD
    for _ in range(ROUNDS):
        noise = spread * rng.normal(size=(n, CANDIDATES, size))
        noise[:, 0] = 0.0
        actions = np.clip(best[:, None] + noise, -1, 1)
        best = best_of(actions, values(family, engine, task, actions))
        spread *= SHRINKS
    return blind, best


def main() -> None:
    """Print return and success of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--doors", type=int, default=60)
    parser.add_argument("--family", choices=["door", "latch"], default="door")
    parser.add_argument("--arm", default="panda")
    parser.add_argument("--engines", nargs="+", default=["mujoco", "bullet"])
    options = parser.parse_args()
    family = make_family(options.family, options.arm)
    assert isinstance(family, (Door, Latch))
    targets = {
        name: np.full(options.doors, value)
        for name, value in TARGETS.items()
        if name in family.task_names
    }
    table = Table("engine", "doors", "one push for all", "best for each")
    for engine in options.engines:
        for split in SPLITS:
            rng = np.random.default_rng(SPLITS.index(split))
            task = family.sample(rng, options.doors, split)
            task = task.with_columns(targets)
            cells = []
            for action in search(family, engine, task, rng):
                returns, success = play(family, engine, task, action)
                cells.append(f"{100 * success.mean():.0f} %, {returns.mean():.2f}")
            table.add_row(engine, split, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
