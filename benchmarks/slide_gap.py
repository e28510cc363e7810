"""What it is worth to know slide's object: scripted strikes that know it against scripted strikes that do not.

Nothing is learnt here. A strike is three numbers, played open loop: how hard to push forward, and how far to the side
before and during the blow. Where an object comes to rest does not depend on the target, so one table of objects ×
strikes tells what every strike is worth for every target:

- oracle: each task's own best strike, refined twice around the best one found;
- blind: for each target the one strike of the table that is best on average over objects of the training split, the
  object itself left out.

The ratio is the share of the oracle's return that is had without knowing; success is blind's and the oracle's. The
engines play the same strikes at the same objects: "r" is how well their distances correlate, and "distances" the
median ratio of PyBullet's to MuJoCo's, over objects that move in both. Unit: return, of which 1 is perfect.
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
from sim.engines.mujoco import MujocoEngine
from sim.families.slide import START, Slide
from sim.families.splits import SPLITS
from sim.vec_world import VecWorld

FAMILY = Slide()
AIM = 2  # actions before the blow: the tool travels towards the object
SPREAD = (0.15, 0.05)  # of the two refinements around the best strike
RANGE = (
    (-0.8, -0.6, -0.6),
    (1.0, 0.6, 0.6),
)  # of the common strikes: further aside, and the tool passes by
MOVED = 0.05  # m: an object that went less was hardly touched
LIMIT = 64  # objects that are drawn, whatever share of them is played


@dataclass(frozen=True)
class Played:
    """Objects and what strikes did to them: n objects, k strikes, of which the first ``common`` are everybody's."""

    task: Task
    common: int
    obs: Array  # (n, k, o) at the end of the episode


def play(world: VecWorld, task: Task, strikes: Array) -> Array:
    """The last observation of one episode with a strike (n, 3) per task, (n, o)."""
    world.reset(task)
    for k in range(FAMILY.horizon):
        step = world.step(strikes[:, [0, 1 if k < AIM else 2]])
    return step.obs


def worth(obs: Array, task: Task) -> tuple[Array, Array]:
    """Return and success of ending at ``obs`` (..., o), for tasks that may have other targets than those played."""
    target = task.columns("marker.x", "marker.y")
    target = np.broadcast_to(target[:, None] if obs.ndim == 3 else target, (*obs.shape[:-1], 2))
    end, start = obs.copy(), obs.copy()
    end[..., 11:13] = start[..., 11:13] = target
    start[..., 4:6] = START
    return FAMILY.reward(start, None, end, None), FAMILY.success(end, None)


def run(engine: str, split: str, tasks: int, strikes: int, refinements: int) -> Played:
    """Play the common strikes, then each task's own; one process's work."""
    rng = np.random.default_rng(SPLITS.index(split))
    task = FAMILY.sample(rng, LIMIT, split).take(
        slice(tasks)
    )  # the same objects in both engines, however many
    world = VecWorld(
        FAMILY, MujocoEngine(threads=1) if engine == "mujoco" else engine, tasks, seed=0
    )
    told = (
        np.random.default_rng(7).uniform(*RANGE, (strikes, 1, 3)).repeat(tasks, 1)
    )  # of fewer, the first ones
    ends = [play(world, task, strike) for strike in told]
    for spread in SPREAD:
        best = worth(np.stack(ends, 1), task)[0].argmax(1)
        around = rng.normal(told[best, np.arange(tasks)], spread, (refinements, tasks, 3)).clip(
            -1, 1
        )
        ends += [play(world, task, strike) for strike in around]
        told = np.concatenate([told, around])
    world.close()
    return Played(task, strikes, np.stack(ends, 1))


def blind(train: Played, judged: Played) -> tuple[Array, Array]:
    """Return and success, (n,) each, of the strike that is best on average over the other training objects."""
    names, table = train.task.names, train.obs[:, : train.common]
    chosen = np.empty(len(judged.task), dtype=np.int64)
    for i, target in enumerate(judged.task.columns("marker.x", "marker.y")):
        values = train.task.values.copy()
        values[:, [names.index("marker.x"), names.index("marker.y")]] = target
        returns, _ = worth(table, Task(names, values, train.task.ids))
        chosen[i] = np.delete(returns, i if train is judged else [], 0).mean(0).argmax()
    returns, success = worth(judged.obs[np.arange(len(chosen)), chosen], judged.task)
    return returns, success


def agreement(a: Played, b: Played) -> tuple[float, float]:
    """Correlation of the distances that objects went in two engines, and the median ratio of b's to a's."""
    n, k = min(len(a.task), len(b.task)), min(a.common, b.common)
    far, near = (np.linalg.norm(x.obs[:n, :k, 4:6] - START, axis=-1).ravel() for x in (a, b))
    moved = (far > MOVED) & (near > MOVED)
    return float(np.corrcoef(far[moved], near[moved])[0, 1]), float(
        np.median(near[moved] / far[moved])
    )


def measure(sizes: dict[str, tuple[int, int]], refinements: int) -> list[dict[str, Any]]:
    """All rows, given each engine's numbers of objects and common strikes."""
    jobs = [
        (engine, split, *size, refinements) for engine, size in sizes.items() for split in SPLITS
    ]
    cores = min(len(jobs), len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        played = dict(
            zip([job[:2] for job in jobs], pool.map(run, *zip(*jobs, strict=True)), strict=True)
        )
    rows = []
    for (engine, split), judged in played.items():
        returns, success = worth(judged.obs, judged.task)
        blind_return, blind_success = blind(played[engine, "train"], judged)
        won = success[np.arange(len(returns)), returns.argmax(1)]
        r, distances = agreement(played["mujoco", split], played["bullet", split])
        rows.append(
            {
                "name": f"slide in {engine}, {split}",
                "ratio": float(blind_return.mean() / returns.max(1).mean()),
                "ours": float(blind_return.mean()),
                "peer": float(returns.max(1).mean()),
                "unit": "return",
                "success": [float(blind_success.mean()), float(won.mean())],
                "tasks": len(returns),
                "r": r,
                "distances": distances,
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
    asked = parser.parse_args()
    if any(
        not 1 < objects <= LIMIT or strikes < 1 for objects, strikes in (asked.mujoco, asked.bullet)
    ):
        parser.error(f"there must be 2 to {LIMIT} objects and a strike")
    rows = measure(
        {"bullet": asked.bullet, "mujoco": asked.mujoco}, asked.refinements
    )  # the slower one first
    if asked.json:
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
