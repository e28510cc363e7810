"""The value of knowing slide's object: scripted strikes that know it against ones that do not.

Nothing is learned here. Where an object comes to rest does not depend on the target, so one table
of objects x strikes gives the return of every strike for every target:

- knowing: each task's own best strike, refined twice around the best one so far;
- blind: for each target the one strike of the table that is best on average over objects of the
  training split, the object itself left out.

The strikes that were chosen are then played again from fresh starts, and these are what is
reported: the best of many noisy outcomes is better than it will be again. "ratio" is the share of
knowing's return that is earned without knowing. The engines play the same strikes at the same
objects: "r" is the correlation of their distances, and "distances" the median ratio of PyBullet's
to MuJoCo's, over objects that move in both. Unit: return, of which 1 is perfect.
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from robots.signals import Array
from robots.world import Task
from sim.engines.base import Engine
from sim.engines.mujoco import MujocoEngine
from sim.families.slide import Slide
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

FAMILY = Slide()
OBJECT = FAMILY.obs.indices(["object.x", "object.y"])
TARGET = FAMILY.obs.indices(["target.x", "target.y"])
SPREAD = (0.1, 0.03)  # of the two refinements around the best strike, as shares of half the ranges
LOWEST = (-0.4, -1.0)  # of the common strikes; slower ones send no object far enough
HIGHEST = (1.0, 1.0)
MOVED = 0.05  # m: an object that went less was hardly touched
LIMIT = 64  # objects that are drawn, whatever share of them is played
REPEATS = 8  # fresh starts of a strike that was chosen


@dataclass(frozen=True)
class Played:
    """Objects, and the outcomes of strikes: n objects, k common strikes."""

    task: Task
    strikes: Array  # (k, 2), the common ones
    obs: Array  # (n, k, o) after the common strikes
    best: Array  # (n, 2), each task's own best strike
    knowing: tuple[Array, Array]  # return and success of the best, each (n,), from fresh starts


def tasks_of(split: str, count: int) -> Task:
    """The same objects in both engines, and the first ones if there are fewer."""
    rng = np.random.default_rng(SPLITS.index(split))
    return FAMILY.sample(rng, LIMIT, split).take(slice(count))


def make_world(engine: str, count: int) -> VecWorld:
    """A world of one thread: the processes take the cores."""
    chosen: str | Engine = MujocoEngine(threads=1) if engine == "mujoco" else engine
    return VecWorld(FAMILY, chosen, count, seed=0)


def play(world: VecWorld, task: Task, strikes: Array) -> Array:
    """The last observation of one episode with a strike (n, 2) per task, (n, o)."""
    world.reset(task)
    return world.step(strikes).obs


def evaluate(obs: Array, task: Task) -> tuple[Array, Array]:
    """Return and success of ending at ``obs`` (..., o), for tasks with targets of their own."""
    target = task.columns("marker.x", "marker.y")
    if obs.ndim == 3:
        target = target[:, None]
    end = obs.copy()
    end[..., TARGET] = target
    start = end.copy()
    start[..., OBJECT] = FAMILY.mark
    return FAMILY.reward(start, None, end, None), FAMILY.success(end, None)


def replay(world: VecWorld, task: Task, strikes: Array) -> tuple[Array, Array]:
    """Mean return and success, (n,) each, of strikes (n, 2) from fresh starts."""
    all_returns = []
    all_success = []
    for _ in range(REPEATS):
        obs = play(world, task, strikes)
        returns, success = evaluate(obs, task)
        all_returns.append(returns)
        all_success.append(success)
    return np.mean(all_returns, 0), np.mean(all_success, 0)


def run(engine: str, split: str, tasks: int, strikes: int, refinements: int) -> Played:
    """Play the common strikes, then refine each task's own best; one process's work."""
    task = tasks_of(split, tasks)
    world = make_world(engine, tasks)
    common = np.random.default_rng(7).uniform(LOWEST, HIGHEST, (strikes, 2))
    ends = [play(world, task, np.tile(strike, (tasks, 1))) for strike in common]
    table = np.stack(ends, 1)
    returns, _ = evaluate(table, task)
    best = common[returns.argmax(1)]
    best_return = returns.max(1)
    rng = np.random.default_rng(SPLITS.index(split))
    for spread in SPREAD:
        around = rng.normal(best, spread, (refinements, tasks, 2)).clip(-1, 1)
        for strike in around:
            obs = play(world, task, strike)
            new_return, _ = evaluate(obs, task)
            is_better = new_return > best_return
            best = np.where(is_better[:, None], strike, best)
            best_return = np.maximum(new_return, best_return)
    knowing = replay(world, task, best)
    world.close()
    return Played(task, common, table, best, knowing)


def choose_blindly(train: Played, judged: Played) -> Array:
    """For each judged task the strike (n, 2) that is best on average over other objects."""
    names = train.task.names
    target_columns = [names.index("marker.x"), names.index("marker.y")]
    chosen = []
    for i, target in enumerate(judged.task.columns("marker.x", "marker.y")):
        values = train.task.values.copy()
        values[:, target_columns] = target
        with_this_target = Task(names, values, train.task.ids)
        returns, _ = evaluate(train.obs, with_this_target)
        if train is judged:
            returns = np.delete(returns, i, 0)
        best = returns.mean(0).argmax()
        chosen.append(train.strikes[best])
    return np.stack(chosen)


def replay_blind(engine: str, task: Task, strikes: Array) -> tuple[Array, Array]:
    """Return and success, (n,) each, of strikes chosen for other objects; a process's work."""
    world = make_world(engine, len(task))
    outcome = replay(world, task, strikes)
    world.close()
    return outcome


def distances(played: Played, objects: int, strikes: int) -> Array:
    """How far the first common strikes moved the first objects, (objects, strikes) m."""
    positions = played.obs[:objects, :strikes, OBJECT]
    moved: Array = np.linalg.norm(positions - FAMILY.mark, axis=-1)
    return moved


def agreement(a: Played, b: Played) -> tuple[float, float]:
    """Correlation of the distances in two engines, and the median ratio of b's to a's."""
    objects = min(len(a.task), len(b.task))
    strikes = min(len(a.strikes), len(b.strikes))
    in_a = distances(a, objects, strikes)
    in_b = distances(b, objects, strikes)
    moved_in_both = (in_a > MOVED) & (in_b > MOVED)
    far_in_a = in_a[moved_in_both]
    far_in_b = in_b[moved_in_both]
    correlations = np.corrcoef(far_in_a, far_in_b)  # (2, 2)
    ratio = np.median(far_in_b / far_in_a)
    return float(correlations[0, 1]), float(ratio)


def measure(sizes: dict[str, tuple[int, int]], refinements: int) -> list[dict[str, Any]]:
    """All rows, given each engine's numbers of objects and common strikes."""
    cells = [(engine, split) for engine in sizes for split in SPLITS]
    cores = min(len(cells), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        runs = {}
        for engine, split in cells:
            tasks, strikes = sizes[engine]
            runs[engine, split] = pool.submit(run, engine, split, tasks, strikes, refinements)
        played = {cell: future.result() for cell, future in runs.items()}
        replays = {}
        for engine, split in cells:
            judged = played[engine, split]
            chosen = choose_blindly(played[engine, "train"], judged)
            replays[engine, split] = pool.submit(replay_blind, engine, judged.task, chosen)
        blind = {cell: future.result() for cell, future in replays.items()}
    rows = []
    for engine, split in cells:
        returns, success = played[engine, split].knowing
        blind_returns, blind_success = blind[engine, split]
        correlation, ratio = agreement(played["mujoco", split], played["bullet", split])
        blind_return = float(blind_returns.mean())
        knowing_return = float(returns.mean())
        blind_rate = float(blind_success.mean())
        knowing_rate = float(success.mean())
        rows.append(
            {
                "name": f"slide in {engine}, {split}",
                "ratio": blind_return / knowing_return,
                "ours": blind_return,
                "peer": knowing_return,
                "unit": "return",
                "success": [blind_rate, knowing_rate],
                "tasks": len(returns),
                "r": correlation,
                "distances": ratio,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mujoco", type=int, nargs=2, default=(24, 96), help="objects, strikes")
    parser.add_argument("--bullet", type=int, nargs=2, default=(12, 96), help="objects, strikes")
    parser.add_argument(
        "--refinements", type=int, default=10, help="strikes around each task's best, twice"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    for objects, strikes in (options.mujoco, options.bullet):
        if not 1 < objects <= LIMIT or strikes < 1:
            parser.error(f"there must be 2 to {LIMIT} objects and a strike")
    # the slower one first
    sizes = {"bullet": options.bullet, "mujoco": options.mujoco}
    rows = measure(sizes, options.refinements)
    if options.json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    table = Table(
        "benchmark", "ratio", "blind", "knowing", "success", "r", "distances", title="returns"
    )
    for row in rows:
        returns = [f"{row[key]:.2f}" for key in ("ratio", "ours", "peer")]
        engines = [f"{row[key]:.2f}" for key in ("r", "distances")]
        blind, knowing = row["success"]
        success = f"{blind:.2f}, {knowing:.2f}"
        table.add_row(row["name"], *returns, success, *engines)
    Console().print(table)


if __name__ == "__main__":
    main()
