"""How executors scale: ``python benchmarks/executor_scaling.py --executor ray --workers 1 2``.

Jobs with a fixed amount of work on one core leave a folder of a fixed size. Printed are the wall
time by the number of workers, the CPU time of the driver for each job (packing, sending, receiving,
unpacking, writing), and the bytes that went to the jobs and came back. On a busy machine the CPU
time still holds, the wall time does not.

``--folders PATH ...`` measures only what packing, and unpacking and writing, such folders take.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from time import monotonic, process_time

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

import executor_scaling  # this file: jobs are found by their module, and __main__ is another there

from adaptation.jobs.executor import Job
from adaptation.jobs.executors import EXECUTORS
from adaptation.jobs.packed_folder import pack_folder, replace_folder

SIZE = 300  # of the matrices that are multiplied
REPEATS = 5  # of writing a folder; the median is printed
FIRST = 2  # jobs that are not measured: they start processes and import


def work(folder: Path, products: int, kilobytes: int) -> float:
    """Multiply matrices so often, and leave bytes that cannot be compressed."""
    started = process_time()
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((SIZE, SIZE))
    for _ in range(products):
        matrix = np.tanh(matrix @ matrix)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_bytes(rng.bytes(1024 * kilobytes))
    return process_time() - started


def measure(options: argparse.Namespace, workers: int) -> None:
    with (
        tempfile.TemporaryDirectory() as place,
        EXECUTORS[options.executor](workers, options.address) as executor,
    ):
        for number in range(FIRST):
            submit(executor, Path(place) / f"first{number}", 1, options.kilobytes)
        list(executor.completed())
        sent = getattr(executor, "sent_bytes", 0)
        received = getattr(executor, "received_bytes", 0)
        started = monotonic()
        driver = process_time()
        for number in range(options.jobs):
            submit(executor, Path(place) / f"job{number}", options.products, options.kilobytes)
        outcomes = list(executor.completed())
        seconds = monotonic() - started
        driver = process_time() - driver
        errors = [outcome.error for outcome in outcomes if outcome.error is not None]
        if errors:
            raise SystemExit(errors[0])
        work_seconds = [outcome.result for outcome in outcomes]
        sent = getattr(executor, "sent_bytes", 0) - sent
        received = getattr(executor, "received_bytes", 0) - received
        print(
            f"{options.executor}, {workers} workers: {options.jobs} jobs in {seconds:.1f} s, "
            f"{np.mean(work_seconds):.2f} s of CPU each; the driver takes "
            f"{1e3 * driver / options.jobs:.1f} ms of CPU for a job, sends "
            f"{sent / options.jobs:,.0f} bytes and gets {received / options.jobs:,.0f} "
            f"(load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)",
            flush=True,
        )


def measure_folder(folder: Path) -> None:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    packed = pack_folder(folder)
    wall = []
    cpu = []
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        for _ in range(REPEATS):
            started = monotonic()
            used = process_time()
            replace_folder(packed, Path(place) / folder.name)
            wall.append(monotonic() - started)
            cpu.append(process_time() - used)
    print(
        f"{folder.name}: {size:,} bytes, packed {len(packed):,}; unpacked and written in "
        f"{1e3 * np.median(cpu):.0f} ms of CPU, {1e3 * np.median(wall):.0f} ms of wall time"
    )


def submit(executor: object, folder: Path, products: int, kilobytes: int) -> None:
    arguments = (folder, products, kilobytes)
    job = Job(folder.name, executor_scaling.work, arguments, folder=folder)
    executor.submit(job)  # type: ignore[attr-defined]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executor", default="ray")
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--products", type=int, default=3000, help="of matrices, in each job")
    parser.add_argument("--kilobytes", type=int, default=1300, help="that each job leaves")
    parser.add_argument("--folders", type=Path, nargs="+", default=[])
    given = parser.parse_args()
    for path in given.folders:
        measure_folder(path)
    for count in [] if given.folders else given.workers:
        measure(given, count)
