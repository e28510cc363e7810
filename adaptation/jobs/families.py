"""Every family at a glance: simulation speed, hidden parameters, what blind and oracle reach."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import msgspec
import numpy as np

from adaptation.reporting.earlier_page import ReferenceRow, read_sections, reference_rows
from adaptation.reporting.progress import ProgressReporter
from adaptation.runs import checkpoint
from policies.config import MethodConfig
from robots.world import Family
from sim.engines import engine_for
from sim.families import make_family
from sim.speed import median_seconds, open_loop_run, random_actions, record, vec_world_run
from sim.vec_world import VecWorld

REPEATS = 3  # of each measurement, after one to warm up
RECORDED = "mujoco"  # the engine whose physics can be repeated without the rest
OBSERVED = ("marker.", "target.")  # how the parameters begin that every policy observes


class FamilyMeasure(msgspec.Struct, frozen=True):
    """One family, as it is trained."""

    family: str
    body: str
    engine: str  # the first that supports its scene
    worlds: int  # as many as the oracle's training has
    steps_per_second: float  # control periods of all worlds together
    open_loop_ratio: float | None  # to the same physics alone in C; null of other engines
    hidden: int  # numbers that the oracle reads and no other policy observes
    results_engine: str | None  # that blind and oracle were judged in
    blind: ReferenceRow | None
    oracle: ReferenceRow | None


def measure_families(names: Iterable[str], results: Path | None = None) -> list[FamilyMeasure]:
    """Measure families one after the other, each with all cores.

    Args:
        names: of the families.
        results: a page that ``pliant bench`` wrote; None or missing: there are no results.

    Raises:
        UnknownNameError: there is no such family.
    """
    sections = {} if results is None else read_sections(results)
    names = list(names)
    measures = []
    with ProgressReporter("measuring families") as show:
        for name in names:
            measures.append(_measure(name, sections.get(name, "")))
            show(len(measures) / len(names), name)
    return measures


def _measure(name: str, section: str) -> FamilyMeasure:
    """One family, with the section of the results' page about it."""
    family = make_family(name)
    engine = engine_for(family.scene)
    worlds = worlds_in_training(family)
    seconds = _episode_seconds(family, engine, worlds)
    steps = worlds * family.horizon * family.action_repeat
    alone = seconds.get("open loop")
    judged_in, rows = reference_rows(section)
    return FamilyMeasure(
        family=name,
        body=family.body.name,
        engine=engine,
        worlds=worlds,
        steps_per_second=steps / seconds["ours"],
        open_loop_ratio=None if alone is None else alone / seconds["ours"],
        hidden=len(hidden_parameters(family)),
        results_engine=judged_in,
        blind=rows.get("blind"),
        oracle=rows.get("oracle"),
    )


def worlds_in_training(family: Family) -> int:
    """How many worlds the oracle's training acts in at once."""
    config = checkpoint.method_config("oracle", family, "cpu", {})
    return cast(MethodConfig, config).schedule.meta_batch


def hidden_parameters(family: Family) -> list[str]:
    """The task parameters that are not observed."""
    return [name for name in family.task_names if not name.startswith(OBSERVED)]


def _episode_seconds(family: Family, engine: str, worlds: int) -> Mapping[str, float]:
    """What an episode takes, s: with everything, and in MuJoCo of the physics alone."""
    runs: dict[str, Callable[[], float]] = {}
    with ExitStack() as until:
        if engine == RECORDED:
            runs["open loop"] = open_loop_run(record(family, worlds))
        world = VecWorld(family, engine, worlds)
        until.callback(world.close)
        task = family.sample(np.random.default_rng(0), worlds)
        runs["ours"] = vec_world_run(world, task, random_actions(family, worlds))
        return median_seconds(runs, REPEATS)
