"""The planner refuses settings that contradict each other, and returns the documented shapes."""

import pytest
import torch
from torch import Tensor

from policies.planning.icem import Icem, IcemConfig

CPU = torch.device("cpu")


def make_planner(config: IcemConfig, seed: int = 0) -> Icem:
    return Icem(config, 2, torch.Generator().manual_seed(seed), CPU)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_kept_elites": 0},
        {"num_kept_elites": 9, "num_elites": 8},
        {"num_elites": 65, "num_samples": 64},
    ],
)
def test_contradicting_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="num_kept_elites <= num_elites < num_samples"):
        IcemConfig(**settings)


def test_shapes() -> None:
    planner = make_planner(IcemConfig(horizon=5, num_samples=7, num_elites=4, num_kept_elites=3))
    plan = planner.initial_plan(6)
    assert plan.mean.shape == (6, 5, 2)
    assert plan.best.shape == (6, 3, 5, 2)
    scored = []

    def score(candidates: Tensor) -> Tensor:
        scored.append(candidates.shape)
        return candidates.sum((-1, -2))

    plan = planner.search(plan, score, iterations=2)
    assert scored == [(6, 7, 5, 2)] * 2
    assert plan.action.shape == (6, 2)


def test_the_same_seed_gives_the_same_plan() -> None:
    def plan(seed: int) -> Tensor:
        planner = make_planner(IcemConfig(), seed)
        return planner.search(planner.initial_plan(1), lambda x: x.sum((-1, -2)), 2).mean

    assert torch.equal(plan(1), plan(1))
    assert not torch.equal(plan(1), plan(2))
