"""Both splits of a range look alike, and no held-out point lies where training ones do."""

import numpy as np
import pytest

from robots.errors import BadArgumentError
from robots.signals import Array
from sim.families import FAMILIES
from sim.families.splits import checkerboard, interleaved

FIELDS = {1: 16, 2: 8, 3: 8}  # by the number of axes
POINTS = 100_000


def draw(seed: int, axes: int, split: str) -> Array:
    rng = np.random.default_rng(seed)
    if axes == 1:
        return interleaved(rng, POINTS, split)
    return checkerboard(rng, POINTS, axes, split)


def both_splits(axes: int) -> tuple[Array, Array]:
    return draw(0, axes, "train"), draw(1, axes, "heldout")


def check_alike(train: Array, heldout: Array, field: float) -> None:
    """Ranges agree to a field's width; mean and deviation agree within 2 %."""
    assert abs(train.min() - heldout.min()) <= field
    assert abs(train.max() - heldout.max()) <= field
    assert train.mean() == pytest.approx(heldout.mean(), rel=0.02)
    assert train.std() == pytest.approx(heldout.std(), rel=0.02)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_both_splits_have_the_same_range_mean_and_deviation(axes: int) -> None:
    train, heldout = both_splits(axes)
    for axis in range(axes):
        check_alike(train[:, axis], heldout[:, axis], 1 / FIELDS[axes])


@pytest.mark.parametrize("axes", [1, 2])
def test_a_field_belongs_to_one_split_and_is_covered_evenly(axes: int) -> None:
    counts = []
    for points in both_splits(axes):
        edges = [np.linspace(0, 1, FIELDS[axes] + 1)] * axes
        counts.append(np.histogramdd(points, edges)[0])
    train, heldout = counts
    assert not ((train > 0) & (heldout > 0)).any()
    assert ((train > 0) | (heldout > 0)).all()
    expected = 2 * POINTS / FIELDS[axes] ** axes  # half of the fields are used
    for count in counts:
        used = count[count > 0]
        assert np.abs(used - expected).max() < 6 * np.sqrt(expected)


def test_held_out_points_lie_between_training_points_on_a_line() -> None:
    train, heldout = both_splits(1)
    assert train.min() < heldout.min()
    assert heldout.max() < train.max()


def test_no_field_of_the_other_color_is_wider_than_two_fields() -> None:
    line = np.linspace(0, 1, 10_001)[:, None]
    for points in both_splits(1):
        nearest = np.abs(line - points[::50].T).min(1)
        assert nearest.max() <= 1.05 / FIELDS[1]  # the middle of a gap of two fields


def test_held_out_speeds_are_distributed_as_those_of_training() -> None:
    family = FAMILIES["cheetah_vel"]()
    train = family.sample(np.random.default_rng(0), POINTS, "train").values[:, 0]
    heldout = family.sample(np.random.default_rng(1), POINTS, "heldout").values[:, 0]
    check_alike(train, heldout, 3.0 / FIELDS[1])


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="train or heldout, got 'test'"):
        interleaved(np.random.default_rng(0), 2, "test")
    with pytest.raises(BadArgumentError, match="train or heldout, got 'test'"):
        checkerboard(np.random.default_rng(0), 2, 2, "test")


def test_a_line_is_no_checkerboard() -> None:
    """Alternating fields would give the splits different means."""
    with pytest.raises(BadArgumentError, match="at least 2 axes, got 1"):
        checkerboard(np.random.default_rng(0), 2, 1, "train")
