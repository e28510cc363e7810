"""The statistics say what they should where the answer is known."""

import numpy as np
import pytest

from adaptation.reporting.statistics import EpisodeGrid, compare_policies, table
from adaptation.runs.records import Comparison

RNG = np.random.default_rng(0)


def compare(**last: np.ndarray) -> Comparison:
    """Compare policies by the returns (n,) of their last episode; in the first they have none."""
    grids = {}
    for name, returns in last.items():
        both = np.stack([np.zeros_like(returns), returns])
        success = (both > 0.5).astype(float)
        grids[name] = EpisodeGrid(both, success, {"distance_m": 1.0 - both})
    return compare_policies(grids)


def test_the_gap_closed_is_the_share_of_the_way_from_blind_to_oracle() -> None:
    n = np.ones(8)
    result = compare(adapted=0.75 * n, blind=0.5 * n, oracle=n, no_adaptation=0.25 * n)
    assert result.gap_closed.value == pytest.approx(0.5)
    assert result.gap_closed.interval == pytest.approx([0.5, 0.5])
    assert result.gap_closed.note is None
    assert result.over_blind.value == pytest.approx(0.25)
    assert result.adaptation.value == pytest.approx(0.5)
    assert result.adaptation.interval == pytest.approx([0.5, 0.5])
    assert result.adapted.returns == [0.0, 0.75]
    assert result.adapted.success == [0.0, 1.0]
    assert result.adapted.metrics == {"distance_m": [1.0, 0.25]}
    assert (result.tasks, result.episodes) == (8, 2)


def test_pairing_by_task_removes_what_the_tasks_have_in_common() -> None:
    difficulty = RNG.normal(size=30) * 10
    result = compare(adapted=difficulty + 1, blind=difficulty, oracle=difficulty + 2)
    assert result.over_blind.interval == pytest.approx([1, 1])
    assert result.gap_closed.interval == pytest.approx([0.5, 0.5])


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for _ in range(200):
        blind = RNG.normal(size=40)
        low, high = compare(
            adapted=blind + RNG.normal(0.3, 1.0, 40), blind=blind
        ).over_blind.interval
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_what_is_missing_is_none_and_not_made_up() -> None:
    on_an_arm = compare(adapted=np.ones(4), blind=np.zeros(4))
    assert on_an_arm.oracle is None
    assert on_an_arm.no_adaptation is on_an_arm.adaptation is None
    assert on_an_arm.gap_closed.value is None
    assert on_an_arm.gap_closed.note == "there is no oracle to compare with"
    assert on_an_arm.over_blind.value == 1
    no_gap = compare(adapted=np.ones(4), blind=np.ones(4), oracle=np.ones(4))
    assert no_gap.gap_closed.value is None
    assert no_gap.gap_closed.interval is None
    assert "knowing the task is worth nothing" in no_gap.gap_closed.note


def test_every_reference_that_is_missing_is_named() -> None:
    ones = np.ones(4)
    without_blind = compare(adapted=ones, oracle=2 * ones).gap_closed
    assert without_blind.value is without_blind.interval is None
    assert without_blind.note == "there is no blind to compare with"
    alone = compare(adapted=ones)
    assert alone.over_blind is None
    assert alone.gap_closed.note == "there is no blind and no oracle to compare with"


def test_as_good_as_the_oracle_closes_the_whole_gap() -> None:
    result = compare(adapted=np.ones(4), blind=np.zeros(4), oracle=np.ones(4))
    assert result.gap_closed.value == 1
    assert result.gap_closed.note is None


def test_a_return_that_is_not_finite_has_no_interval() -> None:
    result = compare(adapted=np.array([1.0, np.nan]), blind=np.zeros(2), oracle=2 * np.ones(2))
    assert result.over_blind.value is result.over_blind.interval is None
    assert result.gap_closed.value is result.gap_closed.interval is None


def test_no_share_is_printed_of_a_gap_that_may_be_zero() -> None:
    blind = np.array([0.0, 1.0, 2.0, 3.0])
    oracle = np.array([1.5, 0.5, 2.5, 2.0])
    assert oracle.mean() > blind.mean()
    result = compare(adapted=blind - 1, blind=blind, oracle=oracle)
    assert result.gap_closed.value is result.gap_closed.interval is None
    assert "not clearly above blind" in result.gap_closed.note


def test_no_share_is_printed_beside_an_under_trained_oracle() -> None:
    result = compare(adapted=2 * np.ones(4), blind=np.zeros(4), oracle=np.ones(4))
    assert result.gap_closed.value is None
    assert "under-trained" in result.gap_closed.note


def test_one_task_is_no_sample_and_has_no_interval() -> None:
    one = np.ones(1)
    result = compare(adapted=one, no_adaptation=0.5 * one, blind=0 * one, oracle=2 * one)
    assert result.adaptation.value == 0.5
    assert result.adaptation.interval is result.over_blind.interval is None
    assert result.gap_closed.value is result.gap_closed.interval is None
    assert result.gap_closed.note == "one task is no sample"


def test_a_number_that_is_not_known_is_left_out_of_the_mean() -> None:
    values = np.array([[1.0, np.nan], [np.nan, np.nan]])
    grid = EpisodeGrid(np.zeros((2, 2)), np.zeros((2, 2)), {"distance_m": values})
    assert compare_policies({"adapted": grid}).adapted.metrics == {"distance_m": [1.0, None]}


def test_the_table_lists_the_policies_in_the_same_order_for_every_number() -> None:
    ones = np.ones(4)
    comparison = compare(oracle=3 * ones, blind=0 * ones, no_adaptation=ones, adapted=2 * ones)
    rows = [line.split()[0] for line in table(comparison).splitlines() if line.startswith("  ")]
    assert rows == ["adapted", "no_adaptation", "blind", "oracle"] * 3


def test_the_table_shows_every_policy_and_the_gap() -> None:
    text = table(compare(adapted=np.ones(4), blind=np.zeros(4), oracle=np.ones(4)))
    for word in ("adapted", "blind", "oracle", "gap closed", "+1.000", "4 tasks", "distance_m"):
        assert word in text
    assert "no_adaptation " not in text
    order = [text.index(title) for title in ("success", "distance_m", "return", "gap closed")]
    assert order == sorted(order)
