"""The value of knowing the hole of insert: scripted controllers that know it, search it, or guess.

Nothing is learned here. One controller knows where the hole is and goes there; one presses straight
down where the hole is supposed to be; one presses lightly, follows a square spiral until the peg
sinks in, and pushes it down there. None remembers anything from one episode to the next.

    python benchmarks/insert_gap.py --tasks 200 --arms panda ur5e viperx --engines mujoco bullet
"""

import argparse
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from adaptation.reporting.estimators import wilson_interval
from robots.catalog import ARMS
from robots.signals import Array, Mask
from robots.world import Task
from sim.families.insert import ABOVE, LARGEST_OFFSET, LOWEST, POSITION, Insert
from sim.families.splits import SPLITS
from sim.randomization import with_ranges
from sim.vec_world import VecWorld

NEAR = 0.001  # m, beside the hole's center, from which the peg goes down
SUNK = 0.0008  # m below the rim, at which the peg's round end is in the hole
LIGHT = 0.004  # m below the rim, of the setpoint while the peg slides over the rim
PITCH = 0.007  # m between two turns of the spiral
STEP = 0.005  # m along the spiral in a decision

# From an observation (n, o) and the number of the decision to targets of the tool (n, 3) m,
# relative to where a peg touches the supposed hole.
Controller = Callable[[Array, int], Array]


def knowing(family: Insert, task: Task) -> Controller:
    """Above the hole, then down."""
    hole = np.column_stack(family.hole(task.values))

    def target(obs: Array, decision: int) -> Array:
        distance = np.abs(obs[:, :2] - hole).max(1)
        is_inside = obs[:, 2] < -SUNK
        goes_down = (distance < NEAR) | is_inside
        height = np.where(goes_down, -LOWEST, ABOVE / 2)
        return np.column_stack([hole, height])

    return target


def straight(family: Insert, task: Task) -> Controller:
    """Straight down at the supposed place."""
    return lambda obs, decision: np.tile([0.0, 0.0, -LOWEST], (len(obs), 1))


def searching(family: Insert, task: Task) -> Controller:
    """Along a square spiral over the rim, until the peg sinks in; then down."""
    place = np.zeros((len(task), 2))
    has_sunk = np.zeros(len(task), dtype=bool)
    path = spiral()

    def target(obs: Array, decision: int) -> Array:
        nonlocal has_sunk
        has_sunk = has_sunk | (obs[:, 2] < -SUNK)
        on_path = path[min(decision, len(path) - 1)]
        # a soft arm that presses drifts sideways: aim as far to the other side
        aim = on_path + (on_path - obs[:, :2])
        place[~has_sunk] = aim[~has_sunk]
        place[has_sunk] = obs[has_sunk, :2]
        height = np.where(has_sunk, -LOWEST, -LIGHT)
        return np.column_stack([place, height])

    return target


def spiral() -> Array:
    """Points (k, 2) m, ``STEP`` apart, on a square spiral that covers the supposed places."""
    corner = np.zeros(2)
    points = [corner]
    length = PITCH
    directions = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    side = 0
    while np.abs(points[-1]).max() < LARGEST_OFFSET:
        direction = directions[side % 4]
        count = round(length / STEP)
        for i in range(1, count + 1):
            points.append(corner + direction * length * i / count)
        corner = points[-1]
        side += 1
        if side % 2 == 0:
            length += PITCH
    return np.array(points)


CONTROLLERS = {"straight down": straight, "searches": searching, "knows the hole": knowing}


def drive(
    family: Insert, engine: str, n: int, split: str, kind: Callable[[Insert, Task], Controller]
) -> tuple[Mask, Array, Array]:
    """Control an episode of n tasks.

    Returns:
        Success (n,); s until the peg was in for good, infinite where it never was; and the largest
        observed force N, (n,) each.
    """
    world = VecWorld(family, engine, n, seed=0)
    task = family.sample(np.random.default_rng(0), n, split)
    controller = kind(family, task)
    low = family.obs.low[POSITION]
    high = family.obs.high[POSITION]
    obs = world.reset(task)
    time = np.full(n, np.inf)
    force = np.zeros(n)
    for decision in range(family.horizon):
        target = controller(obs, decision)
        step = world.step((2 * target - low - high) / (high - low))
        obs = step.obs
        time = np.where(step.success, np.minimum(time, step.stamp), np.inf)
        force = np.maximum(force, np.linalg.norm(obs[:, 3:6], axis=1))
    world.close()
    return step.success, time, force


def main() -> None:
    """Print success with its 95 % interval, median time and largest force of every controller."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--arms", nargs="+", default=["panda"])
    parser.add_argument("--engines", nargs="+", default=["mujoco"])
    parser.add_argument("--splits", nargs="+", default=list(SPLITS))
    parser.add_argument("--peg", type=int, help="the shape of all pegs, 0 or 1; both if not given")
    parser.add_argument(
        "--timestep", type=float, help="s of a physics substep, if not the family's"
    )
    options = parser.parse_args()
    table = Table("arm", "engine", "tasks", *CONTROLLERS)
    for arm in options.arms:
        family = Insert(ARMS[arm])
        if options.peg is not None:
            family = with_ranges(family, {"tool.shape": (options.peg,)})
        if options.timestep is not None:
            family.scene = family.scene.with_timestep(options.timestep)
        for engine in options.engines:
            for split in options.splits:
                cells = []
                for kind in CONTROLLERS.values():
                    cells.append(describe(*drive(family, engine, options.tasks, split, kind)))
                table.add_row(arm, engine, split, *cells)
    Console(width=140).print(table)


def describe(success: Mask, time: Array, force: Array) -> str:
    """A cell: success and its interval, the median time of all tasks, and the largest force."""
    low, high = wilson_interval(float(success.mean()), len(success))
    median = np.median(time)
    in_time = f"{median:.1f} s" if np.isfinite(median) else "-"
    share = f"{100 * success.mean():.0f} % ({100 * low:.0f} to {100 * high:.0f})"
    return f"{share}, {in_time}, {force.max():.0f} N"


if __name__ == "__main__":
    main()
