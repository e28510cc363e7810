"""A few seconds of training on an analytic strike, judged on new objects."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from collecting import collect
from toys.strike import StrikeWorld, problem

from adaptation.no_adaptation import NoAdaptation
from adaptation.rollout import rollout
from policies.method import CollectionSchedule, TrialBatch
from policies.methods.particle_mpc import ParticleMpc, ParticleMpcConfig
from policies.models.task_dynamics import TaskDynamicsConfig
from policies.planning.icem import IcemConfig

N = 64
ITERATIONS = 2
CONFIG = ParticleMpcConfig(
    dynamics=TaskDynamicsConfig(ensemble_size=2, hidden=(48, 48)),
    planner=IcemConfig(horizon=1, num_samples=24, cold_iterations=3),
    lr=3e-3,
    ema_rate=0.02,
    batch_size=128,
    gradient_steps=250,
    exploration_std=0.0,
    schedule=CollectionSchedule(
        meta_batch=N,
        episodes_per_trial=3,
        random_trials=3,
        iterations=ITERATIONS,
    ),
)


@pytest.fixture(scope="module")
def method() -> ParticleMpc:
    torch.set_num_threads(1)
    learner = ParticleMpc(problem(), CONFIG, 0, torch.device("cpu"))
    world: Any = StrikeWorld(N, seed=0)
    for iteration in range(ITERATIONS):
        learner.learn(collect(world, learner, 0, iteration))
    return learner


def judged(policy: Any) -> TrialBatch:
    world = StrikeWorld(N, seed=5)
    task = world.family.sample(np.random.default_rng(6), N)
    return rollout(world, policy, task, 3, [True, True, False])


def test_strikes_get_better_with_what_was_seen_of_the_object(method: ParticleMpc) -> None:
    adapted = judged(method)
    no_adaptation = judged(NoAdaptation(method))
    success = adapted.success.double().mean(1)
    kept_at_prior = no_adaptation.success.double().mean(1)
    assert success[0] < 0.4  # one strike cannot know the friction
    assert success[1] > 0.7
    assert success[2] > 0.85
    assert kept_at_prior.max() < 0.4
    gain = adapted.returns[2] - no_adaptation.returns[2]
    assert gain.mean() > 3 * gain.std() / N**0.5 > 0


def test_the_posterior_finds_the_friction(method: ParticleMpc) -> None:
    trial = judged(method)
    true = method.hidden.encode(trial.task)
    belief = method.prior(N)
    errors = []
    for episode in range(3):
        belief = method.observe(belief, trial.ticks[episode, 0])
        errors.append((belief.particles.mean[:, :-1] - true).abs().mean())
    assert errors[0] < 0.15  # of [-1, 1]; the prior's mean misses by a half
    assert errors[2] < 1.2 * errors[0]


def test_a_belief_scores_its_own_task_above_another(method: ParticleMpc) -> None:
    trial = judged(method)
    belief = method.prior(N)
    for episode in range(2):
        belief = method.observe(belief, trial.ticks[episode, 0])
    own = method.score(belief, trial.ticks[2])
    particles = replace(belief.particles, u=belief.particles.u.roll(1, 0))
    others = method.score(replace(belief, particles=particles), trial.ticks[2])
    assert own.mean() > others.mean() + 1
