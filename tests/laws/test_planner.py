"""Laws of the search: better with every iteration, worlds independent, elites chosen by rank."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from policies.planning.icem import Icem, IcemConfig, Plan, Score, colored_noise, shift_plan

CONFIG = IcemConfig(
    horizon=6,
    num_samples=24,
    num_elites=6,
    num_kept_elites=2,
    iterations=5,
    cold_iterations=5,
)
A = 2


def make_planner(config: IcemConfig = CONFIG, seed: int = 0) -> Icem:
    return Icem(config, A, torch.Generator().manual_seed(seed), torch.device("cpu"))


def quadratic(goal: Tensor) -> Score:
    """Highest, 0, where every action of world i is goal[i] (n, a)."""

    def score(candidates: Tensor) -> Tensor:
        return -(candidates - goal[:, None, None]).square().sum((-1, -2))

    return score


def draw_goals(n: int, seed: int) -> Tensor:
    return torch.rand(n, A, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n=st.integers(1, 4))
def test_the_best_value_never_falls_and_comes_close_on_a_quadratic(seed: int, n: int) -> None:
    planner = make_planner(seed=seed)
    score = quadratic(draw_goals(n, seed))
    plan = planner.initial_plan(n)
    values = []
    for iterations in (1, 2, 3, 4, 5, 5):
        plan = planner.search(plan, score, iterations)
        values.append(score(plan.best)[:, 0])
    gains = torch.stack(values).diff(dim=0)
    assert (gains >= -1e-6).all()
    assert (values[-1] > values[0]).all()
    value_at_rest = score(torch.zeros(n, 1, 6, A))[:, 0]
    assert (values[-1] > 0.25 * value_at_rest - 0.5).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000))
def test_elites_are_the_best_by_rank_in_each_world(seed: int) -> None:
    """Elites by a single argsort over worlds, or ranks taken for indices, would fail here."""
    planner = make_planner(seed=seed)
    score = quadratic(draw_goals(3, seed))
    scored = []

    def recorded(candidates: Tensor) -> Tensor:
        scored.append(candidates.clone())
        return score(candidates)

    plan = planner.search(planner.initial_plan(3), recorded, 1)
    candidates = scored[0]
    for world in range(3):
        value = score(candidates)[world].tolist()
        ranked = sorted(range(len(value)), key=value.__getitem__, reverse=True)
        best = candidates[world, ranked[: CONFIG.num_kept_elites]]
        torch.testing.assert_close(plan.best[world], best)
        mean = candidates[world, ranked[: CONFIG.num_elites]].mean(0)
        torch.testing.assert_close(plan.mean[world], (1 - CONFIG.momentum) * mean)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), n=st.integers(2, 5))
def test_a_world_gets_the_same_plan_alone_and_among_others(seed: int, n: int) -> None:
    """Also where the others are at other ticks of their episodes."""
    planner = make_planner(seed=seed)
    goal = draw_goals(n, seed)
    tick = torch.arange(n) // 2
    together = planner.search(replace(planner.initial_plan(n), tick=tick), quadratic(goal), 3)
    for world in range(n):
        score = quadratic(goal[world : world + 1])
        start = replace(planner.initial_plan(1), tick=tick[world : world + 1])
        alone = planner.search(start, score, 3)
        torch.testing.assert_close(alone.mean[0], together.mean[world])
        torch.testing.assert_close(alone.best[0], together.best[world])
        assert torch.equal(together.tick, tick)


def candidates_of(planner: Icem, tick: int, iterations: int = 5) -> list[Tensor]:
    """What every iteration of a search at some tick tries beside elites and mean."""
    scored = []

    def flat(candidates: Tensor) -> Tensor:
        scored.append(candidates[0, CONFIG.num_kept_elites + 1 :].clone())
        return torch.zeros(candidates.shape[:2])

    planner.search(replace(planner.initial_plan(1), tick=torch.tensor([tick])), flat, iterations)
    return scored


def test_noise_is_fresh_at_every_tick_and_in_every_iteration_and_the_same_again() -> None:
    planner = make_planner()
    ticks = torch.arange(4)
    noise = planner.noise(ticks)
    rows = noise.flatten(2).flatten(0, 1)  # (iterations · ticks, N · H · a)
    others = torch.corrcoef(rows) - torch.eye(len(rows))
    assert others.abs().max() < 0.5  # it is smooth in time, so that chance correlates it somewhat
    assert torch.equal(planner.noise(ticks.flip(0)).flip(1), noise)
    first = candidates_of(planner, 0)
    second = candidates_of(planner, 1)
    assert not torch.equal(first[0], second[0])
    for a, b in zip(first, candidates_of(make_planner(), 0), strict=True):
        assert torch.equal(a, b)


def test_the_population_falls_to_twice_the_elites() -> None:
    """Pinneri et al. 2020: max(N·γ^-i, 2K)."""
    config = replace(CONFIG, num_samples=40, population_decay=1.25)
    config = replace(config, iterations=7)
    sizes = [len(x) + CONFIG.num_kept_elites + 1 for x in candidates_of(make_planner(config), 0, 7)]
    assert sizes == [40, 32, 25, 20, 16, 13, 12]
    few = replace(config, num_samples=10)
    assert [few.population(i) for i in range(3)] == [10, 10, 10]


def drive(planner: Icem, worlds: int, fresh: bool) -> Tensor:
    """Costs (n,) of 40 ticks in which masses are driven to the origin along warm-started plans."""
    generator = torch.Generator().manual_seed(7)
    position = 4 * torch.rand(worlds, A, generator=generator) - 2
    speed = torch.zeros(worlds, A)
    cost = torch.zeros(worlds)
    plan = planner.initial_plan(worlds)

    def score(candidates: Tensor) -> Tensor:
        p = position[:, None]
        v = speed[:, None]
        value = torch.zeros(candidates.shape[:2])
        for action in candidates.unbind(2):
            v = v + 0.2 * action
            p = p + 0.5 * v
            value = value - p.square().sum(-1)
        return value

    for _ in range(40):
        plan = planner.search(plan, score, 3)
        speed = speed + 0.2 * plan.action
        position = position + 0.5 * speed
        cost = cost + position.square().sum(-1)
        plan = shift_plan(plan)
        if not fresh:
            plan = replace(plan, tick=torch.zeros_like(plan.tick))
    return cost


def test_fresh_noise_gives_better_plans_than_noise_that_was_drawn_once() -> None:
    config = IcemConfig(horizon=10, num_samples=64, num_elites=8)
    costs = []
    for fresh in (True, False):
        runs = [drive(make_planner(config, seed), 64, fresh).mean() for seed in range(4)]
        costs.append(torch.stack(runs))
    assert costs[0].mean() < 0.97 * costs[1].mean()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(scale=st.floats(0.1, 100), seed=st.integers(0, 1000))
def test_actions_stay_in_bounds_when_the_score_rewards_leaving(scale: float, seed: int) -> None:
    planner = make_planner(seed=seed)
    scored = []

    def outward(candidates: Tensor) -> Tensor:
        scored.append(candidates.clone())
        return scale * candidates.sum((-1, -2))

    plan = planner.search(planner.initial_plan(2), outward, 4)
    assert all(x.abs().max() <= 1 for x in (*scored, plan.best, plan.mean))
    initial = outward(planner.initial_plan(2).best).amax(1)
    assert (outward(plan.best)[:, 0] > initial).all()


def test_a_shifted_plan_is_one_step_later() -> None:
    mean = torch.arange(2 * 6 * A).view(2, 6, A).float()
    best = torch.stack([mean, -mean], 1)
    tick = torch.tensor([0, 7])
    later = shift_plan(Plan(mean, best, tick))
    assert later.tick.tolist() == [1, 8]
    assert torch.equal(later.mean[:, :-1], mean[:, 1:])
    assert torch.equal(later.mean[:, -1], mean[:, -1])
    assert torch.equal(later.best[:, 1], -later.mean)


def test_a_warm_start_is_at_least_as_good_as_a_cold_one() -> None:
    planner = make_planner()
    score = quadratic(draw_goals(16, 3))
    before = planner.search(planner.initial_plan(16), score, 4)
    warm = planner.search(shift_plan(before), score, 1)
    cold = planner.search(planner.initial_plan(16), score, 1)
    assert (score(warm.best)[:, 0] >= score(cold.best)[:, 0]).all()


def test_a_candidate_of_value_nan_is_never_chosen() -> None:
    planner = make_planner()

    def broken(candidates: Tensor) -> Tensor:
        value = candidates.sum((-1, -2))
        return torch.where(value > 0, torch.nan, value)

    plan = planner.search(planner.initial_plan(1), broken, 3)
    assert torch.isfinite(plan.mean).all()
    assert plan.best[0, 0].sum() <= 0


@pytest.mark.parametrize(("beta", "power"), [(0.0, 0.0), (1.0, -1.0), (2.0, -2.0)])
def test_noise_has_unit_std_and_the_power_of_its_color(beta: float, power: float) -> None:
    noise = colored_noise((20_000, 16, 1), beta, torch.Generator().manual_seed(0))[..., 0]
    torch.testing.assert_close(noise.std(0), torch.ones(16), atol=0.03, rtol=0)
    spectrum = torch.fft.rfft(noise).abs().square().mean(0)[1:-1].log()
    frequency = torch.fft.rfftfreq(16)[1:-1].log()
    x = frequency - frequency.mean()
    slope = ((spectrum - spectrum.mean()) * x).sum() / x.square().sum()
    assert abs(slope - power) < 0.05


def test_noise_of_every_length_has_unit_std() -> None:
    for steps in (1, 2, 3, 7):
        noise = colored_noise((4000, steps, A), 2.0, torch.Generator().manual_seed(1))
        torch.testing.assert_close(noise.std(0), torch.ones(steps, A), atol=0.05, rtol=0)
