"""The value of knowing push's object: pushes planned on the true object, or on a mean one.

Nothing is learned here. The cross-entropy method plans each push on MuJoCo itself, from the true
start. One planner has the true object, the other one an object of the true shape whose other
parameters are in the middle of their ranges. Their pushes are then played in both engines.

    python benchmarks/push_gap.py --tasks 100 --arms panda ur5e viperx
"""

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from robots.catalog import ARMS
from robots.signals import Array
from robots.world import Start, Task
from sim.families.push import PHYSICS, SIZE_Z, Push
from sim.families.splits import SPLITS
from sim.randomization import values_at
from sim.vec_world import VecWorld

CANDIDATES = 32  # of an iteration, for each task
ELITES = 5
FIRST_STD = (0.35, 0.5, 0.2)  # of offset, direction and end
SHRINKS = 0.7  # of the elites' deviation, which is kept
KEPT = 0.15  # of the last deviation, which is added
CONTACT = 0.05  # m from the object's center to the tool's, about


def with_mean_object(task: Task) -> Task:
    """The tasks with objects that a planner which knows nothing assumes."""
    n = len(task)
    middle = values_at((*PHYSICS, SIZE_Z), np.full((1, len(PHYSICS) + 1), 0.5))[0]
    size_x, size_y, mass, friction, share_x, share_y, size_z = middle
    mean = {
        "object.size_x": size_x,
        "object.size_y": size_y,
        "object.size_z": size_z,
        "object.mass": mass,
        "object.friction": friction,
        "object.com_x": share_x * size_x,
        "object.com_y": share_y * size_y,
    }
    return task.with_columns({name: np.full(n, value) for name, value in mean.items()})


def play(family: Push, engine: str, task: Task, start: Start, action: Array) -> tuple[Array, Array]:
    """Return and success, (n,) each, of pushes (n, 3)."""
    world = VecWorld(family, engine, len(task))
    world.reset(task, start=start)
    step = world.step(action)
    world.close()
    return step.reward, step.success


def first_guess(family: Push, start: Start, task: Task) -> Array:
    """Pushes (n, 3) through the object's center toward the target."""
    assert start.object_pos is not None
    place = start.object_pos[:, :2]
    way = task.columns("marker.x", "marker.y") - place
    direction = np.arctan2(way[:, 1], way[:, 0])
    offset = place[:, 1] - np.tan(direction) * (place[:, 0] - family.mark[0])
    end = task["marker.x"] - CONTACT
    values = np.stack([offset, direction, end], -1)
    spec = family.action.spec
    share = (values - spec.low) / (spec.high - spec.low)
    return np.asarray(2 * share - 1)


def plan(
    family: Push, task: Task, start: Start, iterations: int, rng: np.random.Generator
) -> Array:
    """The best push found for each task, (n, 3)."""
    n = len(task)
    rows = np.repeat(np.arange(n), CANDIDATES)
    assert start.object_pos is not None
    assert start.object_quat is not None
    starts = Start(start.q[rows], None, start.object_pos[rows], start.object_quat[rows])
    tasks = task.take(rows)
    mean = first_guess(family, start, task)
    std = np.tile(FIRST_STD, (n, 1))
    for _ in range(iterations):
        noise = rng.normal(size=(n, CANDIDATES, 3))
        noise[:, 0] = 0.0
        candidates = np.clip(mean[:, None] + std[:, None] * noise, -1, 1)
        returns, _ = play(family, "mujoco", tasks, starts, candidates.reshape(-1, 3))
        order = np.argsort(-returns.reshape(n, CANDIDATES), 1)[:, :ELITES]
        elites = np.take_along_axis(candidates, order[..., None], 1)
        mean = elites[:, 0]
        std = SHRINKS * elites.std(1) + KEPT * std
    return mean


def main() -> None:
    """Print success and mean return of both planners."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--arms", nargs="+", default=["panda"])
    options = parser.parse_args()
    table = Table("arm", "engine", "tasks", "knows nothing", "knows the object")
    for arm in options.arms:
        family = Push(ARMS[arm])
        for split in SPLITS:
            rng = np.random.default_rng(SPLITS.index(split))
            task = family.sample(rng, options.tasks, split)
            start = family.start(rng, task)
            assumed = {"knows nothing": with_mean_object(task), "knows the object": task}
            plans = [
                plan(family, each, start, options.iterations, rng) for each in assumed.values()
            ]
            for engine in ("mujoco", "bullet"):
                cells = []
                for action in plans:
                    returns, success = play(family, engine, task, start, action)
                    cells.append(f"{100 * success.mean():.0f} %, {returns.mean():.2f}")
                table.add_row(arm, engine, split, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
