"""What the time of simulated worlds in MuJoCo consists of: CPU time of one thread, in µs.

    python benchmarks/control_period.py [--families cheetah_params carry slide]

Each row is the time of one control period of all worlds together, for as many worlds as the
oracle's training has:

- physics: the physics alone in C, one call of ``mujoco.batch`` for the whole episode (scenes with
  fine steps during an impact: a call for each tick);
- by period: the same physics, one call for each control period;
- all: ``VecWorld`` with everything on: action map, gate, signals, observation and reward too.

CPU time of one thread hardly depends on other work on the machine. With k cores the physics take
1/k of it, and the rest stays.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adaptation.jobs.families import worlds_in_training
from sim.engines.mujoco import MujocoEngine
from sim.families import make_family
from sim.speed import Episode, Stretch, open_loop_run, record, vec_world_run
from sim.vec_world import VecWorld

MICRO = 1e6


def by_period(episode: Episode) -> Episode:
    """The same physics steps, one stretch for each control period."""
    if len(episode.stretches) > 1:
        return episode
    periods = episode.control_steps // len(episode.task)
    pieces = np.split(episode.control, periods, axis=1)
    stretches = [Stretch(np.ascontiguousarray(piece), None, None) for piece in pieces]
    return replace(episode, stretches=stretches)


def measure(name: str, repeats: int) -> dict[str, float]:
    """The shortest CPU time of a control period for each kind of run, s."""
    family = make_family(name)
    episode = record(family, worlds_in_training(family))
    n = len(episode.task)
    world = VecWorld(family, MujocoEngine(threads=1), n)
    clock = time.process_time
    runs: dict[str, Callable[[], float]] = {
        "physics": open_loop_run(episode, 1, clock),
        "by period": open_loop_run(by_period(episode), 1, clock),
        "all": vec_world_run(world, episode.task, episode.actions, clock),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in runs}
    for _ in range(repeats):
        for kind, run in runs.items():
            seconds[kind].append(run())
    periods = episode.control_steps / n
    return {kind: min(values) / periods for kind, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=["cheetah_params", "carry", "slide"])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"{'family':<20} {'physics':>8} {'by period':>10} {'all':>8} {'physics/all':>12}")
    for name in options.families:
        times = measure(name, options.repeats)
        columns = [MICRO * times[kind] for kind in ("physics", "by period", "all")]
        share = times["physics"] / times["all"]
        print(f"{name:<20} {columns[0]:8.0f} {columns[1]:10.0f} {columns[2]:8.0f} {share:12.2f}")


if __name__ == "__main__":
    main()
