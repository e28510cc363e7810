"""Fine-tuning: stacked networks are those of SAC, and every world learns from its own data."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from policies.belief import map_tensors, named_tensors
from policies.method import Problem, Transition
from policies.methods.finetune import Finetune, FinetuneBelief, FinetuneConfig
from policies.nn.flat_mlp import split_layers
from policies.nn.noise import standard_normal
from policies.nn.state import make_generator
from policies.rl import sac, stacked_sac
from policies.rl.own_transitions import BLOCK
from policies.rl.sac import Sac, SacConfig

N, H = 3, 4
OBSERVATIONS = 2
ACTIONS = 1
CPU = torch.device("cpu")
SMALL = SacConfig(hidden=(16, 16), gamma=0.5)
CONFIGS = [SMALL, replace(SMALL, critic_layer_norm=True)]
CONFIG = FinetuneConfig(sac=SMALL, steps=5, batch_size=8, tuning_lr=1e-2)
PROBLEM = Problem(
    family="test",
    obs_names=("x", "y"),
    obs_low=(-1.0, -1.0),
    obs_high=(1.0, 1.0),
    action_names=("a",),
    horizon=H,
    episodes=2,
    task_names=("object.mass",),
    task_low=(0.5,),
    task_high=(1.0,),
    reward=None,
)


def episode(seed: int = 0, steps: int = H) -> Transition:
    g = make_generator(seed, CPU)
    no = torch.zeros(steps, N, dtype=torch.bool)
    action = standard_normal((steps, N, ACTIONS), g).tanh()
    return Transition(
        obs=standard_normal((steps, N, OBSERVATIONS), g),
        action=action,
        applied=action,
        reward=standard_normal((steps, N), g),
        next_obs=standard_normal((steps, N, OBSERVATIONS), g),
        terminated=no,
        truncated=no,
        first=no,
        begins=no,
        valid=~no,
    )


def built() -> Finetune:
    return Finetune(PROBLEM, CONFIG, 0, CPU)


def actor(belief: FinetuneBelief) -> list[Tensor]:
    return belief.nets.actor


@pytest.mark.parametrize("config", CONFIGS)
def test_stacked_networks_are_those_that_they_copy(config: SacConfig) -> None:
    g = make_generator(0, CPU)
    single = Sac(OBSERVATIONS, ACTIONS, config, g)
    nets = stacked_sac.stack_sac(single, N)
    x = standard_normal((N, 5, OBSERVATIONS), g)
    action = standard_normal((N, 5, ACTIONS), g)
    q = sac.q_values(single.critic, x, action)  # (2, n, b)
    stacked = stacked_sac.q_values(nets.critic, x, action, config.critic_layer_norm)  # (n, 2, b)
    assert torch.allclose(stacked.transpose(0, 1), q, atol=1e-6)
    mean, _ = stacked_sac.gaussian(nets.actor, x)
    assert torch.allclose(torch.tanh(mean), single.act(x, None), atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_gradient_of_the_losses_is_that_of_sac(config: SacConfig) -> None:
    """With one world and the same draws; SAC draws for the next action first, then for its own."""
    g = make_generator(1, CPU)
    single = Sac(OBSERVATIONS, ACTIONS, config, g)
    batch = episode()[:, 0]
    draws = make_generator(2, CPU)
    critic = sac.critic_loss(single, batch, batch.obs, batch.next_obs, config, draws)
    minus_value, _ = sac.actor_loss(single, batch.obs, draws)
    parameters = [single.critic.flat, single.actor.flat]
    expected = torch.autograd.grad(critic + minus_value, parameters)
    expected_critic = split_layers(expected[0], single.critic.sizes)
    expected_actor = split_layers(expected[1], single.actor.sizes)

    noise = standard_normal((2, H, ACTIONS), make_generator(2, CPU))[:, None]
    nets = map_tensors(lambda x: x.requires_grad_(), stacked_sac.stack_sac(single, 1))
    one = map_tensors(lambda x: x[None], batch)
    alpha = single.log_alpha.detach().exp()
    loss = stacked_sac.losses(nets, one, one.obs, one.next_obs, alpha, noise, config)
    found = torch.autograd.grad(loss, nets.trained)
    layers = [*expected_actor, *expected_critic]
    expected_tensors = [tensor for layer in layers for tensor in layer]
    for ours, theirs in zip(found, expected_tensors, strict=True):
        torch.testing.assert_close(ours.view_as(theirs), theirs, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_the_worlds_of_every_block_are_tuned() -> None:
    """More worlds than a block holds; all have the same transitions but for their rewards."""
    method = built()
    worlds = BLOCK + 1
    one = episode()[:, :1]
    ticks = map_tensors(lambda x: x.expand(x.shape[0], worlds, *x.shape[2:]), one)
    prior = method.prior(worlds)
    belief = method.adapt(prior, ticks)
    for before, after in zip(actor(prior), actor(belief), strict=True):
        assert after.shape == before.shape
    weights = actor(belief)[0]
    change = (weights - actor(prior)[0]).flatten(1).norm(dim=1)
    assert (change > 0).all()


@torch.no_grad()
def test_a_world_is_tuned_by_its_own_transitions_alone() -> None:
    """Other rewards in world 1 change the networks of world 1 and no others."""
    ticks = episode()
    other_reward = ticks.reward.clone()
    other_reward[:, 1] *= -3
    tuned = []
    for reward in (ticks.reward, other_reward):
        method = built()
        belief = method.adapt(method.prior(N), replace(ticks, reward=reward))
        tuned.append(actor(belief))
    for a, b in zip(*tuned, strict=True):
        assert torch.equal(a[[0, 2]], b[[0, 2]])
    assert not torch.equal(tuned[0][0][1], tuned[1][0][1])


@torch.no_grad()
def test_a_world_without_valid_transitions_keeps_its_networks() -> None:
    method = built()
    ticks = episode()
    valid = ticks.valid.clone()
    valid[:, 1] = False
    prior = method.prior(N)
    belief = method.adapt(prior, replace(ticks, valid=valid))
    assert torch.equal(actor(belief)[0][1], actor(prior)[0][1])
    assert not torch.equal(actor(belief)[0][0], actor(prior)[0][0])


@torch.no_grad()
def test_all_valid_transitions_are_kept_until_newer_ones_need_their_place() -> None:
    method = built()
    ticks = episode()
    valid = ticks.valid.clone()
    valid[2:, 0] = False
    first = method.adapt(method.prior(N), replace(ticks, valid=valid))
    assert first.count.tolist() == [2, H, H]
    assert torch.equal(first.transitions.reward[1, :H], ticks.reward[:, 1])
    newer = episode(seed=1)
    third = method.adapt(method.adapt(first, newer), newer)
    # World 0 had room for 8 transitions and got 2 + 4 + 4: the last two replace the first two.
    rewards = newer.reward[:, 0]
    expected = torch.cat([rewards[2:], rewards, rewards[:2]])
    assert torch.equal(third.transitions.reward[0], expected)


@torch.no_grad()
def test_tuning_raises_the_value_of_what_the_actor_does() -> None:
    """One step per decision, and a reward that asks for the action 0.8."""
    config = FinetuneConfig(
        sac=replace(SMALL, gamma=0.0, init_temperature=1e-3), steps=300, tuning_lr=1e-2
    )
    method = Finetune(PROBLEM, config, 0, CPU)
    ticks = episode(steps=8)
    reward = -(ticks.action[..., 0] - 0.8).square()
    belief = method.adapt(method.prior(N), replace(ticks, reward=reward))
    before = method.act(ticks.obs[0], method.prior(N), False)
    after = method.act(ticks.obs[0], belief, False)
    assert ((after - 0.8).abs() < (before - 0.8).abs() - 0.2).all()
    assert all(x.isfinite().all() for x in named_tensors(belief).values())
