"""Laws of MetaGenRL: policies step along a learned objective, trained by critics through steps."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from noisy import BeliefRecorder, NoisyScript
from tiny import Tiny
from torch import Tensor, nn

from adaptation.problem import problem_of
from adaptation.rollout import rollout
from policies.belief import map_tensors
from policies.method import CollectionSchedule, Transition, TrialBatch
from policies.methods.metagenrl import MetaGenRl, MetaGenRlBelief, MetaGenRlConfig
from policies.models.learned_objective import LearnedObjective, Outcomes, estimated_outcomes
from policies.rl.replay import split_episodes
from policies.rl.td3 import td3_target
from robots.errors import BadArgumentError
from sim.families import FAMILIES

CPU = torch.device("cpu")
FAMILY = Tiny()
H = FAMILY.horizon
N = 4
E = 3
CONFIG = MetaGenRlConfig(
    hidden=(5,),
    objective_units=6,
    critic_hidden=(8,),
    inner_lr=0.7,
    inner_steps=2,
    gamma=0.8,
    meta_batch=3,
    gradient_steps=3,
)
RAGGED = {"terminated": {0: 1}, "truncated": {1: 2}, "diverged": {2: 0}}


def make(**changes: Any) -> MetaGenRl:
    return MetaGenRl(problem_of(FAMILY), replace(CONFIG, **changes), 0, CPU)


def recorded(method: MetaGenRl, **ends: dict[int, int]) -> tuple[TrialBatch, list[Any]]:
    """A trial of random rewards, and the belief that was acted under at every tick of it."""
    recorder: Any = BeliefRecorder(method)
    task = FAMILY.sample(np.random.default_rng(0), N)
    trial = rollout(NoisyScript(N, **ends), recorder, task, episodes=E)
    return trial, recorder.beliefs


def trained(**changes: Any) -> MetaGenRl:
    """A method that has learned once, so that its normalizers have moved."""
    method = make(**changes)
    method.learn(recorded(method, **RAGGED)[0])
    return method


def stored(method: MetaGenRl, trial: TrialBatch) -> tuple[Transition, Tensor]:
    """The trial as the replay returns it, (L, n, ...), and its tasks."""
    first = method.replay.added
    method.replay.add(trial)
    slots = torch.arange(first, method.replay.added) % method.replay.capacity
    ticks, exists = method.replay.trials(slots)
    return replace(ticks, valid=exists).transpose(0, 1), method.replay.task[slots]


def double(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def in_double_precision(method: MetaGenRl) -> tuple[Transition, Tensor]:
    """A ragged trial for a method whose networks are doubles."""
    ticks, task = stored(method, recorded(method, **RAGGED)[0])
    for net in (method.net, method.critic, method.target_critic):
        net.double()
    return map_tensors(double, ticks), task.double()


def layers(net: Any, x: Tensor) -> Tensor:
    """The network of squares and ReLU, written out for one hidden layer."""
    first, last = net.layers
    h = first.weight @ x + first.bias
    half = len(h) // 2
    h = torch.cat([h[:half].clamp(min=0), h[half:] ** 2])
    if net.normalize:
        h = (h - h.mean()) / torch.sqrt(h.var(unbiased=False) + 1e-5)
    return last.weight @ h + last.bias


def written_out(net: LearnedObjective, action: Tensor, policy: Tensor, columns: Tensor) -> Tensor:
    """The terms of one world's valid steps, (H,): an LSTM (Hochreiter and Schmidhuber) backward."""
    weights = net.memory.lstm
    units = net.memory.size
    h = torch.zeros(units, dtype=action.dtype)
    c = torch.zeros(units, dtype=action.dtype)
    terms = []
    for t in reversed(range(len(action))):
        pairs = zip(action[t], policy[t], strict=True)
        features = [layers(net.read_action, torch.stack(pair)) for pair in pairs]
        acted = torch.stack(features).mean(0)
        x = torch.cat([acted, layers(net.read_outcome, columns[t])])
        gates = weights.weight_ih_l0 @ x + weights.bias_ih_l0
        gates = gates + weights.weight_hh_l0 @ h + weights.bias_hh_l0
        take, keep, new, show = gates.split(units)
        c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
        h = torch.sigmoid(show) * torch.tanh(c)
        terms.append(layers(net.head, torch.cat([h, acted]))[0])
    return torch.stack(terms[::-1])


def example(actions: int = 2, steps: int = 5) -> tuple[Tensor, Tensor, Outcomes]:
    """Random actions (H, n, a), those of a policy, and outcomes; all steps are valid."""
    g = torch.Generator().manual_seed(3)
    action, policy = torch.rand(2, steps, N, actions, generator=g) * 2 - 1
    reward, value, next_value, advantage = torch.randn(4, steps, N, generator=g)
    ended = torch.rand(steps, N, generator=g) < 0.2
    valid = torch.ones_like(ended)
    return action, policy, Outcomes(reward, value, next_value, advantage, ended, valid)


def objective(units: int = 6) -> LearnedObjective:
    return LearnedObjective(units, torch.Generator().manual_seed(1))


def test_a_step_is_the_gradient_of_the_objective_written_out() -> None:
    """One world after the other, by torch.func; two steps on a ragged episode."""
    method = trained()
    trial, _ = recorded(method, **RAGGED)
    episode = trial.ticks[0]
    obs = method.obs_norm(episode.obs)
    reward = method.reward_norm(episode.reward[..., None])[..., 0]
    columns = estimated_outcomes(episode, obs, reward, CONFIG.gamma).columns()
    before = method.prior(N)
    after = method.adapt(before, episode).theta
    for i in range(N):
        length = int(episode.valid[:, i].sum())
        if length == 0:
            torch.testing.assert_close(after[i], before.theta[i])
            continue

        def mean_term(theta: Tensor, i: int = i, length: int = length) -> Tensor:
            w1, b1, w2, b2, _ = theta.split([10, 5, 10, 2, 2])
            hidden = torch.tanh(obs[:length, i] @ w1.view(2, 5) + b1)
            policy = torch.tanh(hidden @ w2.view(5, 2) + b2)
            action = episode.action[:length, i]
            return written_out(method.objective, action, policy, columns[:length, i]).mean()

        theta = before.theta[i]
        for _ in range(2):
            theta = theta - 0.7 * torch.func.grad(mean_term)(theta)
        torch.testing.assert_close(after[i], theta, rtol=1e-4, atol=1e-6)
        assert (theta - before.theta[i]).abs().max() > 1e-4


def slope(value: Callable[[], Tensor], parameter: Tensor, direction: Tensor) -> float:
    """Derivative along a direction by central differences."""
    values = []
    for sign in (1, -1):
        parameter.data += sign * 1e-5 * direction
        values.append(value().item())
        parameter.data -= sign * 1e-5 * direction
    return (values[0] - values[1]) / 2e-5


def test_the_meta_gradient_is_that_of_finite_differences() -> None:
    """Through the steps of whole trials, for α and for the policy that all tasks begin with."""
    method = trained()
    ticks, task = in_double_precision(method)

    def value() -> Tensor:
        return method.values(method.thetas(ticks), ticks, task).mean()

    method.net.zero_grad()
    value().backward()
    g = torch.Generator().manual_seed(2)
    for name, parameter in method.net.named_parameters():
        if name == "objective.head.layers.1.bias":
            continue  # a constant of the objective has no effect
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=g, dtype=torch.float64)
        expected = float((parameter.grad * direction).sum())
        found = slope(value, parameter, direction)
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-8), name


def test_a_policy_is_worth_the_first_critics_value_of_it_for_the_true_task() -> None:
    """In all states of the trial; the critic written out."""
    method = trained()
    trial, beliefs = recorded(method)
    ticks, task = stored(method, trial)
    known = method.scaled(task).expand(E * H, -1, -1)
    weight, bias, last, last_bias = method.critic.flat[0].split([(2 + 3 + 2) * 8, 8, 8, 1])
    thetas = [beliefs[e * H].theta for e in range(E)]
    found = method.values(thetas, ticks, task)
    for theta, value in zip(thetas, found, strict=True):
        action = method.actions(theta, ticks.obs)
        inputs = torch.cat([method.obs_norm(ticks.obs), known, action], -1)
        hidden = (inputs @ weight.view(7, 8) + bias).clamp(min=0)
        expected = (hidden @ last.view(8, 1) + last_bias).mean()
        torch.testing.assert_close(value, expected)


def reached(method: MetaGenRl, loss: Tensor) -> set[str]:
    """The parts that a loss has a gradient of."""
    parts: dict[str, nn.Module] = {
        "start": method.net["start"],
        "objective": method.objective,
        "critic": method.critic,
        "target": method.target_critic,
    }
    found = set()
    loss.backward()
    for name, part in parts.items():
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        if any((gradient != 0).any() for gradient in gradients):
            found.add(name)
        part.zero_grad()
    return found


def test_what_the_values_and_the_critics_loss_train() -> None:
    """The meta-gradient does not train the critics, and their loss trains nothing else."""
    method = trained()
    method.net.zero_grad()
    method.critic.zero_grad()
    ticks, task = stored(method, recorded(method)[0])
    thetas = method.thetas(ticks)
    critic = method.critic_loss(thetas[-1].detach(), ticks, task)
    assert reached(method, critic) == {"critic"}
    assert reached(method, method.values(thetas, ticks, task)[1:].sum()) == {"start", "objective"}


def weights(method: MetaGenRl) -> dict[str, Tensor]:
    """The parameters of every network, as they are now."""
    nets = {"net": method.net, "critic": method.critic, "target": method.target_critic}
    return {
        name: nn.utils.parameters_to_vector(net.parameters()).detach() for name, net in nets.items()
    }


def test_a_step_makes_adapted_policies_better_by_the_critics() -> None:
    """On the same trials, by critics that stand still while objective and policy learn."""
    method = trained(critic_lr=1e-12, lr=1e-9, objective_lr=1e-3, tau=1e-12)
    ticks, task = stored(method, recorded(method)[0])
    before = method.values(method.thetas(ticks), ticks, task).detach()
    old = weights(method)
    method.replay.add(recorded(method)[0])
    for _ in range(15):
        method.step()
    after = method.values(method.thetas(ticks), ticks, task).detach()
    assert after[-1] > before[-1] + 1e-3
    assert after[0] == pytest.approx(before[0].item(), abs=1e-4)
    new = weights(method)
    torch.testing.assert_close(new["critic"], old["critic"])
    assert (new["net"] - old["net"]).abs().max() > 1e-3


def test_adapting_reads_neither_critics_nor_tasks_and_changes_no_weights() -> None:
    method = trained()
    episode = recorded(method)[0].ticks[0]
    expected = method.adapt(method.prior(N), episode).theta
    method.optimizer.zero_grad()
    before = {k: v.clone() for k, v in method.net.state_dict().items()}
    method.critic.flat.data.fill_(float("nan"))
    method.replay.data.fill_(float("nan"))
    with torch.no_grad():  # as the loop does
        found = method.adapt(method.prior(N), episode).theta
    assert torch.equal(found, expected)
    assert not found.requires_grad
    for name, value in method.net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in method.net.parameters())


def test_the_term_of_a_step_depends_on_it_and_on_later_ones_alone() -> None:
    net = objective()
    action, policy, outcomes = example()
    before = net.terms(action, policy, outcomes)
    s = 2
    for changed in ("action", "policy", "reward", "value", "next_value", "advantage"):
        inputs = {"action": action, "policy": policy}
        if changed in inputs:
            inputs[changed] = inputs[changed].clone()
            inputs[changed][s] += 0.5
            after = net.terms(inputs["action"], inputs["policy"], outcomes)
        else:
            column = getattr(outcomes, changed).clone()
            column[s] += 0.5
            after = net.terms(action, policy, replace(outcomes, **{changed: column}))
        assert torch.equal(after[s + 1 :], before[s + 1 :]), changed
        assert ((after - before)[: s + 1].abs() > 1e-7).all(), changed


def test_what_stands_after_an_episode_changes_nothing() -> None:
    """An episode of fewer steps has the terms that its steps alone have."""
    net = objective()
    action, policy, outcomes = example()
    length = torch.tensor([5, 3, 1, 0])
    valid = torch.arange(5)[:, None] < length
    found = net.terms(action, policy, replace(outcomes, valid=valid))
    columns = outcomes.columns()
    for i in range(N):
        own = int(length[i])
        if own > 0:
            expected = written_out(net, action[:own, i], policy[:own, i], columns[:own, i])
            torch.testing.assert_close(found[:own, i], expected)
    mean = net(action, policy, replace(outcomes, valid=valid))
    torch.testing.assert_close(mean, (found * valid).sum(0) / length.clamp(min=1))
    assert mean[3] == 0


def test_components_of_an_action_are_read_alike_whatever_their_number() -> None:
    net = objective()
    action, policy, outcomes = example(actions=3)
    expected = net(action, policy, outcomes)
    order = [2, 0, 1, 0, 1, 2]  # another order, each component twice
    torch.testing.assert_close(net(action[..., order], policy[..., order], outcomes), expected)
    assert (net(action[..., :1], policy[..., :1], outcomes) - expected).abs().min() > 1e-6


def test_the_same_objective_adapts_policies_of_another_family() -> None:
    """Of other observations, actions and horizons; the weights fit as they are."""
    method = trained()
    family = FAMILIES["cheetah_vel"]()
    other = MetaGenRl(problem_of(family), CONFIG, 5, CPU)
    other.objective.load_state_dict(method.objective.state_dict())
    g = torch.Generator().manual_seed(4)
    obs = torch.randn(30, 2, other.problem.obs_dim, generator=g)
    action = torch.rand(30, 2, other.problem.action_dim, generator=g)
    no = torch.zeros(30, 2, dtype=torch.bool)
    reward = torch.randn(30, 2, generator=g)
    episode = Transition(obs, action, action, reward, obs, no, no, no, no, ~no)
    start = other.prior(2)
    adapted = other.adapt(start, episode)
    assert adapted.theta.isfinite().all()
    assert ((adapted.theta - start.theta).abs().amax(-1) > 1e-5).all()


def test_every_task_begins_with_the_learned_policy_and_steps_alone() -> None:
    method = trained()
    before = method.prior(N)
    for theta in before.theta:
        assert torch.equal(theta, method.theta)
    episode = recorded(method)[0].ticks[0]
    expected = method.adapt(before, episode).theta
    reward = episode.reward.clone()
    reward[:, 1] += torch.linspace(-3, 3, H)
    found = method.adapt(before, replace(episode, reward=reward)).theta
    others = [0, 2, 3]
    assert torch.equal(found[others], expected[others])
    assert (found[1] - expected[1]).abs().max() > 1e-6
    empty = replace(episode, valid=torch.zeros_like(episode.valid))
    assert torch.equal(method.adapt(before, empty).theta, before.theta)


@pytest.mark.parametrize("ends", [{}, RAGGED], ids=["whole", "ragged"])
def test_learning_takes_the_steps_that_were_acted_under(ends: dict[str, dict[int, int]]) -> None:
    """Before anything is learned of them; a new trial begins with the learned policy."""
    method = trained()
    trial, beliefs = recorded(method, **ends)
    ticks, _ = stored(method, trial)
    thetas = method.thetas(ticks)
    acted = beliefs[0 :: len(beliefs) // E]
    kept = trial.ticks.valid.flatten(0, 1).any(0)
    assert len(thetas) == E
    assert torch.equal(thetas[0], method.prior(int(kept.sum())).theta)
    for theta, belief in zip(thetas, acted, strict=True):
        torch.testing.assert_close(theta, belief.theta[kept], rtol=1e-4, atol=1e-5)
    assert (thetas[2] - thetas[1]).abs().max() > 1e-3


def test_a_stored_trial_is_split_into_its_episodes() -> None:
    method = trained()
    trial, _ = recorded(method, **RAGGED)
    ticks, _ = stored(method, trial)
    kept = trial.ticks.valid.flatten(0, 1).any(0)
    episodes = split_episodes(ticks, H)
    assert len(episodes) == E
    for e, episode in enumerate(episodes):
        expected = trial.ticks[e][:, kept]
        assert torch.equal(episode.valid, expected.valid)
        assert torch.equal(episode.obs[episode.valid], expected.obs[expected.valid])
        assert torch.equal(episode.begins[episode.valid], expected.begins[expected.valid])


def test_values_are_fitted_to_the_returns_of_an_episode() -> None:
    """An episode of a few steps is fitted almost exactly; no value follows a terminated step."""
    method = make()
    episode = recorded(method)[0].ticks[0]
    ended = torch.zeros_like(episode.valid)
    ended[-1, 0] = True
    episode = replace(episode, terminated=ended)
    reward = episode.reward
    returns = torch.zeros(H + 1, N)
    for t in reversed(range(H)):
        returns[t] = reward[t] + 0.5 * returns[t + 1]
    found = estimated_outcomes(episode, episode.obs, reward, gamma=0.5)
    torch.testing.assert_close(found.value, returns[:H], rtol=0.1, atol=0.1)
    torch.testing.assert_close(found.next_value[:-1], found.value[1:])
    assert found.next_value[-1, 0] == 0
    assert torch.equal(found.next_value[-1, 1:], found.value[-1, 1:])
    error = reward + 0.5 * found.next_value - found.value
    standardized = (error - error.mean(0)) / error.std(0, unbiased=False)
    torch.testing.assert_close(found.advantage, standardized, rtol=0.1, atol=0.01)


class KnownCritic(nn.Module):
    """Twin critics that are known: the action's first component, plus 0 and plus 3."""

    def forward(self, inputs: Tensor, detach_weights: bool = False) -> Tensor:
        action = inputs[..., 2:3]
        return torch.stack([action + 3, action])


def test_a_target_is_the_reward_and_the_smaller_value_of_what_follows() -> None:
    ticks = recorded(make())[0].ticks[0]
    ended = torch.zeros_like(ticks.valid)
    ended[1, 2] = True
    ticks = replace(ticks, terminated=ended)
    action = torch.linspace(-1, 1, H)[:, None, None].expand(H, N, 2)
    critic: Any = KnownCritic()
    draws = []
    for seed in range(200):
        g = torch.Generator().manual_seed(seed)
        draws.append(td3_target(critic, ticks, ticks.next_obs, action, 0.5, g))
    values = (torch.stack(draws) - ticks.reward) / 0.5
    assert (values[:, 1, 2] == 0).all()
    assert values.max() <= 1 + 1e-5
    assert values.min() >= -1 - 1e-5
    middle = values[:, H // 2]  # of an action of 0: the noise itself
    assert middle.std() == pytest.approx(0.2, abs=0.02)
    assert middle.mean() == pytest.approx(0.0, abs=0.03)
    assert middle.abs().max() <= 0.5 + 1e-5


def test_critics_learn_from_the_training_reward_and_policies_from_the_true_one() -> None:
    method = trained()

    def dense(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
        return 7 + 0 * obs[..., 0]

    ticks, task = stored(method, recorded(method)[0])
    plain = method.thetas(ticks)
    method.problem = replace(method.problem, training_reward=dense)
    for a, b in zip(method.thetas(ticks), plain, strict=True):
        assert torch.equal(a, b)
    theta = plain[-1].detach()
    method.config = replace(method.config, gamma=0.0)
    target = 7 * method.reward_norm.inv_std
    x = torch.cat([method.obs_norm(ticks.obs), method.scaled(task).expand(E * H, -1, -1)], -1)
    q = method.critic(torch.cat([x, ticks.action], -1))[..., 0]
    expected = (q - target).square().sum(0).mean()
    torch.testing.assert_close(method.critic_loss(theta, ticks, task), expected)


def test_noise_is_for_exploring_alone() -> None:
    method = trained(exploration_std=0.3)
    obs = torch.zeros(2000, 2)
    belief = MetaGenRlBelief(method.theta.detach().expand(2000, -1))
    mean = method.act(obs, belief, explore=False)
    assert torch.equal(mean, mean[:1].expand_as(mean))
    assert torch.equal(mean, method.act(obs, belief, explore=False))
    noise = method.act(obs, belief, explore=True) - mean
    assert noise.std() == pytest.approx(0.3, abs=0.03)


def test_a_trial_of_one_episode_is_refused() -> None:
    with pytest.raises(BadArgumentError, match="at least 2 episodes"):
        make(schedule=CollectionSchedule(meta_batch=4, episodes_per_trial=1))
