"""How late the control loop's ticks are while a network trains: as a process, and as a thread.

The loop is the same in all cases: 500 Hz over the twin with gate, watchdog, tracker and recorder.
Ours runs in the process that ArmWorld starts, under SCHED_FIFO where that is allowed. The peers run
in a thread of the process that trains: an ordinary one, as most robot scripts have it, and one that
asks for SCHED_FIFO too. A process that only sleeps, at the same rate and priority and at the same
time as ours, shows what the machine itself allows: on a shared machine some ticks cannot be met.
Ratios are of the 99th percentiles of lateness, the peer's to ours.
"""

import argparse
import gc
import itertools
import json
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hw_interface.arm_world import ArmWorld
from hw_interface.control import process
from hw_interface.control.config import ControlConfig
from hw_interface.control.layout import LATENESS, Sizes
from hw_interface.control.pacing import become_realtime
from hw_interface.control.process import ControlLoop
from hw_interface.control.shared_state import SharedState
from hw_interface.control.words import Word
from hw_interface.devices import DevicePlan
from robots.signals import Array
from sim.families import FAMILIES
from sim.twin import Twin

FAMILY = FAMILIES["slide"]()
DT = Twin.capabilities.dt
BATCH = 256  # of an ordinary soft actor-critic, like the width
WIDTH = 256
OURS = "a process of its own"


@dataclass(frozen=True)
class Lateness:
    """How late a loop's ticks were, and how much the training beside it got done."""

    p50: float  # ms
    p99: float  # ms
    max: float  # ms
    ticks: int
    missed: int  # ticks
    realtime: bool  # whether SCHED_FIFO was granted
    gradient_steps: int

    @staticmethod
    def of(
        late: Array,
        ticks: int,
        missed: int,
        realtime: bool,
        gradient_steps: int = 0,
    ) -> "Lateness":
        """From the lateness (ticks,) s of each tick."""
        milliseconds = 1e3 * late
        return Lateness(
            p50=float(np.quantile(milliseconds, 0.5)),
            p99=float(np.quantile(milliseconds, 0.99)),
            max=float(milliseconds.max()),
            ticks=ticks,
            missed=missed,
            realtime=realtime,
            gradient_steps=gradient_steps,
        )


def make_network(inputs: int) -> torch.nn.Module:
    """A critic of the usual size."""
    sizes = (inputs, WIDTH, WIDTH, 1)
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers.append(torch.nn.Linear(before, after))
        layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers[:-1])


def train(seconds: float) -> int:
    """Train a network for some seconds; returns the number of gradient steps."""
    inputs = len(FAMILY.obs)
    network = make_network(inputs)
    optimizer = torch.optim.Adam(network.parameters())
    rng = np.random.default_rng(0)
    replay = rng.normal(size=(100_000, inputs + 1)).astype(np.float32)
    end = time.monotonic() + seconds
    steps = 0
    while time.monotonic() < end:
        rows = rng.integers(len(replay), size=BATCH)
        batch = torch.from_numpy(replay[rows])
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(batch[:, 1:]), batch[:, :1])
        loss.backward()
        optimizer.step()
        steps += 1
    return steps


def run_in_own_process(seconds: float) -> tuple[Lateness, Lateness]:
    """The control loop as Pliant runs it, and a timer beside it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(run_timer, 1.0).result()  # starts the process
        world = ArmWorld(FAMILY, FAMILY.body, clock="realtime")
        try:
            world.reset(FAMILY.sample(np.random.default_rng(0), 1))
            future = pool.submit(run_timer, seconds)
            steps = train(seconds)
            ours = measure(world.control.shared, steps)
            timer = replace(future.result(), gradient_steps=steps)
            return ours, timer
        finally:
            world.close()


def run_in_thread(seconds: float, ask_for_realtime: bool) -> Lateness:
    """The same loop in a thread beside the training."""
    sizes = Sizes.of(FAMILY)
    shared = SharedState(sizes)
    plan = DevicePlan(FAMILY.body, FAMILY.scene, Twin, {})
    config = ControlConfig(
        family=FAMILY,
        make_devices=plan.build,
        lockstep=False,
        shared=shared.name,
        parent=os.getppid(),
    )
    loop = ControlLoop(config)
    ask = become_realtime if ask_for_realtime else refuse_realtime
    with mock.patch.object(process, "become_realtime", ask):
        thread = threading.Thread(target=loop.run)
        thread.start()
        steps = train(seconds)
        result = measure(shared, steps)
        counts = np.zeros(len(Word), dtype=np.int64)
        counts[Word.QUIT] = 1
        shared.words.write(counts=counts)
        thread.join()
    gc.enable()  # the loop disables it
    shared.close()
    return result


def refuse_realtime() -> bool:
    return False


def run_timer(seconds: float) -> Lateness:
    """Only sleep from tick to tick; like the control loop it does not catch up on missed ticks."""
    realtime = become_realtime()
    gc.disable()
    ticks = round(seconds / DT)
    late = np.zeros(ticks)
    due = time.monotonic()
    for tick in range(ticks):
        due += DT
        remaining = due - time.monotonic()
        time.sleep(max(remaining, 0.0))
        late[tick] = time.monotonic() - due
        missed = late[tick] // DT
        due += DT * missed
    all_missed = int((late // DT).sum())
    return Lateness.of(late, ticks, all_missed, realtime)


def measure(shared: SharedState, steps: int) -> Lateness:
    """What a running control loop has published so far."""
    state = shared.state.read_latest()
    ticks = int(state["tick"])
    late = shared.lateness[: min(ticks, LATENESS)].astype(np.float64)
    missed = int(state["missed_ticks"])
    realtime = bool(state["realtime"])
    return Lateness.of(late, ticks, missed, realtime, steps)


def print_json(ours: Lateness, peers: dict[str, Lateness]) -> None:
    for peer, lateness in peers.items():
        row = {
            "name": f"p99 lateness of the control loop over {peer}",
            "ratio": lateness.p99 / ours.p99,
            "ours": ours.p99,
            "peer": lateness.p99,
            "unit": "ms",
        }
        print(json.dumps(row))


def print_table(ours: Lateness, peers: dict[str, Lateness], seconds: float) -> None:
    columns = ["p50", "p99", "max", "missed", "ticks", "FIFO", "gradient steps", "ratio"]
    loop = "500 Hz control loop beside a training network"
    title = f"{loop}, {seconds:g} s each; lateness in ms"
    table = Table("control loop in", *columns, title=title)
    for name, lateness in ({OURS: ours} | peers).items():
        table.add_row(
            name,
            f"{lateness.p50:.3f}",
            f"{lateness.p99:.3f}",
            f"{lateness.max:.3f}",
            str(lateness.missed),
            str(lateness.ticks),
            "yes" if lateness.realtime else "no",
            str(lateness.gradient_steps),
            f"{lateness.p99 / ours.p99:.1f}",
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each case")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = options.seconds
    ours, timer = run_in_own_process(seconds)
    peers = {
        "an ordinary thread": run_in_thread(seconds, ask_for_realtime=False),
        "a thread that asks for SCHED_FIFO": run_in_thread(seconds, ask_for_realtime=True),
        "none, only a timer": timer,
    }
    if options.json:
        print_json(ours, peers)
    else:
        print_table(ours, peers, seconds)


if __name__ == "__main__":
    main()
