"""The statistics say what they should where the answer is known."""

import numpy as np
import pytest

from adaptation.reporting.statistics import compare_policies, table

RNG = np.random.default_rng(0)


def judged(**last: np.ndarray) -> dict:
    returns = {name: np.stack([np.zeros_like(r), r]) for name, r in last.items()}
    return compare_policies(returns, {name: r > 0.5 for name, r in returns.items()})


def test_the_gap_closed_is_the_share_of_the_way_from_blind_to_oracle() -> None:
    n = np.ones(8)
    result = judged(method=0.75 * n, blind=0.5 * n, oracle=n, frozen=0.25 * n)
    assert result["gap_closed"] == pytest.approx(0.5)
    assert result["interval"] == pytest.approx([0.5, 0.5])
    assert result["gain"] == pytest.approx(0.25)
    assert result["over_frozen"] == pytest.approx(0.5)
    assert result["method"] == [0.0, 0.75]
    assert result["success"] == [0.0, 1.0]
    assert (result["tasks"], result["episodes"]) == (8, 2)


def test_pairing_by_task_removes_what_the_tasks_have_in_common() -> None:
    difficulty = RNG.normal(size=30) * 10
    result = judged(method=difficulty + 1, blind=difficulty, oracle=difficulty + 2)
    assert result["gain_interval"] == pytest.approx([1, 1])
    assert result["interval"] == pytest.approx([0.5, 0.5])


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for _ in range(200):
        blind = RNG.normal(size=40)
        low, high = judged(method=blind + RNG.normal(0.3, 1.0, 40), blind=blind)["gain_interval"]
        covered += low <= 0.3 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_what_is_missing_is_none_and_not_made_up() -> None:
    on_an_arm = judged(method=np.ones(4), blind=np.zeros(4))
    assert on_an_arm["oracle"] is None
    assert on_an_arm["gap_closed"] is None
    assert on_an_arm["gain"] == 1
    no_gap = judged(method=np.ones(4), blind=np.ones(4), oracle=np.ones(4))
    assert no_gap["gap_closed"] is None
    assert no_gap["interval"] is None


def test_the_table_shows_every_policy_and_the_gap() -> None:
    said = table(judged(method=np.ones(4), blind=np.zeros(4), oracle=np.ones(4)) | {"seconds": 1.0})
    assert all(
        word in said for word in ("method", "blind", "oracle", "gap closed", "+1.000", "4 tasks")
    )
    assert "frozen " not in said
