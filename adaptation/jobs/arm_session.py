"""One visit to one object through an arm, as the lines of a log.

A line: ``episode`` (from 0), ``return``, ``success``, ``ticks``, ``verdicts`` {flag: ticks}, ``events`` (of the
watchdog, and of beliefs that were rolled back), ``task`` {parameter: value or null}, ``timing`` (of the loop, at the
wall's pace, else null), ``most_stale`` (ticks that the belief was behind at most), ``trace`` {field: a row per tick} of
what was measured: t (s), q (rad), object_pos (m), object_quat, marker (m). A trial adds ``object`` (int), ``policy``
and ``clock``.
"""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from adaptation.background import Background
from adaptation.rollout import rollout
from hw_interface.arm_world import ArmWorld
from policies.method import Method
from robots.errors import PliantError
from robots.signals import Verdict
from robots.world import Step, Task

PATIENCE = 0.5  # of a control period: how long a tick waits for its own update of the belief
TRACE = ("q", "object_pos", "object_quat", "marker")


def run_trial(
    world: ArmWorld, method: Method, task: Task, explore: list[bool]
) -> Iterator[dict[str, Any]]:
    """Live through one object's episodes; a line for each. PliantError where a fault cut one short."""
    told = {
        name: None if math.isnan(x) else float(x)
        for name, x in zip(task.names, task.values[0], strict=True)
    }
    with paced(method, world) as adapting:
        notes = EpisodeRecorder(world, adapting)
        lived = rollout(world, adapting, task, len(explore), explore, on_tick=notes)
        notes.collect_events()
    if any("FAULT" in verdicts for verdicts in notes.verdicts):
        said = ", ".join(event["event"] for events in notes.events for event in events)
        raise PliantError(f"the arm is in FAULT, and this visit does not count: {said}")
    for e in range(len(explore)):
        yield {
            "episode": e,
            "return": float(lived.returns[e, 0]),
            "success": bool(lived.success[e, 0]),
            "ticks": int(lived.ticks.valid[e].sum()),
            "verdicts": dict(notes.verdicts[e]),
            "task": told,
            "events": notes.events[e],
            "timing": world.timing(),
            "most_stale": getattr(adapting, "most_stale", 0),
            "trace": notes.traces[e],
        }


@contextmanager
def paced(method: Method, world: ArmWorld) -> Iterator[Any]:
    """Where time waits, the method as it is; at the wall's pace, with its updates beside the loop."""
    if world.clock == "lockstep":
        yield method
        return
    with Background(method, PATIENCE * world.dt) as background:
        yield background


class EpisodeRecorder:
    """What happened tick by tick in one visit to an object; a list item for each episode."""

    def __init__(self, world: ArmWorld, method: Method) -> None:
        self.world = world
        self.reporting = [x for x in (world, method) if hasattr(x, "events")]
        self.verdicts: list[Counter[str]] = []
        self.events: list[list[dict[str, Any]]] = []
        self.traces: list[dict[str, list[Any]]] = []
        self._known = [
            1 + max((event["number"] for event in x.events), default=-1) for x in self.reporting
        ]

    def __call__(self, episode: int, tick: int, step: Step) -> None:
        """Called by ``live`` after every tick."""
        if tick == 0:
            self.verdicts.append(Counter())
            self.events.append([])
            self.traces.append({name: [] for name in ("t", *TRACE)})
        self.verdicts[-1].update(flags(int(step.verdict[0])))
        self.collect_events()
        self.traces[-1]["t"].append(round(float(step.stamp[0]), 4))
        for name in TRACE:
            self.traces[-1][name].append(
                [round(float(x), 5) for x in getattr(self.world.signals, name)[0]]
            )

    def collect_events(self) -> None:
        """Note what was reported since the last time."""
        for i, source in enumerate(self.reporting):
            new = [event for event in source.events if event["number"] >= self._known[i]]
            self._known[i] += len(new)
            self.events[-1] += new


def flags(verdict: int) -> list[str]:
    """The names of the flags that are set."""
    return [flag.name or "" for flag in Verdict if flag and flag.value & verdict]
