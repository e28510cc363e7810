"""Compare finished runs of one family on the same held-out tasks: methods, seeds, or both.

Runs of one method that differ only in their seed form one entry. All policies of all runs act in
the same tasks with the same seeds, so entries are paired by task and by training seed.
"""

from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import torch

from adaptation.jobs.evaluate import Conditions, evaluate_policies
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.progress import ProgressReporter
from adaptation.reporting.statistics import compare_seeds
from adaptation.runs.log import read_log
from adaptation.runs.range_settings import ranges_in
from adaptation.runs.records import (
    POLICIES,
    REFERENCES,
    ComparedEntry,
    HeldoutProgress,
    RunsComparison,
    TrainProgress,
)
from adaptation.runs.run import Run
from adaptation.runs.versions import current_commit
from robots.counting import counted
from robots.errors import BadArgumentError
from sim.engines import engine_for
from sim.families import full_name
from sim.task_samplers import DEFAULT

FIRST = "first"  # the first entry's adapted policy, beside the policies of another entry
Grids = dict[str, EpisodeGrid]  # by policy, of one run


class Entry(NamedTuple):
    """The runs of one method."""

    name: str
    runs: list[Run]  # in the order of their seeds
    grids: list[Grids]  # of each run


def compare(
    runs: Sequence[Run],
    tasks: int = 64,
    episodes: int | None = None,
    split: str = "heldout",
    engine: str | None = None,
    seed: int = 0,
) -> tuple[RunsComparison, list[Entry]]:
    """Judge all policies of all runs, and compare the runs' methods with the first one's.

    Args:
        runs: of one family.
        tasks: how many tasks.
        episodes: per task; None: the family's number.
        split: ``"train"`` or ``"heldout"``.
        engine: physics to judge in; None: the first engine that supports the scene.
        seed: of the tasks and their disturbances.

    Returns:
        The comparison, and the results of each policy of each run.

    Raises:
        BadArgumentError: runs of several families, or the same run twice.
        FileNotFoundError, DamagedError, RefusedError: see ``Run.load``.
    """
    torch.set_num_threads(1)
    started = monotonic()
    _check(runs)
    family = runs[0].family
    engine = engine_for(family.scene, engine)
    conditions = Conditions(tasks, episodes or family.episodes, split, engine, seed)
    groups = group_runs(runs)
    entries = []
    done = 0
    with ProgressReporter(f"comparing {counted(len(runs), 'run')}") as show:
        for name, members in groups.items():
            grids = []
            for run in members:
                grids.append(dict(evaluate_policies(family, run.policies(), conditions)))
                done += 1
                show(done / len(runs), run.path.name)
            entries.append(Entry(name, members, grids))
    comparison = RunsComparison(
        entries=[_compare_entry(entry, entries[0]) for entry in entries],
        family=_family_name(runs[0]),
        split=split,
        engine=engine,
        seconds=monotonic() - started,
        commit=current_commit(),
    )
    return comparison, entries


def _check(runs: Sequence[Run]) -> None:
    families = {_family_name(run) for run in runs}
    if len(families) != 1:
        names = ", ".join(sorted(families))
        raise BadArgumentError(f"runs of one family can be compared; these are of: {names}")
    first, *others = [ranges_in(run.config.settings) for run in runs]
    if any(ranges != first for ranges in others):
        raise BadArgumentError("runs of one family can be compared; these differ in its ranges")
    if len({run.config.objects for run in runs}) > 1:
        raise BadArgumentError("runs of one family can be compared; these differ in its objects")
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < len(paths):
        raise BadArgumentError("a run is named twice")


def _family_name(run: Run) -> str:
    return full_name(run.config.family, run.config.arm)


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each method in the order of seeds, by the method's name.

    Runs with another task sampler than the default are entries of their own, as "pearl (hard)".

    If a method has two runs with the same seed (for example with different settings), each of its
    runs is an entry of its own, named by its folder.
    """
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        by_method.setdefault(_entry_name(run), []).append(run)
    groups = {}
    for method, members in by_method.items():
        seeds = {run.config.seed for run in members}
        if len(seeds) == len(members):
            groups[method] = sorted(members, key=_seed)
        else:
            groups |= {run.path.name: [run] for run in members}
    return groups


def _entry_name(run: Run) -> str:
    sampler = run.config.task_sampler
    method = run.config.method
    return method if sampler == DEFAULT else f"{method} ({sampler})"


def _seed(run: Run) -> int:
    return run.config.seed


def _compare_entry(entry: Entry, first: Entry) -> ComparedEntry:
    """The results of an entry, and its comparison with the first entry."""
    shared = _shared_policies(entry)
    results = [{name: grids[name] for name in shared} for grids in entry.grids]
    of_first = {_seed(run): grids for run, grids in zip(first.runs, first.grids, strict=True)}
    with_first = []
    for run, own in zip(entry.runs, results, strict=True):
        other = of_first.get(_seed(run))
        if other is not None:
            with_first.append({**own, FIRST: other["adapted"]})
    over_first = None
    if entry is not first and with_first:
        over_first = compare_seeds(with_first).over_rivals[FIRST]
    logs = [read_log(run.log_path("method"), TrainProgress) for run in entry.runs]
    return ComparedEntry(
        name=entry.name,
        runs=[str(run.path) for run in entry.runs],
        comparison=compare_seeds(results),
        over_first=over_first,
        paired=len(with_first),
        steps=[log[-1].steps for log in logs if log],
        gradient_steps=[log[-1].gradient_steps for log in logs if log],
    )


def _shared_policies(entry: Entry) -> list[str]:
    """The policies that all runs of an entry have; a reference has no belief to adapt."""
    if entry.runs[0].config.method in REFERENCES:
        return ["adapted"]
    return [name for name in POLICIES if all(name in grids for grids in entry.grids)]


def heldout_curves(entries: Sequence[Entry]) -> dict[str, list[list[HeldoutProgress]]]:
    """The evaluations during the trainings of each entry; without entries that have none."""
    curves = {}
    for entry in entries:
        logs = [read_log(run.heldout_path("method"), HeldoutProgress) for run in entry.runs]
        if all(logs):
            curves[entry.name] = logs
    return curves
