"""Runs are compared on the same tasks under the same seeds, paired by task and training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from adaptation.jobs import collection
from adaptation.jobs import evaluate as evaluate_job
from adaptation.jobs import train as train_job
from adaptation.jobs.compare import Entry, _compare_entry, compare, group_runs, heldout_curves
from adaptation.jobs.evaluate import evaluate
from adaptation.reporting.compare_table import FORMATS, compare_table, write_plots
from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.statistics import policy_result
from adaptation.runs.files import check_writable
from adaptation.runs.log import Log
from adaptation.runs.records import HeldoutProgress
from adaptation.runs.run import Run
from adaptation.runs.run_config import RunConfig
from robots.errors import BadArgumentError

TASKS = 6


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: None) -> dict[str, Run]:
    """Two trainings of one method and one of another."""
    monkeypatch.setattr(collection, "VecWorld", tiny.World)
    monkeypatch.setattr(evaluate_job, "VecWorld", tiny.World)
    configs = {
        "b1": RunConfig("counter", "tiny", seed=1, iterations=1, references=False),
        "b0": RunConfig("counter", "tiny", iterations=1, references=False),
        "a": RunConfig("tiny:Counter", "tiny", iterations=2, references=False),
    }
    trained = {}
    for name, config in configs.items():
        trained[name] = Run.create(tmp_path / name, config)
        train_job.train(trained[name])
    return trained


def test_every_run_is_judged_as_it_is_by_itself(runs: dict[str, Run]) -> None:
    comparison, entries = compare(list(runs.values()), TASKS)
    assert [entry.name for entry in entries] == ["counter", "tiny:Counter"]
    assert [run.path.name for run in entries[0].runs] == ["b0", "b1"]  # in the order of seeds
    alone = evaluate(runs["a"], TASKS)
    assert comparison.entries[1].comparison.adapted == alone.adapted
    assert comparison.entries[1].comparison.adaptation == alone.adaptation


def test_entries_are_paired_by_task_and_training(runs: dict[str, Run]) -> None:
    comparison, entries = compare([runs["a"], runs["b0"], runs["b1"]], TASKS)
    first, second = comparison.entries
    assert first.over_first is None
    assert (second.paired, len(second.runs)) == (1, 2)
    assert second.over_first is not None
    mine = entries[1].grids[0]["adapted"].returns[-1]
    others = entries[0].grids[0]["adapted"].returns[-1]
    assert second.over_first.value == pytest.approx((mine - others).mean())
    low, high = second.over_first.interval or (np.nan, np.nan)
    assert low <= second.over_first.value <= high
    half_width = 1.96 * (mine - others).std() / np.sqrt(TASKS)  # of the differences: paired
    assert high - low == pytest.approx(2 * half_width, rel=0.5)
    table = compare_table(comparison)
    assert "adapted − tiny:Counter" in table
    assert "the difference is over 1 training of a common seed" in table


def test_entries_without_a_common_seed_have_no_difference(runs: dict[str, Run]) -> None:
    comparison, _ = compare([runs["a"], runs["b1"]], TASKS)
    second = comparison.entries[1]
    assert second.over_first is None
    assert second.paired == 0
    assert "no difference to tiny:Counter: no seed is common to both" in compare_table(comparison)


def test_trainings_are_paired_by_their_seeds_and_not_by_their_order(runs: dict[str, Run]) -> None:
    first = Entry("first", [runs["b0"], runs["b1"]], [reached(0.0), reached(5.0)])
    second = Entry("second", [runs["b1"]], [reached(6.0)])
    compared = _compare_entry(second, first)
    assert compared.over_first is not None
    assert compared.over_first.value == pytest.approx(1.0)


def reached(value: float) -> dict[str, EpisodeGrid]:
    """A policy whose every return is the same."""
    returns = np.full((1, TASKS), value)
    return {"adapted": EpisodeGrid(returns, np.zeros_like(returns), {})}


def test_runs_of_one_seed_are_entries_of_their_own(runs: dict[str, Run], tmp_path: Path) -> None:
    config = RunConfig("counter", "tiny", iterations=1, references=False, settings={"gain": 0.9})
    other = Run.create(tmp_path / "high_gain", config)
    groups = group_runs([other, runs["b0"], runs["a"]])
    assert list(groups) == ["high_gain", "b0", "tiny:Counter"]


def test_what_cannot_be_compared_is_refused(runs: dict[str, Run], tmp_path: Path) -> None:
    point = Run.create(tmp_path / "point", RunConfig("blind", "point", references=False))
    with pytest.raises(BadArgumentError, match="runs of one family can be compared"):
        compare([runs["a"], point])
    with pytest.raises(BadArgumentError, match="a run is named twice"):
        compare([runs["a"], Run.open(runs["a"].path)])
    with pytest.raises(BadArgumentError, match=r"must end in \.svg, \.png or \.pdf"):
        check_writable(Path("curves.txt"), FORMATS)
    with pytest.raises(BadArgumentError, match="no folder nowhere"):
        check_writable(Path("nowhere/curves.svg"), FORMATS)


def test_the_figures_show_episodes_and_what_is_known_of_the_training(
    runs: dict[str, Run], tmp_path: Path
) -> None:
    _, entries = compare(list(runs.values()), TASKS)
    grids: dict[str, Any] = {e.name: [one["adapted"] for one in e.grids] for e in entries}
    for run in runs.values():
        run.heldout_path("method").unlink(missing_ok=True)
    assert heldout_curves(entries) == {}
    figure = tmp_path / "figure.png"
    assert write_plots(figure, grids, {}) == [figure]
    reached = policy_result(grids["counter"][0])
    for run in entries[0].runs:
        log = Log(run.heldout_path("method"))
        for k in (1, 2):
            log.write(HeldoutProgress(k, 10 * k, k, float(k), reached))
        log.close()
    curves = heldout_curves(entries)
    assert {name: len(one) for name, one in curves.items()} == {"counter": 2}
    both = write_plots(figure, grids, curves)
    assert [file.name for file in both] == ["figure.png", "figure-training.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in both)
