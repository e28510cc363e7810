"""A suite's results, arranged for its page: by family, engine and method, over all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

from adaptation.jobs.bench import CellStatus
from adaptation.jobs.cell_records import CellResult
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.statistics import compare_seeds
from adaptation.runs.records import POLICIES, REFERENCES, SeedComparison
from robots.errors import BadArgumentError

Grids = dict[str, EpisodeGrid]  # by policy, of one training


@dataclass(frozen=True)
class MethodResults:
    """One method on one family in one engine, over its seeds."""

    method: str
    trainings: list[Grids]  # with the references that every seed has
    comparison: SeedComparison
    missing: dict[str, list[int]]  # seeds without a reference that other seeds have, by its name
    seeds: list[int]  # of the trainings


@dataclass(frozen=True)
class EngineResults:
    """All methods of a family, judged in one engine."""

    engine: str
    methods: list[MethodResults]  # blind and oracle among them, in the suite's order
    notes: list[str]  # what could not be compared, and why


def families_of(statuses: Sequence[CellStatus]) -> dict[str, list[CellStatus]]:
    """The cells of each family, in the suite's order."""
    families: dict[str, list[CellStatus]] = {}
    for status in statuses:
        families.setdefault(status.cell.training.family, []).append(status)
    return families


def methods_of(statuses: Sequence[CellStatus]) -> dict[str, list[CellResult]]:
    """The results of each method in the order of seeds; without methods that have none."""
    methods: dict[str, list[CellResult]] = {}
    for status in statuses:
        if status.result is not None:
            methods.setdefault(status.cell.training.method, []).append(status.result)
    return methods


def engines_of(statuses: Sequence[CellStatus]) -> list[str]:
    """The engines in which at least one cell was judged."""
    engines: dict[str, None] = {}
    for status in statuses:
        if status.result is not None:
            engines |= dict.fromkeys(status.result.grids)
    return list(engines)


def engine_results(statuses: Sequence[CellStatus], engine: str) -> EngineResults:
    """Compare all methods of one family in one engine.

    Args:
        statuses: the cells of the family.
        engine: that they were judged in.
    """
    methods = methods_of(statuses)
    references = {role: _by_seed(methods.get(role, []), engine) for role in REFERENCES}
    compared = []
    notes = []
    for method, results in methods.items():
        trainings = []
        by_seed = _by_seed(results, engine)
        for seed, grids in by_seed.items():
            own = dict(grids)
            if method not in REFERENCES:
                by_role = {role: found.get(seed) for role, found in references.items()}
                own |= {role: one["adapted"] for role, one in by_role.items() if one is not None}
            trainings.append(own)
        if not trainings:
            continue
        missing = _missing_references(dict(zip(by_seed, trainings, strict=True)))
        trainings = _with_common_policies(trainings)
        try:
            comparison = compare_seeds(trainings)
        except BadArgumentError as error:  # for example, results of other code on other tasks
            notes.append(f"`{method}`: {error}")
            continue
        compared.append(MethodResults(method, trainings, comparison, missing, list(by_seed)))
    return EngineResults(engine, compared, notes)


def _by_seed(results: Sequence[CellResult], engine: str) -> dict[int, Grids]:
    """What the policies of each training reached in an engine."""
    found = {}
    for result in results:
        if engine in result.grids:
            grids = {name: grid.arrays() for name, grid in result.grids[engine].items()}
            found[result.cell.training.seed] = grids
    return found


def _missing_references(trainings: dict[int, Grids]) -> dict[str, list[int]]:
    """Seeds without a reference, for each reference that some seeds have and some have not."""
    missing = {}
    for role in REFERENCES:
        without = [seed for seed, grids in trainings.items() if role not in grids]
        if 0 < len(without) < len(trainings):
            missing[role] = without
    return missing


def _with_common_policies(trainings: list[Grids]) -> list[Grids]:
    """The trainings with the policies that all of them have, in the order of ``POLICIES``."""
    common = [name for name in POLICIES if all(name in grids for grids in trainings)]
    return [{name: grids[name] for name in common} for grids in trainings]
