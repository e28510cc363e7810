"""The training reward: actors and critics learn from it, and beliefs are given the true one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from adaptation.rollout import rollout
from adaptation.runs import checkpoint
from policies.method import Transition, TrialBatch, with_training_reward
from policies.methods.oracle import Oracle
from policies.methods.pearl import Pearl
from policies.models.posterior import Posterior
from sim.families.point import Point, SparsePoint
from sim.vec_world import VecWorld

N = 6
FAMILY = SparsePoint()


def short(name: str) -> Pearl | Oracle:
    """A method that takes one gradient step per iteration, on what one trial gave."""
    settings = {"schedule.meta_batch": N, "gradient_steps": 1, "buffer_tasks": N}
    if name == "pearl":
        settings = {f"sac.{key}": value for key, value in settings.items()}
    config = checkpoint.method_config(
        name, checkpoint.family_named("point_sparse"), "cpu", settings
    )
    return checkpoint.build(name, FAMILY, 0, config)


def trial(method: Pearl | Oracle) -> TrialBatch:
    task = FAMILY.sample(np.random.default_rng(0), N)
    return rollout(VecWorld(FAMILY, n=N, seed=0), method, task, 2)


def minus_distance(ticks: Transition, task: Tensor) -> Tensor:
    return -(ticks.next_obs - task).norm(dim=-1)


def test_a_sparse_family_tells_the_distance_in_training_only() -> None:
    assert Point().training_reward is None
    task = FAMILY.sample(np.random.default_rng(0), 2)
    far = np.zeros((2, 2))
    at_goal = task.values
    assert (FAMILY.reward(far, far, far, task.values) == 0).all()
    assert (FAMILY.reward(far, far, at_goal, task.values) == 1).all()
    assert FAMILY.training_reward is not None
    np.testing.assert_allclose(FAMILY.training_reward(far, far, far, task.values), -1.0)


def test_a_family_without_one_leaves_the_rewards() -> None:
    method = short("pearl")
    batch = trial(method)
    problem = replace(method.problem, training_reward=None)
    assert with_training_reward(problem, batch.ticks, batch.task) is batch.ticks


def test_a_reference_learns_from_the_training_reward() -> None:
    method = short("oracle")
    batch = trial(method)
    method.learn(batch)
    stored, mask = method.learner.replay.trials(torch.arange(N))
    assert mask.all()
    expected = minus_distance(stored, batch.task[:, None])
    torch.testing.assert_close(stored.reward, expected)


def test_pearls_belief_gets_the_true_reward_and_its_critic_the_training_reward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = short("pearl")
    batch = trial(method)
    method.learn(batch)
    stored, _ = method.replay.trials(torch.arange(N))
    assert torch.equal(stored.reward.flatten(), batch.sequences().reward.T.flatten())

    contexts = []

    def record(sac: object, ticks: Transition, *others: object) -> Tensor:
        contexts.append(ticks)
        return torch.zeros((), requires_grad=True)

    monkeypatch.setattr("policies.methods.pearl.critic_loss", record)
    method.losses()
    assert (stored.reward >= 0).all()
    assert (contexts[0].reward < 0).all()


def test_beliefs_from_the_true_reward_learn_to_predict_those_from_the_training_reward() -> None:
    method = short("pearl")
    assert isinstance(method, Pearl)
    batch = trial(method)
    method.learn(batch)
    method.optimizer.zero_grad()
    method.losses()["prediction"].backward()
    gradients = [parameter.grad for parameter in method.encoder.parameters()]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)
    assert all(parameter.grad is None for parameter in method.sac.parameters())


def test_surprise_is_minus_the_log_density() -> None:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 3, 3, generator=generator)
    precision = torch.eye(3) + root @ root.mT
    posterior = Posterior(precision, torch.randn(4, 3, generator=generator))
    z = torch.randn(2, 4, 3, generator=generator)
    density = MultivariateNormal(posterior.mean, precision_matrix=precision)
    difference = posterior.surprise(z[0]) - posterior.surprise(z[1])
    expected = density.log_prob(z[1]) - density.log_prob(z[0])
    torch.testing.assert_close(difference, expected)
