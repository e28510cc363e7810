"""Laws of a belief of weighted particles."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from toys.strike import problem

from adaptation.problem import problem_of
from policies.method import Problem, Transition, TrialBatch
from policies.methods.sysid_mpc import SysidMpc, SysidMpcConfig
from policies.models.particles import (
    HiddenParameters,
    ParticleConfig,
    Particles,
    Prior,
    equal_weights,
    physics_columns,
    rejuvenate,
    reweight,
    systematic_sample,
)
from policies.nn.noise import standard_normal, uniform
from policies.nn.state import make_generator
from sim.families import FAMILIES

N, K, H = 4, 300, 2
CPU = torch.device("cpu")
ALL = torch.ones(N, dtype=torch.bool)
TRUTH = torch.tensor([0.3, -0.4])
SENSOR = 0.2  # standard deviation of a measurement of the parameters


def cloud(seed: int = 0) -> Particles:
    """Evenly distributed particles with weights that differ."""
    g = make_generator(seed, CPU)
    u = 2 * uniform((N, K, H), g) - 1
    return Particles(u, standard_normal((N, K), g).log_softmax(-1))


def measurements(count: int, seed: int = 1) -> Tensor:
    """Noisy measurements (count, n, h) of the true parameters."""
    noise = standard_normal((count, N, H), make_generator(seed, CPU))
    return TRUTH + SENSOR * noise


def likelihood(particles: Particles, measured: Tensor) -> Tensor:
    error = (particles.u - measured[:, None]) / SENSOR
    return -0.5 * error.square().sum(-1)


def updated(particles: Particles, measured: Tensor) -> Particles:
    for one in measured:
        particles = reweight(particles, likelihood(particles, one), ALL)
    return particles


def spread(particles: Particles) -> Tensor:
    """Weighted variance of the parameters, (n, h)."""
    deviation = particles.u - particles.mean[:, None]
    return (particles.weights[..., None] * deviation.square()).sum(1)


def test_weights_sum_to_one_whatever_the_evidence() -> None:
    particles = cloud()
    evidence = 50 * standard_normal((N, K), make_generator(2, CPU))
    evidence[0] = -torch.inf
    evidence[1, :10] = torch.nan
    evidence[2] = -1e6
    total = reweight(particles, evidence, ALL).weights.sum(-1)
    assert torch.allclose(total, torch.ones(N), atol=1e-5)


def test_the_order_of_the_evidence_does_not_matter() -> None:
    measured = measurements(6)
    forward = updated(cloud(), measured)
    backward = updated(cloud(), measured.flip(0))
    assert torch.allclose(forward.weights, backward.weights, atol=1e-6)


def test_evidence_multiplies_odds() -> None:
    """The ratio of two particles' weights changes by the ratio of their likelihoods."""
    particles = cloud()
    evidence = standard_normal((N, K), make_generator(3, CPU))
    log_odds = particles.log_weights[:, 0] - particles.log_weights[:, 1]
    after = reweight(particles, evidence, ALL)
    change = after.log_weights[:, 0] - after.log_weights[:, 1] - log_odds
    assert torch.allclose(change, evidence[:, 0] - evidence[:, 1], atol=1e-5)


def test_more_evidence_concentrates_the_belief_at_the_truth() -> None:
    prior = equal_weights(cloud().u)
    few = updated(prior, measurements(2))
    many = updated(prior, measurements(20))
    assert (spread(few) < spread(prior)).all()
    assert (spread(many) < spread(few)).all()
    assert (many.mean - TRUTH).abs().max() < 0.2
    assert (few.effective_size < K).all()
    assert (many.effective_size < few.effective_size).all()


def test_the_true_parameters_gain_weight() -> None:
    u = cloud().u.clone()
    u[:, 0] = TRUTH
    before = equal_weights(u)
    after = updated(before, measurements(5))
    assert (after.weights[:, 0] > 3 * before.weights[:, 0]).all()


def test_worlds_without_valid_evidence_stay_as_they_were() -> None:
    particles = cloud()
    valid = torch.tensor([True, False, True, False])
    after = reweight(particles, likelihood(particles, measurements(1)[0]), valid)
    assert torch.equal(after.log_weights[~valid], particles.log_weights[~valid])
    assert not torch.equal(after.log_weights[valid], particles.log_weights[valid])


def test_particles_are_chosen_as_often_as_their_weights_demand() -> None:
    u = torch.arange(4.0).view(1, 4, 1)
    weights = torch.tensor([[0.5, 0.0, 0.25, 0.25]])
    chosen = systematic_sample(Particles(u, weights.log()), 8)
    assert chosen.flatten().tolist() == [0, 0, 0, 0, 2, 2, 3, 3]


def test_rejuvenating_keeps_mean_and_covariance_and_evens_the_weights() -> None:
    poor = updated(cloud(), measurements(3))
    fresh = rejuvenate(poor, 0.9, 0.5, make_generator(4, CPU))
    assert torch.allclose(fresh.effective_size, torch.full((N,), float(K)), rtol=1e-3)
    assert (fresh.mean - poor.mean).abs().max() < 0.03
    assert torch.allclose(spread(fresh), spread(poor), rtol=0.35)


def test_only_worlds_with_few_effective_particles_are_rejuvenated() -> None:
    rich = equal_weights(cloud().u)
    evidence = likelihood(rich, measurements(1)[0])
    particles = reweight(rich, evidence, torch.tensor([True, False, False, False]))
    fresh = rejuvenate(particles, 0.9, 0.2, make_generator(5, CPU))
    assert torch.equal(fresh.u[1:], particles.u[1:])
    assert not torch.equal(fresh.u[0], particles.u[0])
    assert torch.equal(rejuvenate(particles, 0.0, 0.2, make_generator(5, CPU)).u, particles.u)


def test_a_collapsed_cloud_can_be_rejuvenated() -> None:
    u = torch.zeros(1, K, H)
    log_weights = torch.full((1, K), -50.0)
    log_weights[0, 0] = 0.0
    fresh = rejuvenate(Particles(u, log_weights), 0.5, 0.1, make_generator(0, CPU))
    assert fresh.u.isfinite().all()
    assert fresh.u.abs().max() < 0.01


def test_the_prior_takes_the_training_tasks_a_little_wider() -> None:
    g = make_generator(0, CPU)
    config = ParticleConfig(count=2000, prior_width=1.5, prior_noise=0.0)
    prior = Prior(1, config, g)
    assert prior.u.abs().max() <= 1
    tasks = 0.2 + 0.1 * standard_normal((2000, 1), g)
    prior.fit(tasks, g)
    particles = prior.particles(3)
    assert particles.u.shape == (3, 2000, 1)
    assert particles.mean.flatten().tolist() == pytest.approx([0.2] * 3, abs=0.01)
    assert prior.u.std().item() == pytest.approx(0.15, abs=0.01)


def test_goals_are_hidden_only_where_the_reward_is() -> None:
    visible = problem()
    assert physics_columns(visible.task_names) == [0]
    assert len(HiddenParameters(visible, CPU)) == 1
    assert len(HiddenParameters(replace(visible, reward=None), CPU)) == 2


def test_parameters_survive_scaling_and_positive_ones_stay_positive() -> None:
    hidden = HiddenParameters(problem(), CPU)
    task = torch.tensor([[0.04, 0.5], [0.16, 0.6], [0.08, 0.7]])
    u = hidden.encode(task)
    assert u.flatten().tolist() == pytest.approx([-1, 1, 0], abs=1e-5)
    assert torch.allclose(hidden.decode(u, task), task, atol=1e-6)
    far = hidden.decode(torch.tensor([[-30.0]]), task[:1])
    assert far[0, 0] > 0
    assert far[0, 1] == task[0, 1]


def test_a_range_that_begins_at_zero_is_linear_whatever_its_lowest_draw_was() -> None:
    strike = problem()
    from_zero = replace(strike, task_low=(1e-4, 0.4), task_high=(1.0, 0.7))
    hidden = HiddenParameters(from_zero, CPU)
    task = torch.tensor([[0.5, 0.5]])
    assert hidden.encode(task).item() == pytest.approx(0, abs=1e-3), "the middle of its range"
    below = hidden.decode(torch.tensor([[-1.5]]), task)
    assert below[0, 0] == 0, "no actuator has a negative gain"


def test_only_the_first_trial_with_its_random_tasks_makes_the_simulators_prior() -> None:
    """Later trials have a few tasks each; a resumed training keeps the first prior too."""
    point = problem_of(FAMILIES["point"]())
    method = SysidMpc(point, SysidMpcConfig(), 0, CPU)
    first = tasks_of(point, 64)
    method.learn(first)
    learned = method.particle_prior.u.clone()
    resumed = SysidMpc(point, SysidMpcConfig(), 1, CPU)
    resumed.load_state_dict(method.state_dict())
    few = tasks_of(point, 2)
    for continued in (method, resumed):
        continued.learn(few)
        assert torch.equal(continued.particle_prior.u, learned)


def tasks_of(given: Problem, n: int) -> TrialBatch:
    """A trial of n random tasks in which nothing happens."""
    low = torch.tensor(given.task_low)
    high = torch.tensor(given.task_high)
    shares = uniform((n, given.task_dim), make_generator(n, CPU))
    no = torch.zeros(1, 1, n, dtype=torch.bool)
    obs = torch.zeros(1, 1, n, given.obs_dim)
    action = torch.zeros(1, 1, n, given.action_dim)
    ticks = Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=torch.zeros(1, 1, n),
        next_obs=obs,
        terminated=no,
        truncated=~no,
        first=~no,
        begins=~no,
        valid=~no,
    )
    return TrialBatch(ticks, low + shares * (high - low), torch.arange(n), no[0, 0])
