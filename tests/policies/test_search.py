"""The planner refuses numbers that make no sense, and has the shapes it says."""

import pytest
import torch

from policies.planning.icem import Icem, IcemConfig


@pytest.mark.parametrize(
    "numbers",
    [
        {"num_kept_elites": 0},
        {"num_kept_elites": 9, "num_elites": 8},
        {"num_elites": 65, "num_samples": 64},
    ],
)
def test_numbers_that_do_not_fit_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_kept_elites <= num_elites < num_samples"):
        Icem(IcemConfig(**numbers), 2, torch.Generator())


def test_shapes() -> None:
    it = Icem(
        IcemConfig(horizon=5, num_samples=7, num_elites=4, num_kept_elites=3),
        2,
        torch.Generator().manual_seed(0),
    )
    plan = it.cold(6)
    assert plan.mean.shape == (6, 5, 2)
    assert plan.best.shape == (6, 3, 5, 2)
    seen = []
    plan = it.improve(plan, lambda tried: seen.append(tried.shape) or tried.sum((-1, -2)), 2)
    assert seen == [(6, 7, 5, 2)] * 2
    assert plan.action.shape == (6, 2)


def test_the_same_seed_searches_the_same_way() -> None:
    def plan(seed: int) -> torch.Tensor:
        it = Icem(IcemConfig(), 2, torch.Generator().manual_seed(seed))
        return it.improve(it.cold(1), lambda tried: tried.sum((-1, -2)), 2).mean

    assert torch.equal(plan(1), plan(1))
    assert not torch.equal(plan(1), plan(2))
