"""What a checkpoint costs at a full replay: new tasks appended, against all of it written anew.

PEARL on cheetah_vel with a ring of 2,048 tasks that is full. Between two checkpoints, 20 s apart by
default, it adds the tasks of some iterations. The last line is the share of the training's time
that goes to checkpoints: ours, and where the whole replay is written. Unit: checkpoints per second.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from peers import arguments, compare, show, timed
from rich.console import Console

from adaptation.runs import checkpoint
from adaptation.runs.journal import ReplayJournal
from adaptation.runs.run_config import RunConfig
from policies.method import Transition, TrialBatch

FAMILY = "cheetah_vel"
NEW_ITERATIONS = 5  # between two checkpoints: an iteration takes about 4 s


def experience(problem: Any, episodes: int, n: int) -> TrialBatch:
    """A trial of random numbers."""
    lead = (episodes, problem.horizon, n)
    obs = torch.randn(*lead, problem.obs_dim)
    action = 2 * torch.rand(*lead, problem.action_dim) - 1
    no = torch.zeros(lead, dtype=torch.bool)
    ticks = Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.randn(lead),
        next_obs=torch.randn_like(obs),
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )
    return TrialBatch(ticks, torch.rand(n, problem.task_dim), torch.arange(n), no[:, 0])


def main() -> None:
    asked = arguments(__doc__, repeats=3).parse_args()
    torch.set_num_threads(1)
    family = checkpoint.family_named(FAMILY)
    method: Any = checkpoint.build("pearl", family, seed=0)
    schedule = method.schedule
    trial = experience(method.problem, schedule.episodes_per_trial, schedule.meta_batch)
    replay = method.replay
    while replay.added < replay.capacity:
        replay.add(trial)
    method.step()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = ReplayJournal(folder / "method.replay")
        journal.clear()
        journal.append(replay)

        cpu_seconds: dict[str, float] = {}

        def save(kind: str, journal: ReplayJournal | None) -> float:
            for _ in range(NEW_ITERATIONS):
                replay.add(trial)
            path = folder / kind

            def write() -> None:
                checkpoint.save(path, "pearl", method, FAMILY, trial, {}, journal)

            began = time.process_time()
            seconds = timed(write)
            cpu_seconds[kind] = time.process_time() - began
            return seconds

        runs = {
            "rewriting": lambda: save("rewriting", None),
            "ours": lambda: save("ours", journal),
        }
        rows = compare(
            lambda peer: f"appending over {peer}", "checkpoints/s", 1, runs, asked.repeats
        )
    show(rows, asked.json)
    if asked.json:
        return
    megabytes = replay.data.numel() * replay.data.element_size() / 1e6
    every = RunConfig("pearl", FAMILY).save_seconds
    ours = 1 / rows[0]["ours"] / every
    peer = 1 / rows[0]["peer"] / every
    Console(width=120).print(
        f"{megabytes:.0f} MB of replay; every {every:.0f} s: {ours:.2%} of the time, "
        f"rewritten {peer:.1%} (of a core alone {cpu_seconds['ours'] / every:.2%} and "
        f"{cpu_seconds['rewriting'] / every:.1%})"
    )


if __name__ == "__main__":
    main()
