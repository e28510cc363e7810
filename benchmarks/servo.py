"""How late the servo's ticks are while a network trains: as a process of its own, and as a thread of the trainer.

The loop is the same to the line, 500 Hz over the twin with gate, watchdog, tracker and recorder's ring. Ours runs in
the process that ArmWorld starts, under SCHED_FIFO where that is allowed. The peers run in a thread of the process
that trains: an ordinary one, as most scripts for robots have it, and one that asks for SCHED_FIFO too. In the same
minute as ours a process that does nothing but sleep, at the same pace and priority, shows what the machine itself
allows: on a shared one, ticks that nobody could have met. Ratios are of the 99th percentiles of lateness, the peer's to
ours.
"""

import argparse
import functools
import gc
import itertools
import json
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hw_interface.arm_world import ArmWorld
from hw_interface.control import process
from hw_interface.control.process import ControlConfig, ControlLoop, Verb
from hw_interface.control.shared_state import LATENESS, SharedState
from robots.signals import Array
from sim.families import FAMILIES
from sim.twin import Twin

FAMILY = FAMILIES["slide"]()
BATCH, WIDTH = 256, 256  # of an ordinary soft actor-critic


def train(seconds: float) -> int:
    """Gradient steps on a network of the usual size, for some time; how many."""
    sizes = (len(FAMILY.obs), WIDTH, WIDTH, 1)
    layers = [
        m for a, b in itertools.pairwise(sizes) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())
    ]
    net = torch.nn.Sequential(*layers[:-1])
    adam = torch.optim.Adam(net.parameters())
    rng = np.random.default_rng(0)
    replay = rng.normal(size=(100_000, sizes[0] + 1)).astype(np.float32)
    until, steps = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        batch = torch.from_numpy(replay[rng.integers(len(replay), size=BATCH)])
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(batch[:, 1:]), batch[:, :1]).backward()
        adam.step()
        steps += 1
    return steps


def own_process(seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """The servo as Pliant runs it, and a timer beside it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        pool.submit(only_sleep, 1.0).result()  # it is up
        world = ArmWorld(FAMILY, FAMILY.body, clock="wall")
        try:
            world.reset(FAMILY.sample(np.random.default_rng(0), 1))
            timer = pool.submit(only_sleep, seconds)
            steps = train(seconds)
            return compare_policies(world._shared, steps), timer.result() | {"training": steps}
        finally:
            world.close()


def same_process(seconds: float, realtime: bool) -> dict[str, Any]:
    """The same loop in a thread beside the training."""
    shared = SharedState(len(FAMILY.body.joints), len(FAMILY.action.spec))
    make = functools.partial(Twin, FAMILY.body, FAMILY.scene)
    loop = ControlLoop(
        ControlConfig(FAMILY, make, lockstep=False, shared=shared.name, parent=os.getppid())
    )
    ask = process._become_realtime if realtime else lambda: False
    with mock.patch.object(process, "_become_realtime", ask):
        thread = threading.Thread(target=loop.run)
        thread.start()
        steps = train(seconds)
        result = compare_policies(shared, steps)
        shared.request.write(number=1, verb=int(Verb.QUIT))
        thread.join()
    gc.enable()
    shared.close()
    return result


def only_sleep(seconds: float) -> dict[str, Any]:
    """No servo at all."""
    realtime = process._become_realtime()
    gc.disable()
    late, due = np.zeros(round(seconds / Twin.dt)), time.monotonic()
    for tick in range(len(late)):
        due += Twin.dt
        time.sleep(max(due - time.monotonic(), 0.0))
        late[tick] = time.monotonic() - due
        due += Twin.dt * (
            late[tick] // Twin.dt
        )  # as the servo does: what was missed is not caught up
    missed = int((late // Twin.dt).sum())
    return lateness(1e3 * late) | {"ticks": len(late), "missed": missed, "realtime": realtime}


def lateness(late: Array) -> dict[str, float]:
    """Of ticks, in ms."""
    return {
        "p50": float(np.quantile(late, 0.5)),
        "p99": float(np.quantile(late, 0.99)),
        "max": float(late.max()),
    }


def compare_policies(shared: SharedState, steps: int) -> dict[str, Any]:
    state = shared.state.fresh()
    late = 1e3 * shared.lateness[: min(int(state["tick"]), LATENESS)].astype(np.float64)
    return {
        **lateness(late),
        "ticks": int(state["tick"]),
        "missed": int(state["missed"]),
        "realtime": bool(state["realtime"]),
        "training": steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the three")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    ours, timer = own_process(asked.seconds)
    peers = {
        "an ordinary thread": same_process(asked.seconds, realtime=False),
        "a thread that asks for SCHED_FIFO": same_process(asked.seconds, realtime=True),
        "none, only a timer": timer,
    }
    if asked.json:
        for peer, row in peers.items():
            name, ratio = f"p99 lateness of the servo over {peer}", row["p99"] / ours["p99"]
            print(
                json.dumps(
                    {
                        "name": name,
                        "ratio": ratio,
                        "ours": ours["p99"],
                        "peer": row["p99"],
                        "unit": "ms",
                    }
                )
            )
        return
    title = f"500 Hz servo beside a training network, {asked.seconds:g} s each; lateness in ms"
    table = Table(
        "servo in",
        "p50",
        "p99",
        "max",
        "missed",
        "ticks",
        "FIFO",
        "gradient steps",
        "ratio",
        title=title,
    )
    for name, row in ({"a process of its own": ours} | peers).items():
        late = [f"{row[key]:.3f}" for key in ("p50", "p99", "max")]
        fifo, counts = (
            "yes" if row["realtime"] else "no",
            [str(row[key]) for key in ("missed", "ticks")],
        )
        table.add_row(
            name, *late, *counts, fifo, str(row["training"]), f"{row['p99'] / ours['p99']:.1f}"
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
