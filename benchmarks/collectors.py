"""How collection scales with collectors: ``python benchmarks/collectors.py --collectors 1 2``.

A method that has learned nothing acts in the worlds of an iteration, which are divided among so
many workers. Printed are environment steps a second, the CPU time of a step in the workers and in
the process that learns, and the bytes that go to a worker and come back in an iteration. On a busy
machine the CPU times still hold, the steps a second do not. The physics have threads of their own:
on this machine a single collector uses all cores for them.
"""

import argparse
import os
import sys
from pathlib import Path
from time import monotonic, process_time
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

import collectors  # this file: functions are found by their module, and __main__ is another there
import torch

from adaptation.jobs.collection import CollectPacked, Packed, pack_acting_state
from adaptation.jobs.executors import EXECUTORS
from adaptation.jobs.shards import ShardedCollector, build_checked
from adaptation.jobs.training_tasks import TrainingTasks
from adaptation.runs import checkpoint
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig, check_config
from policies.fields import declared_fields
from sim.task_samplers.uniform import UniformTasks

FIRST = 1  # iterations that are not measured: processes start and import


class Measured:
    """An executor whose workers also say what CPU time they took.

    Attributes:
        cpu: s, of all workers since they began.
        received: bytes of all trials.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self.is_remote = executor.is_remote
        self.share = executor.share
        self.cpu = 0.0
        self.received = 0

    def start_worker(self, build: Any, *arguments: Any) -> "MeasuredWorker":
        assert build is build_checked
        return MeasuredWorker(self, self._executor.start_worker(collectors.build, *arguments))


class MeasuredWorker:
    """A worker that adds to its executor's numbers."""

    def __init__(self, measured: Measured, worker: Any) -> None:
        self._measured = measured
        self._worker = worker
        self.send = worker.send
        self.close = worker.close

    def receive(self) -> Packed:
        packed, cpu = self._worker.receive()
        self._measured.cpu += cpu
        self._measured.received += sum(map(len, packed))
        return packed


def build(*arguments: Any) -> Any:
    """Collects, and says what CPU time it took, s."""
    collect: CollectPacked = build_checked(*arguments)

    def measure(*given: Any) -> tuple[Packed, float]:
        started = process_time()
        packed = collect(*given)
        return packed, process_time() - started

    return measure


def measure(options: argparse.Namespace, count: int) -> None:
    numbers = {"schedule.meta_batch": options.worlds, "schedule.random_trials": 0}
    names = declared_fields(checkpoint.method_class(options.method).Config)
    settings = {name: n for end, n in numbers.items() for name in names if name.endswith(end)}
    asked = RunConfig(options.method, options.family, collectors=count, settings=settings)
    c = check_config(asked)
    run = Run(Path(), c)
    config: Any = checkpoint.method_config(c.method, run.family, c.preset, c.settings)
    method = checkpoint.build(c.method, run.family, c.seed, config)
    tasks = TrainingTasks(UniformTasks(run.family), method, c.seed)
    packed = pack_acting_state(method)
    steps = 0
    with EXECUTORS[options.executor](count, options.address) as executor:
        measured: Any = Measured(executor)
        sharded = ShardedCollector(run, "method", config, options.worlds, measured)
        for iteration in range(FIRST + options.iterations):
            if iteration == FIRST:
                measured.cpu = 0.0
                measured.received = 0
                started = monotonic()
                own = process_time()
            sharded.begin(iteration, packed, tasks.draw(iteration))
            trial = sharded.finish()
            if iteration >= FIRST:
                steps += int(trial.ticks.valid.sum())
        seconds = monotonic() - started
        own = process_time() - own
        sharded.close()
    print(
        f"{options.executor}, {count} collectors: {steps} steps of {options.family}, "
        f"{steps / seconds:.0f} steps/s; CPU of a step {1e6 * measured.cpu / steps:.0f} µs in the "
        f"workers and {1e6 * own / steps:.1f} µs here; in an iteration "
        f"{sum(map(len, packed)):,} bytes go to each worker and "
        f"{measured.received / options.iterations:,.0f} come back in all "
        f"(load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="processes")
    parser.add_argument("--address")
    parser.add_argument("--collectors", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--method", default="pearl")
    parser.add_argument("--family", default="ant_goal")
    parser.add_argument("--worlds", type=int, default=16, help="of an iteration")
    parser.add_argument("--iterations", type=int, default=2, help="that are measured")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for number in given.collectors:
        measure(given, number)
