"""Read the recording of an arm: what the joints did, beside what they were commanded.

    python examples/replay_recording.py [RECORDING.mcap]

Without an argument, a policy is trained for a moment and drives the simulated Panda for an episode,
which is recorded. Foxglove opens the same files.
"""

import json
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from mcap.reader import make_reader

import pliant
from hw_interface.arm_world import ArmWorld
from hw_interface.recording.process import RecordTo
from robots.catalog import ARMS

RUN = Path("runs/example-reach")
Message = dict[str, Any]


def record(folder: Path) -> Path:
    """One episode on the simulated arm, recorded in a folder; returns the file."""
    if not RUN.exists():
        small = {"schedule.meta_batch": 4, "schedule.random_trials": 1}
        pliant.train("blind", "reach", RUN, iterations=1, settings=small, references=False)
    policy = pliant.load(RUN, arm="panda")
    record_to = RecordTo(folder, {"run": str(RUN)})
    with closing(ArmWorld(policy.family, ARMS["panda"], "twin", record_to=record_to)) as world:
        task = policy.family.sample(world.rng, 1, "heldout")
        pliant.rollout(world, policy, task, episodes=1)
    path = world.recorder.path
    assert path is not None, world.recorder.failure
    return path


def read(path: Path) -> dict[str, list[tuple[float, Message]]]:
    """Every message of a recording by topic, with its time in s."""
    messages: dict[str, list[tuple[float, Message]]] = {}
    with path.open("rb") as file:
        for _, channel, message in make_reader(file).iter_messages():
            entry = (message.log_time / 1e9, json.loads(message.data))
            messages.setdefault(channel.topic, []).append(entry)
    return messages


def positions(messages: list[tuple[float, Message]]) -> np.ndarray[Any, Any]:
    """Joint positions of every message, (ticks, joints) rad."""
    rows = [[joint["position"] for joint in message["joints"]] for _, message in messages]
    return np.array(rows)


def plot(measured: list[tuple[float, Message]], setpoints: list[tuple[float, Message]]) -> Path:
    """Positions and setpoints over time, as a picture beside the run."""
    picture = Path("replay.png")
    start = measured[0][0]
    figure, axes = plt.subplots(figsize=(8, 4))
    axes.plot([time - start for time, _ in measured], positions(measured))
    axes.set_prop_cycle(None)  # the same colors again
    axes.plot([time - start for time, _ in setpoints], positions(setpoints), linestyle=":")
    axes.set_xlabel("time, s")
    axes.set_ylabel("joint position, rad (dotted: setpoint)")
    figure.savefig(picture)
    return picture


def main(path: Path) -> None:
    """Print what is in a recording, and plot the joints."""
    messages = read(path)
    counts = Counter({topic: len(entries) for topic, entries in messages.items()})
    for topic, count in sorted(counts.items()):
        print(f"{topic:<10} {count} messages")
    measured = messages["/joints"]
    names = [joint["name"] for joint in measured[0][1]["joints"]]
    moved = np.ptp(positions(measured), axis=0)
    for name, angle in zip(names, moved, strict=True):
        print(f"{name:<14} moved {angle:.2f} rad")
    for _, event in messages.get("/events", []):
        print("event:", event["message"])
    print("plotted", plot(measured, messages["/setpoint"]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        main(record(RUN))
