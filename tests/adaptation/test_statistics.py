"""The statistics say what they should where the answer is known."""

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from adaptation.reporting.episode_grid import EpisodeGrid
from adaptation.reporting.estimators import wilson_interval
from adaptation.reporting.statistics import compare_policies, compare_seeds, policy_result
from adaptation.reporting.table import result_lines, table
from adaptation.runs.records import Comparison, SeedComparison
from robots.errors import BadArgumentError
from robots.signals import Array

RNG = np.random.default_rng(0)


def grid(returns: Array, tasks: Array | None = None) -> EpisodeGrid:
    """Two episodes: without any return, and with returns (n,), where more than 0.5 succeeds."""
    both = np.stack([np.zeros_like(returns), returns])
    success = (both > 0.5).astype(float)
    return EpisodeGrid(both, success, {"distance_m": 1.0 - both}, tasks)


def compare(**last: Array) -> Comparison:
    """Compare policies by the returns (n,) of their last episode."""
    return compare_policies({name: grid(returns) for name, returns in last.items()})


def compare_repeated(tasks: Array, **last: Array) -> Comparison:
    """The same on tasks (n,), of which equal ones are one task."""
    own_task = tasks[:, None]
    return compare_policies({name: grid(returns, own_task) for name, returns in last.items()})


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
    assert "to know the task is worth nothing" in no_gap.gap_closed.note


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
    assert "no gap is left" in result.gap_closed.note


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


def test_success_has_a_wilson_interval_by_episode() -> None:
    returns = np.array([1.0] * 8 + [0.0] * 2)
    result = compare(adapted=returns).adapted
    assert result.success == [0.0, 0.8]
    first, last = result.success_interval
    assert first == pytest.approx(wilson_interval(0.0, 10))
    assert last == pytest.approx((0.490, 0.943), abs=1e-3)


def test_metrics_have_a_mean_and_a_median() -> None:
    returns = np.array([0.0, 0.1, 0.9, np.nan])
    result = policy_result(grid(returns))
    assert result.metrics["distance_m"][1] == pytest.approx(2 / 3)
    assert result.metric_medians["distance_m"][1] == pytest.approx(0.9)
    assert result.returns[1] is None


def test_paired_success_is_judged_by_the_tasks_in_which_policies_differ() -> None:
    adapted = np.array([1.0] * 12 + [0.0] * 8)
    blind = np.array([1.0] * 2 + [0.0] * 10 + [1.0] * 2 + [0.0] * 6)
    estimate = compare(adapted=adapted, blind=blind).over_blind
    assert estimate is not None
    assert (estimate.gained, estimate.lost) == (10, 2)
    assert estimate.success == pytest.approx(0.4)
    assert estimate.mcnemar_p == pytest.approx(0.0385742, abs=1e-6)


def test_a_repeated_task_is_one_task_however_often_it_is_repeated() -> None:
    """Ten tasks, each from twenty starts that all end alike, are as good as ten starts."""
    blind = RNG.normal(size=10)
    adapted = blind + RNG.normal(0.5, 1.0, 10)
    once = compare(adapted=adapted, blind=blind)
    tasks = np.repeat(np.arange(10.0), 20)
    often = compare_repeated(tasks, adapted=adapted.repeat(20), blind=blind.repeat(20))
    assert (often.tasks, often.trials) == (10, 200)
    assert (once.tasks, once.trials) == (10, 10)
    assert often.over_blind == msgspec.structs.replace(
        once.over_blind,
        value=pytest.approx(once.over_blind.value),
        interval=pytest.approx(once.over_blind.interval),
        success=pytest.approx(once.over_blind.success),
    )
    assert often.adapted.success_interval[1] == pytest.approx(once.adapted.success_interval[1])


def test_starts_of_one_task_are_no_sample_of_tasks() -> None:
    returns = RNG.normal(size=40)
    result = compare_repeated(np.zeros(40), adapted=returns + 1, blind=returns, oracle=returns + 2)
    assert result.tasks == 1
    assert result.over_blind.value == pytest.approx(1)
    assert result.over_blind.interval is result.over_blind.mcnemar_p is None
    assert result.adapted.success_interval == [None, None]
    assert result.gap_closed.note == "one task is no sample"
    assert result.interval_over is None
    assert "1 task in 40 trials: one task is no sample" in table(result)


def test_another_policy_is_a_rival_and_compared_like_the_references() -> None:
    result = compare(adapted=np.ones(4), blind=np.zeros(4), sysid_mpc=0.75 * np.ones(4))
    assert list(result.rivals) == ["sysid_mpc"]
    assert result.rivals["sysid_mpc"].returns == [0.0, 0.75]
    assert result.over_rivals["sysid_mpc"].value == 0.25
    assert "adapted − sysid_mpc" in table(result)


def test_policies_on_different_tasks_are_not_compared() -> None:
    returns = np.ones(3)
    adapted = grid(returns, np.arange(3.0)[:, None])
    others = (
        grid(returns, np.arange(1.0, 4.0)[:, None]),
        grid(returns),
        grid(np.ones(4), np.arange(4.0)[:, None]),
    )
    for other in others:
        with pytest.raises(BadArgumentError, match="blind was judged on other tasks"):
            compare_policies({"adapted": adapted, "blind": other})


# ---- several trainings ----


def trainings(seeds: int, n: int, shift: Callable[[int], float]) -> list[dict[str, EpisodeGrid]]:
    """Tasks that all trainings share; adapted is better than blind by a shift of its training."""
    difficulty = RNG.normal(size=n)
    results = []
    for seed in range(seeds):
        blind = difficulty + RNG.normal(size=n)
        adapted = blind + shift(seed)
        results.append({"adapted": grid(adapted), "blind": grid(blind), "oracle": grid(blind + 4)})
    return results


def test_one_training_is_compared_over_its_tasks_and_says_so() -> None:
    (results,) = trainings(1, 12, float)
    alone = compare_seeds([results])
    assert alone.interval_over == compare_policies(results).interval_over == "tasks of one training"
    assert alone.seeds == 1
    assert alone.over_blind == compare_policies(results).over_blind
    assert alone.gap_closed == compare_policies(results).gap_closed


def test_trainings_that_differ_widen_the_interval_however_many_tasks_there_are() -> None:
    same = compare_seeds(trainings(5, 400, lambda seed: 1.0)).over_blind
    apart = compare_seeds(trainings(5, 400, float)).over_blind
    assert same.interval == pytest.approx((1, 1))
    assert apart.value == pytest.approx(2.0)
    assert apart.interval[0] < 1.2
    assert apart.interval[1] > 2.8


def test_tasks_that_decide_success_are_counted_once_for_all_trainings() -> None:
    """More trainings on the same 64 tasks tell nothing of other tasks."""
    returns = np.repeat([0.0, 1.0], 32)
    judged = compare_seeds([{"adapted": grid(returns)}] * 10)
    assert judged.adapted.success_interval[-1] == pytest.approx(wilson_interval(0.5, 64))


def test_several_trainings_have_no_p_value_of_paired_success() -> None:
    """Which ignores how trainings differ: here every one of a seed's tasks is won, or lost."""
    win = {"adapted": grid(np.ones(20)), "blind": grid(np.zeros(20))}
    assert compare_seeds([win]).over_blind.mcnemar_p < 0.001
    over_two = compare_seeds([win, win]).over_blind
    assert over_two.mcnemar_p is None
    assert over_two.gained == 20


def test_one_training_that_failed_does_not_decide_over_four_others() -> None:
    returns = np.ones(6)
    results = [{"adapted": grid(returns), "blind": grid(0 * returns)} for _ in range(4)]
    results.append({"adapted": grid(-100 * returns), "blind": grid(0 * returns)})
    judged = compare_seeds(results)
    assert judged.adapted.returns[-1] == judged.over_blind.value == 1
    assert judged.adapted.metrics["distance_m"][-1] == 0
    assert judged.adapted.success[-1] == pytest.approx(0.8), "success is of all trainings"


def test_the_share_is_of_aggregated_numbers_and_not_a_mean_of_shares() -> None:
    ones = np.ones(5)

    def of(adapted: float, oracle: float) -> dict[str, EpisodeGrid]:
        policies = {"adapted": adapted, "blind": 0.0, "oracle": oracle}
        return {name: grid(value * ones) for name, value in policies.items()}

    judged = compare_seeds([of(1.0, 2.0), of(1.0, 10.0)])
    assert judged.gap_closed.value == pytest.approx((1 + 1) / (2 + 10))
    with_one_inverted = compare_seeds([of(1.0, -1.0), of(1.0, 10.0), of(1.0, 10.0)])
    assert with_one_inverted.gap_closed.value is None
    assert "not clearly above blind" in with_one_inverted.gap_closed.note


def test_one_task_has_no_interval_in_several_trainings_either() -> None:
    results = trainings(4, 1, float)
    judged = compare_seeds(results)
    assert judged.over_blind.interval is None
    assert judged.interval_over is None
    assert judged.adapted.success_interval == [None, None]


def test_tasks_are_the_same_in_two_trainings_where_their_parameters_are() -> None:
    """Twenty trials on the same four tasks are four tasks; on others they are eight."""
    parameters = np.repeat(np.arange(4.0), 5)[:, None]

    def of(tasks: Array) -> dict[str, EpisodeGrid]:
        returns = RNG.normal(size=20)
        return {"adapted": grid(returns + 1, tasks), "blind": grid(returns, tasks)}

    shared = compare_seeds([of(parameters), of(parameters)])
    other = compare_seeds([of(parameters), of(parameters + 10)])
    assert shared.tasks == other.tasks == 4
    assert shared.over_blind.gained + shared.over_blind.lost <= 4
    assert other.interval_over == shared.interval_over == "2 trainings and their tasks"


def test_trainings_that_cannot_be_compared_are_refused() -> None:
    (with_oracle,) = trainings(1, 4, float)
    without = {"adapted": with_oracle["adapted"], "blind": with_oracle["blind"]}
    with pytest.raises(BadArgumentError, match="the same policies"):
        compare_seeds([with_oracle, without])
    longer = {}
    for name, own in with_oracle.items():
        longer[name] = replace(own, returns=np.zeros((3, 4)), success=np.zeros((3, 4)))
    with pytest.raises(BadArgumentError, match=r"after \[2, 3\] episodes"):
        compare_seeds([with_oracle, longer])
    with pytest.raises(BadArgumentError, match="no training"):
        compare_seeds([])


def test_the_table_lists_the_policies_in_the_same_order_for_every_number() -> None:
    ones = np.ones(4)
    comparison = compare(oracle=3 * ones, blind=0 * ones, no_adaptation=ones, adapted=2 * ones)
    lines = [line for line in table(comparison).splitlines() if line.startswith("  ")]
    rows = [line.split()[0] for line in lines if line.split()[0] != "success"]
    assert rows == ["adapted", "no_adaptation", "blind", "oracle"] * 4


def test_the_table_has_the_order_of_all_reports() -> None:
    ones = np.ones(4)
    text = table(compare(adapted=ones, no_adaptation=0 * ones, blind=0 * ones, oracle=ones))
    in_order = (
        "success, %, by episode",
        "100 [51, 100]",
        "distance_m, mean",
        "distance_m, median",
        "return, by episode",
        "adapted − no_adaptation",
        "return +1.000  [+1.000, +1.000]",
        "success +100 points, 4 tasks gained, 0 lost, McNemar p = 0.12",
        "adapted − blind",
        "gap closed",
        "100 % [100, 100]",
        "4 tasks; intervals (95 %) over tasks of one training",
    )
    position = 0
    for words in in_order:
        position = text.index(words, position)
    assert "sysid" not in text


def test_a_table_of_several_trainings_has_the_same_lines() -> None:
    lines = result_lines(compare_seeds(trainings(3, 8, float)))
    assert lines[0].startswith("success, %, by episode")
    assert lines[-1].startswith("gap closed")
    assert not any(line.startswith("adapted − no_adaptation") for line in lines)


def test_results_are_in_json_in_the_order_in_which_they_are_to_be_read() -> None:
    fields = list(SeedComparison.__struct_fields__)
    expected = ["adapted", "no_adaptation", "blind", "oracle", "rivals"]
    expected += ["adaptation", "over_blind", "over_rivals", "gap_closed"]
    assert fields[: len(expected)] == expected
    result = list(msgspec.to_builtins(compare(adapted=np.ones(3)).adapted))
    assert result == ["success", "success_interval", "metrics", "metric_medians", "returns"]
