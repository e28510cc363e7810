"""The value of knowing slide's object: scripted strikes that know it against ones that do not.

Nothing is learned here. A strike is three numbers, played open loop: how hard to push forward, and
how far to the side before and during the blow. Where an object comes to rest does not depend on the
target, so one table of objects × strikes gives the return of every strike for every target:

- oracle: each task's own best strike, refined twice around the best one so far;
- blind: for each target the one strike of the table that is best on average over objects of the
  training split, the object itself left out.

The ratio is the share of the oracle's return that is earned without knowing; success is blind's and
the oracle's. The engines play the same strikes at the same objects: "r" is the correlation of their
distances, and "distances" the median ratio of PyBullet's to MuJoCo's, over objects that move in
both. Unit: return, of which 1 is perfect.
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
from sim.families.slide import START, Slide
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

FAMILY = Slide()
OBJECT = FAMILY.obs.indices(["object.x", "object.y"])
TARGET = FAMILY.obs.indices(["target.x", "target.y"])
AIM = 2  # actions before the blow: the tool travels toward the object
SPREAD = (0.15, 0.05)  # of the two refinements around the best strike
# of the common strikes; further aside, the tool passes by
LOWEST = (-0.8, -0.6, -0.6)
HIGHEST = (1.0, 0.6, 0.6)
MOVED = 0.05  # m: an object that went less was hardly touched
LIMIT = 64  # objects that are drawn, whatever share of them is played


@dataclass(frozen=True)
class Played:
    """Objects and the outcomes of strikes: n objects, k strikes, the first ``common`` for all."""

    task: Task
    common: int
    obs: Array  # (n, k, o) at the end of the episode


def play(world: VecWorld, task: Task, strikes: Array) -> Array:
    """The last observation of one episode with a strike (n, 3) per task, (n, o)."""
    world.reset(task)
    for k in range(FAMILY.horizon):
        side = 1 if k < AIM else 2
        step = world.step(strikes[:, [0, side]])
    return step.obs


def evaluate(obs: Array, task: Task) -> tuple[Array, Array]:
    """Return and success of ending at ``obs`` (..., o), for tasks with targets of their own."""
    target = task.columns("marker.x", "marker.y")
    if obs.ndim == 3:
        target = target[:, None]
    end = obs.copy()
    end[..., TARGET] = target
    start = end.copy()
    start[..., OBJECT] = START
    return FAMILY.reward(start, None, end, None), FAMILY.success(end, None)


def run(engine: str, split: str, tasks: int, strikes: int, refinements: int) -> Played:
    """Play the common strikes, then each task's own; one process's work."""
    rng = np.random.default_rng(SPLITS.index(split))
    # the same objects in both engines, and the first ones if there are fewer
    task = FAMILY.sample(rng, LIMIT, split).take(slice(tasks))
    chosen: str | Engine = MujocoEngine(threads=1) if engine == "mujoco" else engine
    world = VecWorld(FAMILY, chosen, tasks, seed=0)
    common = np.random.default_rng(7).uniform(LOWEST, HIGHEST, (strikes, 1, 3))
    played = common.repeat(tasks, 1)
    ends = [play(world, task, strike) for strike in played]
    for spread in SPREAD:
        returns, _ = evaluate(np.stack(ends, 1), task)
        best = played[returns.argmax(1), np.arange(tasks)]
        around = rng.normal(best, spread, (refinements, tasks, 3)).clip(-1, 1)
        ends += [play(world, task, strike) for strike in around]
        played = np.concatenate([played, around])
    world.close()
    return Played(task, strikes, np.stack(ends, 1))


def blind(train: Played, judged: Played) -> tuple[Array, Array]:
    """Return and success, (n,) each, of the best strike on average over other training objects."""
    names = train.task.names
    target_columns = [names.index("marker.x"), names.index("marker.y")]
    table = train.obs[:, : train.common]
    chosen = np.empty(len(judged.task), dtype=np.int64)
    for i, target in enumerate(judged.task.columns("marker.x", "marker.y")):
        values = train.task.values.copy()
        values[:, target_columns] = target
        returns, _ = evaluate(table, Task(names, values, train.task.ids))
        if train is judged:
            returns = np.delete(returns, i, 0)
        chosen[i] = returns.mean(0).argmax()
    return evaluate(judged.obs[np.arange(len(chosen)), chosen], judged.task)


def distances(played: Played, objects: int, strikes: int) -> Array:
    """How far the first common strikes moved the first objects, (objects, strikes) m."""
    positions = played.obs[:objects, :strikes, OBJECT]
    moved: Array = np.linalg.norm(positions - START, axis=-1)
    return moved


def agreement(a: Played, b: Played) -> tuple[float, float]:
    """Correlation of the distances in two engines, and the median ratio of b's to a's."""
    objects = min(len(a.task), len(b.task))
    strikes = min(a.common, b.common)
    in_a = distances(a, objects, strikes)
    in_b = distances(b, objects, strikes)
    moved = (in_a > MOVED) & (in_b > MOVED)
    correlation = np.corrcoef(in_a[moved], in_b[moved])[0, 1]
    ratio = np.median(in_b[moved] / in_a[moved])
    return float(correlation), float(ratio)


def measure(sizes: dict[str, tuple[int, int]], refinements: int) -> list[dict[str, Any]]:
    """All rows, given each engine's numbers of objects and common strikes."""
    jobs = [
        (engine, split, *size, refinements) for engine, size in sizes.items() for split in SPLITS
    ]
    cores = min(len(jobs), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        running = {job[:2]: pool.submit(run, *job) for job in jobs}
        played = {key: future.result() for key, future in running.items()}
    rows = []
    for (engine, split), judged in played.items():
        returns, success = evaluate(judged.obs, judged.task)
        blind_return, blind_success = blind(played[engine, "train"], judged)
        oracle_success = success[np.arange(len(returns)), returns.argmax(1)]
        correlation, ratio = agreement(played["mujoco", split], played["bullet", split])
        rows.append(
            {
                "name": f"slide in {engine}, {split}",
                "ratio": float(blind_return.mean() / returns.max(1).mean()),
                "ours": float(blind_return.mean()),
                "peer": float(returns.max(1).mean()),
                "unit": "return",
                "success": [float(blind_success.mean()), float(oracle_success.mean())],
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
        "benchmark", "ratio", "blind", "oracle", "success", "r", "distances", title="returns"
    )
    for row in rows:
        blind, oracle = row["success"]
        numbers = [f"{row[key]:.2f}" for key in ("ratio", "ours", "peer", "r", "distances")]
        table.add_row(row["name"], *numbers[:3], f"{blind:.2f}, {oracle:.2f}", *numbers[3:])
    Console().print(table)


if __name__ == "__main__":
    main()
