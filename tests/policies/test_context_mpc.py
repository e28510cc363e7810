"""Context MPC on a family in a few lines: a point on a line whose gain, or whose goal, is hidden."""

from typing import Any

import pytest
import torch
from torch import Tensor

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch, stack
from policies.methods.context_mpc import ContextMPC, ContextMpcConfig
from policies.models.context_dynamics import DynamicsConfig
from policies.models.posterior import Posterior, prior
from policies.planning.icem import IcemConfig

N, HORIZON = 32, 8
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
        horizon=4, num_samples=16, num_elites=4, num_kept_elites=2, iterations=2, cold_iterations=3
    ),
    lr=5e-3,
    ema_rate=0.02,
    meta_batch=16,
    gradient_steps=150,
    schedule=CollectionSchedule(meta_batch=N, episodes_per_trial=2, iterations=3),
)


def reward(obs: Any, applied: Any, next_obs: Any, task: Any) -> Any:
    """Minus the distance to 0."""
    return -((next_obs[..., 0] ** 2 + 1e-12) ** 0.5)


def problem(hidden_reward: bool = False) -> Problem:
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
        reward=None if hidden_reward else reward,
    )


def tasks(n: int, seed: int) -> Tensor:
    """Gains of either sign, 0.2 to 1, and goals."""
    drawn = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed))
    return torch.stack(
        [(0.2 + 0.8 * drawn[:, 0]) * (drawn[:, 1] - 0.5).sign(), 2 * drawn[:, 2] - 1], -1
    )


def lived(
    method: ContextMPC | None, task: Tensor, seed: int, hidden: bool = False, frozen: bool = False
) -> TrialBatch:
    """Two episodes; without a method, random actions."""
    g, n = torch.Generator().manual_seed(seed), len(task)
    belief = method.prior(n) if method else None
    episodes = []
    for e in range(2):
        obs, ticks = torch.rand(n, 1, generator=g) * 3 - 1.5, []
        for t in range(HORIZON):
            action = (
                method.act(obs, belief, False) if method else torch.rand(n, 1, generator=g) * 2 - 1
            )
            next_obs = obs + 0.5 * action * (1.0 if hidden else task[:, :1])
            goal = task[:, 1] if hidden else torch.zeros(n)
            yes = torch.ones(n, dtype=torch.bool)
            tick = Transition(
                obs=obs,
                action=action,
                applied=action,
                reward=-(next_obs[:, 0] - goal).abs(),
                next_obs=next_obs,
                terminated=~yes,
                truncated=yes if t == HORIZON - 1 else ~yes,
                first=yes if e == t == 0 else ~yes,
                begins=yes if t == 0 else ~yes,
                valid=yes,
            )
            if method and not frozen:
                belief = method.observe(belief, tick)
            ticks.append(tick)
            obs = next_obs
        episodes.append(stack(ticks))
        if method and not frozen:
            belief = method.adapt(belief, episodes[-1])
    return TrialBatch(stack(episodes), task, torch.arange(n), torch.zeros(2, n, dtype=torch.bool))


def taught(hidden: bool = False, lessons: int = 4) -> tuple[ContextMPC, list[dict[str, float]]]:
    method = ContextMPC(problem(hidden), CONFIG, seed=0)
    return method, [method.learn(lived(None, tasks(4 * N, i), i, hidden)) for i in range(lessons)]


@pytest.fixture(scope="module")
def gains() -> tuple[ContextMPC, list[dict[str, float]]]:
    return taught()


def beliefs(method: ContextMPC, ticks: Transition, many: int) -> Posterior:
    belief = prior(ticks.obs.shape[1], CONFIG.dynamics.latent_dim)
    for t in range(many):
        belief = method.slow.observe(belief, ticks.map(lambda x, t=t: x[t]))
    return belief


def test_the_evidence_bound_rises(gains: tuple[ContextMPC, list[dict[str, float]]]) -> None:
    bound = [-(log["nll"] + log["kl"]) for log in gains[1]]
    assert bound[-1] > bound[0] + 0.3
    assert gains[1][-1]["kl"] > 0.5 * CONFIG.dynamics.kl_weight  # z is used


def test_the_belief_tells_the_hidden_parameter_of_tasks_never_seen(
    gains: tuple[ContextMPC, list[dict[str, float]]],
) -> None:
    method, task = gains[0], tasks(200, 99)
    ticks = lived(None, task, 98).ticks.map(lambda x: x[0])
    with torch.no_grad():
        mean = beliefs(method, ticks, HORIZON).mean
    x = torch.cat([mean, torch.ones(len(mean), 1)], 1)
    gain = task[:, :1]
    fit = x[:100] @ torch.linalg.lstsq(x[:100], gain[:100]).solution
    rest = gain[100:] - x[100:] @ torch.linalg.lstsq(x[:100], gain[:100]).solution
    assert fit.isfinite().all()
    assert 1 - rest.square().sum() / (gain[100:] - gain[100:].mean()).square().sum() > 0.8


def test_prediction_is_better_the_more_was_seen(
    gains: tuple[ContextMPC, list[dict[str, float]]],
) -> None:
    method, task = gains[0], tasks(100, 77)
    ticks = lived(None, task, 76).ticks
    then = ticks.map(lambda x: x[1].flatten(0, 1))  # the second episode
    errors = []
    with torch.no_grad():
        for many in (0, 1, HORIZON):
            z = (
                beliefs(method, ticks.map(lambda x: x[0]), many)
                .mean.repeat(HORIZON, 1)
                .expand(2, -1, -1)
            )
            outcome = method.slow.predict(
                then.obs.expand(2, -1, -1), then.applied.expand(2, -1, -1), z
            )
            errors.append(
                (outcome[..., 0] - (then.next_obs - then.obs)[:, 0]).square().mean().sqrt()
            )
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.3 * errors[0]


def test_acting_on_a_belief_is_better_than_on_the_prior(
    gains: tuple[ContextMPC, list[dict[str, float]]],
) -> None:
    method, task = gains[0], tasks(64, 55)
    adapted, frozen = (lived(method, task, 54, frozen=f).returns[1].mean() for f in (False, True))
    assert adapted > 0.5 * frozen  # returns are negative


def test_a_hidden_goal_is_found_through_a_learnt_reward() -> None:
    method, _ = taught(hidden=True, lessons=5)
    task = tasks(64, 55)
    adapted, frozen = (
        lived(method, task, 54, hidden=True, frozen=f).returns[1].mean() for f in (False, True)
    )
    assert adapted > 0.7 * frozen


def test_acting_is_a_function_of_observation_and_belief(
    gains: tuple[ContextMPC, list[dict[str, float]]],
) -> None:
    """No random stream, no memory of its own, and no world in another's plan."""
    method, task = gains[0], tasks(3, 1)
    ticks = lived(None, task, 2).ticks.map(lambda x: x[0])
    belief = method.prior(3)
    for t in range(2):
        belief = method.observe(belief, ticks.map(lambda x, t=t: x[t]))
    obs, elsewhere = ticks.obs[2], ticks.obs[2] + 0.5
    first = method.act(obs, belief, False)
    assert torch.equal(first, belief.plan.action)
    moved = method.act(elsewhere, belief, False)
    assert not torch.equal(moved, first)
    method.act(obs, belief, True)
    assert torch.equal(method.act(obs, belief, False), first)
    assert torch.equal(method.act(elsewhere, belief, False), moved)
    alone = method.prior(1)
    for t in range(2):
        alone = method.observe(alone, ticks.map(lambda x, t=t: x[t, 1:2]))
    torch.testing.assert_close(method.act(obs[1:2], alone, False), first[1:2], atol=1e-4, rtol=0)


def test_exploring_adds_bounded_noise_that_differs_between_worlds_and_episodes() -> None:
    method = ContextMPC(problem(), CONFIG, seed=0)
    obs, belief = torch.zeros(4, 1), method.prior(4)
    steady, wild = method.act(obs, belief, False), method.act(obs, belief, True)
    assert torch.equal(steady, steady[:1].expand(4, 1))
    assert len(wild.unique()) == 4
    assert wild.abs().max() <= 1
    tick = lived(None, tasks(4, 0), 0).ticks
    later = method.adapt(belief, tick.map(lambda x: x[0]))
    assert not torch.equal(later.dither, belief.dither)


def test_a_plan_looks_no_further_than_the_episode() -> None:
    """At the last tick only the next reward counts: the plan's later actions change nothing."""
    method, seen = ContextMPC(problem(), CONFIG, seed=0), []
    rollout = method.slow.rollout
    method.slow.rollout = lambda obs, tried, z: (
        seen.append(tried.shape[2]) or rollout(obs, tried, z)
    )  # type: ignore
    ticks, belief = lived(None, tasks(2, 0), 0).ticks.map(lambda x: x[0]), method.prior(2)
    for t in range(HORIZON):
        belief = method.observe(belief, ticks.map(lambda x, t=t: x[t]))
    assert seen[0] == CONFIG.planner.horizon
    assert seen[-1] == 1
    assert torch.equal(method.adapt(belief, ticks).tick, torch.zeros(2, dtype=torch.int64))


def test_learning_goes_on_as_if_never_stopped() -> None:
    trials = [lived(None, tasks(N, i), i) for i in range(3)]
    config = ContextMpcConfig(**{**vars(CONFIG), "gradient_steps": 5})
    unbroken, broken = (ContextMPC(problem(), config, seed=1) for _ in range(2))
    for trial in trials:
        unbroken.learn(trial)
    broken.learn(trials[0])
    resumed = ContextMPC(problem(), config, seed=2)
    resumed.load_state_dict(broken.state_dict())
    for trial in trials[1:]:
        resumed.learn(trial)
    for name, tensor in unbroken.state_dict()["slow"].items():
        assert torch.equal(tensor, resumed.state_dict()["slow"][name]), name
