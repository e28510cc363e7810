"""Context MPC on a point on a line whose gain, or whose goal, is hidden."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from policies.method import CollectionSchedule, Method, Problem, Transition, TrialBatch, stack
from policies.methods.context_mpc import ContextMPC, ContextMpcConfig, MpcBelief
from policies.models.context_dynamics import DynamicsConfig
from policies.models.posterior import Posterior, prior
from policies.planning.icem import IcemConfig
from policies.rl.sac import SacConfig
from robots.signals import ArrayLike

N, HORIZON = 32, 8
CPU = torch.device("cpu")
CONFIG = ContextMpcConfig(
    dynamics=DynamicsConfig(
        ensemble_size=2,
        hidden=(32, 32),
        latent_dim=3,
        encoder_hidden=(32,),
        unroll_steps=2,
        windows_per_task=8,
    ),
    planner=IcemConfig(
        horizon=4,
        num_samples=16,
        num_elites=4,
        num_kept_elites=2,
        iterations=2,
        cold_iterations=3,
    ),
    lr=5e-3,
    ema_rate=0.02,
    meta_batch=16,
    gradient_steps=150,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=2, iterations=3),
)
SAC = SacConfig(hidden=(8,), meta_batch=4, gradient_steps=2)
Trained = tuple[ContextMPC, list[dict[str, float]]]  # a method and the logs of its iterations


def reward(obs: ArrayLike, applied: ArrayLike, next_obs: ArrayLike, task: ArrayLike) -> ArrayLike:
    """Minus the distance to 0."""
    return -((next_obs[..., 0] ** 2 + 1e-12) ** 0.5)


def make_problem(hidden_goal: bool = False) -> Problem:
    return Problem(
        family="line",
        obs_names=("x",),
        obs_low=(-2.0,),
        obs_high=(2.0,),
        action_names=("v",),
        horizon=HORIZON,
        episodes=2,
        task_names=("gain", "goal"),
        task_low=(-1.0, -1.0),
        task_high=(1.0, 1.0),
        reward=None if hidden_goal else reward,
    )


def make_method(
    hidden_goal: bool = False, config: ContextMpcConfig = CONFIG, seed: int = 0
) -> ContextMPC:
    return ContextMPC(make_problem(hidden_goal), config, seed, CPU)


def draw_tasks(n: int, seed: int) -> Tensor:
    """Gains of either sign, 0.2 to 1, and goals in [-1, 1]: (n, 2)."""
    u = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
    gain = (0.2 + 0.8 * u[:, 0]) * (u[:, 1] - 0.5).sign()
    return torch.stack([gain, 2 * u[:, 2] - 1], -1)


def make_step(obs: Tensor, action: Tensor, task: Tensor, hidden_goal: bool, t: int) -> Transition:
    """One tick: with a hidden goal the gain is 1, with a hidden gain the goal is 0."""
    n = len(task)
    gain = torch.ones(n, 1) if hidden_goal else task[:, :1]
    goal = task[:, 1] if hidden_goal else torch.zeros(n)
    next_obs = obs + 0.5 * action * gain
    yes = torch.ones(n, dtype=torch.bool)
    return Transition(
        obs=obs,
        action=action,
        applied=action,
        reward=-(next_obs[:, 0] - goal).abs(),
        next_obs=next_obs,
        terminated=~yes,
        truncated=yes & (t == HORIZON - 1),
        first=~yes,
        begins=yes & (t == 0),
        valid=yes,
    )


def random_trial(task: Tensor, seed: int, hidden_goal: bool = False) -> TrialBatch:
    """Two episodes of random actions."""
    g = torch.Generator().manual_seed(seed)
    n = len(task)
    episodes = []
    for _ in range(2):
        obs = torch.rand(n, 1, generator=g) * 3 - 1.5
        ticks = []
        for t in range(HORIZON):
            action = torch.rand(n, 1, generator=g) * 2 - 1
            ticks.append(make_step(obs, action, task, hidden_goal, t))
            obs = ticks[-1].next_obs
        episodes.append(stack(ticks))
    success = torch.zeros(2, n, dtype=torch.bool)
    return TrialBatch(stack(episodes), task, torch.arange(n), success)


def last_return(
    method: Method[Any], task: Tensor, seed: int, hidden_goal: bool = False, adapt: bool = True
) -> Tensor:
    """Mean return of the second episode, adapting in both or in none."""
    g = torch.Generator().manual_seed(seed)
    belief = method.prior(len(task))
    for _ in range(2):
        obs = torch.rand(len(task), 1, generator=g) * 3 - 1.5
        ticks = []
        for t in range(HORIZON):
            action = method.act(obs, belief, False)
            ticks.append(make_step(obs, action, task, hidden_goal, t))
            if adapt:
                belief = method.observe(belief, ticks[-1])
            obs = ticks[-1].next_obs
        episode = stack(ticks)
        if adapt:
            belief = method.adapt(belief, episode)
    return episode.reward.sum(0).mean()


def train(hidden_goal: bool = False, iterations: int = 4) -> Trained:
    method = make_method(hidden_goal)
    logs = []
    for i in range(iterations):
        trial = random_trial(draw_tasks(4 * N, i), i, hidden_goal)
        logs.append(method.learn(trial))
    return method, logs


@pytest.fixture(scope="module")
def trained() -> Trained:
    """Trained on hidden gains."""
    return train()


def posterior_after(method: ContextMPC, ticks: Transition, count: int) -> Posterior:
    """What is known after the first ``count`` of ticks (H, n, ...)."""
    belief = prior(ticks.obs.shape[1], CONFIG.dynamics.latent_dim, CPU)
    for t in range(count):
        belief = method.ema_model.observe(belief, ticks[t])
    return belief


def observe_all(method: ContextMPC, ticks: Transition) -> MpcBelief[Posterior]:
    """The belief after ticks (T, n, ...)."""
    belief = method.prior(ticks.obs.shape[1])
    for t in range(len(ticks.obs)):
        belief = method.observe(belief, ticks[t])
    return belief


def test_the_evidence_bound_rises(trained: Trained) -> None:
    _, logs = trained
    bound = [-(log["nll"] + log["kl"]) for log in logs]
    assert bound[-1] > bound[0] + 0.3
    assert logs[-1]["kl"] > 0.5 * CONFIG.dynamics.kl_weight  # z is used


def test_the_belief_tells_the_hidden_parameter_of_new_tasks(trained: Trained) -> None:
    method, _ = trained
    task = draw_tasks(200, 99)
    ticks = random_trial(task, 98).ticks[0]
    with torch.no_grad():
        mean = posterior_after(method, ticks, HORIZON).mean
    x = torch.cat([mean, torch.ones(len(mean), 1)], 1)
    gain = task[:, :1]
    weights = torch.linalg.lstsq(x[:100], gain[:100]).solution
    assert weights.isfinite().all()
    residual = gain[100:] - x[100:] @ weights
    variation = gain[100:] - gain[100:].mean()
    r_squared = 1 - residual.square().sum() / variation.square().sum()
    assert r_squared > 0.8


def test_predictions_improve_with_the_evidence(trained: Trained) -> None:
    method, _ = trained
    ticks = random_trial(draw_tasks(100, 77), 76).ticks
    first_episode = ticks[0]
    later = ticks[1].flatten(0, 1)  # the second episode
    change = (later.next_obs - later.obs)[:, 0]
    obs = later.obs.expand(2, -1, -1)
    applied = later.applied.expand(2, -1, -1)
    errors = []
    with torch.no_grad():
        for count in (0, 1, HORIZON):
            mean = posterior_after(method, first_episode, count).mean
            z = mean.repeat(HORIZON, 1).expand(2, -1, -1)
            outcome = method.ema_model.predictor.predict(obs, applied, z)
            errors.append((outcome[..., 0] - change).square().mean().sqrt())
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.3 * errors[0]


def test_acting_on_a_belief_is_better_than_on_the_prior(trained: Trained) -> None:
    method, _ = trained
    task = draw_tasks(64, 55)
    adapted = last_return(method, task, 54)
    no_adaptation = last_return(method, task, 54, adapt=False)
    assert adapted > 0.5 * no_adaptation  # returns are negative


def test_a_hidden_goal_is_found_through_a_predicted_reward() -> None:
    method, _ = train(hidden_goal=True, iterations=5)
    task = draw_tasks(64, 55)
    adapted = last_return(method, task, 54, hidden_goal=True)
    no_adaptation = last_return(method, task, 54, hidden_goal=True, adapt=False)
    assert adapted > 0.7 * no_adaptation


def test_acting_is_a_function_of_observation_and_belief(trained: Trained) -> None:
    """It uses no random stream and no memory of its own."""
    method, _ = trained
    ticks = random_trial(draw_tasks(3, 1), 2).ticks[0]
    belief = observe_all(method, ticks[:2])
    obs = ticks.obs[2]
    other_obs = obs + 0.5
    action = method.act(obs, belief, False)
    assert torch.equal(action, belief.plan.action)
    other_action = method.act(other_obs, belief, False)
    assert not torch.equal(other_action, action)
    method.act(obs, belief, True)
    assert torch.equal(method.act(obs, belief, False), action)
    assert torch.equal(method.act(other_obs, belief, False), other_action)


def test_a_world_acts_alone_as_among_others(trained: Trained) -> None:
    method, _ = trained
    ticks = random_trial(draw_tasks(3, 1), 2).ticks[0]
    together = method.act(ticks.obs[2], observe_all(method, ticks[:2]), False)
    alone = method.act(ticks.obs[2, 1:2], observe_all(method, ticks[:2, 1:2]), False)
    torch.testing.assert_close(alone, together[1:2], atol=1e-4, rtol=0)


def test_exploration_is_bounded_noise_that_differs_between_worlds_and_episodes() -> None:
    method = make_method()
    obs = torch.zeros(4, 1)
    belief = method.prior(4)
    best = method.act(obs, belief, False)
    exploring = method.act(obs, belief, True)
    assert torch.equal(best, best[:1].expand(4, 1))
    assert len(exploring.unique()) == 4
    assert exploring.abs().max() <= 1
    ticks = random_trial(draw_tasks(4, 0), 0).ticks
    later = method.adapt(belief, ticks[0])
    assert not torch.equal(later.exploration_noise, belief.exploration_noise)


def test_a_plan_ends_with_the_episode() -> None:
    """At the last tick only the next reward counts: the plan's later actions change nothing."""
    method = make_method()
    steps = []
    rollout = method.ema_model.predictor.rollout

    def recorded(obs: Tensor, actions: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        steps.append(actions.shape[2])
        return rollout(obs, actions, z)

    method.ema_model.predictor.rollout = recorded  # type: ignore[method-assign]
    ticks = random_trial(draw_tasks(2, 0), 0).ticks[0]
    belief = observe_all(method, ticks)
    assert steps[0] == CONFIG.planner.horizon
    assert steps[-1] == 1
    assert torch.equal(method.adapt(belief, ticks).tick, torch.zeros(2, dtype=torch.int64))


def test_a_belief_from_a_context_is_the_one_from_observing_it(trained: Trained) -> None:
    method, _ = trained
    trial = random_trial(draw_tasks(N, 7), 7)
    ticks = trial.ticks[0]  # (H, n, ...)
    mask = torch.ones(N, HORIZON, dtype=torch.bool)
    mask[:, 5:] = False
    context = ticks.transpose(0, 1)
    expected = posterior_after(method, ticks, 5).mean
    inferred = method.ema_model.infer(context, mask).mean
    torch.testing.assert_close(inferred, expected, rtol=1e-3, atol=1e-4)
    nothing = method.ema_model.infer(context, torch.zeros_like(mask))
    assert torch.equal(nothing.mean, torch.zeros_like(expected))


def test_the_policy_is_trained_under_beliefs_without_and_with_evidence() -> None:
    config = replace(CONFIG, terminal_value=SAC, max_context=4)
    method = make_method(config=config)
    method.learn(random_trial(draw_tasks(N, 0), 0))
    summary = method.infer(method.replay.tasks(500, method.generator))
    without_evidence = (summary == 0).all(1).float().mean()
    expected = (1 / 5) ** 0.5  # share of u² · (max_context + 1) below 1
    assert without_evidence == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize("terminal_value", [None, SAC])
def test_a_resumed_training_is_an_unbroken_one(terminal_value: SacConfig | None) -> None:
    trials = [random_trial(draw_tasks(N, i), i) for i in range(3)]
    config = replace(CONFIG, gradient_steps=5, terminal_value=terminal_value)
    unbroken = make_method(config=config, seed=1)
    for trial in trials:
        unbroken.learn(trial)
    broken = make_method(config=config, seed=1)
    broken.learn(trials[0])
    resumed = make_method(config=config, seed=2)
    resumed.load_state_dict(broken.state_dict())
    for trial in trials[1:]:
        resumed.learn(trial)
    state = resumed.state_dict()
    expected = unbroken.state_dict()
    for name, tensor in expected["ema_model"].items():
        assert torch.equal(tensor, state["ema_model"][name]), name
    if terminal_value is not None:
        for name, tensor in expected["terminal_value"]["net"].items():
            assert torch.equal(tensor, state["terminal_value"]["net"][name]), name


def test_nothing_reads_torchs_default_device() -> None:
    trial = random_trial(draw_tasks(N, 0), 0)
    with torch.device("meta"):
        method = make_method(config=replace(CONFIG, gradient_steps=2))
        method.learn(trial)
        belief = method.prior(N)
        action = method.act(trial.ticks.obs[0, 0], belief, True)
        belief = method.observe(belief, trial.ticks[0, 0])
    assert action.device == belief.plan.mean.device == CPU
    assert action.isfinite().all()
