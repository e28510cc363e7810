"""Laws of the search: better with every round, each world by itself, the best kept by rank."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from policies.planning.icem import Icem, IcemConfig, Plan, Score, colored_noise, shifted

CONFIG = IcemConfig(
    horizon=6, num_samples=24, num_elites=6, num_kept_elites=2, iterations=5, cold_iterations=5
)
A = 2


def planner(config: IcemConfig = CONFIG, seed: int = 0) -> Icem:
    return Icem(config, A, torch.Generator().manual_seed(seed))


def near(goal: Tensor) -> Score:
    """Highest, 0, where every action of world i is goal[i] (n, a)."""
    return lambda tried: -(tried - goal[:, None, None]).square().sum((-1, -2))


def goals(n: int, seed: int) -> Tensor:
    return torch.rand(n, A, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n=st.integers(1, 4))
def test_the_best_never_gets_worse_and_comes_close_on_a_quadratic(seed: int, n: int) -> None:
    it, score = planner(seed=seed), near(goals(n, seed))
    plan, values = it.cold(n), []
    for rounds in (1, 2, 3, 4, 5, 5):
        plan = it.improve(plan, score, rounds)
        values.append(score(plan.best)[:, 0])
    steps = torch.stack(values).diff(dim=0)
    assert (steps >= -1e-6).all()
    assert (values[-1] > values[0]).all()
    assert (values[-1] > 0.25 * score(torch.zeros(n, 1, 6, A))[:, 0] - 0.5).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_elites_are_the_best_by_rank_in_each_world(seed: int) -> None:
    """Elites by a single argsort over worlds, or ranks taken for indices, would fail here."""
    it, seen = planner(seed=seed), []
    score = near(goals(3, seed))

    def watched(tried: Tensor) -> Tensor:
        seen.append(tried.clone())
        return score(tried)

    plan = it.improve(it.cold(3), watched, 1)
    tried = seen[0]
    for world in range(3):
        value = score(tried)[world]
        ranked = sorted(range(len(value)), key=lambda i: -float(value[i]))
        torch.testing.assert_close(plan.best[world], tried[world, ranked[: CONFIG.num_kept_elites]])
        mean = tried[world, ranked[: CONFIG.num_elites]].mean(0)
        torch.testing.assert_close(plan.mean[world], (1 - CONFIG.momentum) * mean)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n=st.integers(2, 5))
def test_a_world_gets_the_same_plan_alone_and_among_others(seed: int, n: int) -> None:
    it, goal = planner(seed=seed), goals(n, seed)
    together = it.improve(it.cold(n), near(goal), 3)
    for world in range(n):
        alone = it.improve(it.cold(1), near(goal[world : world + 1]), 3)
        torch.testing.assert_close(alone.mean[0], together.mean[world])
        torch.testing.assert_close(alone.best[0], together.best[world])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(scale=st.floats(0.1, 100), seed=st.integers(0, 1000))
def test_no_action_leaves_its_bounds_whatever_draws_it_there(scale: float, seed: int) -> None:
    it, tried = planner(seed=seed), []

    def outward(candidates: Tensor) -> Tensor:
        tried.append(candidates.clone())
        return scale * candidates.sum((-1, -2))

    plan = it.improve(it.cold(2), outward, 4)
    assert all(x.abs().max() <= 1 for x in (*tried, plan.best, plan.mean))
    assert (outward(plan.best)[:, 0] > outward(it.cold(2).best).amax(1)).all()


def test_a_plan_moves_on_by_one_step() -> None:
    mean = torch.arange(2 * 6 * A).view(2, 6, A).float()
    best = torch.stack([mean, -mean], 1)
    later = shifted(Plan(mean, best))
    assert torch.equal(later.mean[:, :-1], mean[:, 1:])
    assert torch.equal(later.mean[:, -1], mean[:, -1])
    assert torch.equal(later.best[:, 1], -later.mean)


def test_starting_from_the_last_plan_is_better_than_from_nothing() -> None:
    it, goal = planner(), goals(16, 3)
    before = it.improve(it.cold(16), near(goal), 4)
    warm, cold = (it.improve(p, near(goal), 1) for p in (shifted(before), it.cold(16)))
    assert (near(goal)(warm.best)[:, 0] >= near(goal)(cold.best)[:, 0]).all()


def test_what_cannot_be_scored_is_never_chosen() -> None:
    it = planner()

    def broken(tried: Tensor) -> Tensor:
        value = tried.sum((-1, -2))
        return torch.where(value > 0, torch.nan, value)

    plan = it.improve(it.cold(1), broken, 3)
    assert torch.isfinite(plan.mean).all()
    assert plan.best[0, 0].sum() <= 0


@pytest.mark.parametrize(("color", "power"), [(0.0, 0.0), (1.0, -1.0), (2.0, -2.0)])
def test_noise_has_unit_deviation_and_the_power_of_its_colour(color: float, power: float) -> None:
    noise = colored_noise((20_000, 16, 1), color, torch.Generator().manual_seed(0))[..., 0]
    torch.testing.assert_close(noise.std(0), torch.ones(16), atol=0.03, rtol=0)
    spectrum = torch.fft.rfft(noise).abs().square().mean(0)[1:-1]
    frequency = torch.fft.rfftfreq(16)[1:-1]
    slope = (
        (spectrum.log() - spectrum.log().mean()) * (frequency.log() - frequency.log().mean())
    ).sum()
    assert abs(slope / (frequency.log() - frequency.log().mean()).square().sum() - power) < 0.05


def test_noise_of_every_length_has_unit_deviation() -> None:
    for steps in (1, 2, 3, 7):
        noise = colored_noise((4000, steps, A), 2.0, torch.Generator().manual_seed(1))
        torch.testing.assert_close(noise.std(0), torch.ones(steps, A), atol=0.05, rtol=0)
