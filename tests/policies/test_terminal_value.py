"""A search with a terminal value: from the policy's actions to the value of the last state."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from policies.method import Problem, Transition, TrialBatch, stack
from policies.methods import METHODS
from policies.planning.icem import IcemConfig, Plan
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import Imagine, TerminalValue
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig

N, H = 4, 3
CPU = torch.device("cpu")
EPISODE = 8
SAC = SacConfig(
    hidden=(32, 32),
    lr=3e-3,
    tau=0.05,
    gamma=0.5,
    init_temperature=1e-3,
    reward_scale=4.0,
    meta_batch=16,
    gradient_steps=200,
)
Reward = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def no_reward(obs: Tensor, applied: Tensor, next_obs: Tensor, task: Tensor) -> Tensor:
    return 0.0 * applied[..., 0]


PROBLEM = Problem(
    family="line",
    obs_names=("x", "y"),
    obs_low=(-9.0,) * 2,
    obs_high=(9.0,) * 2,
    action_names=("u", "v"),
    horizon=EPISODE,
    episodes=1,
    task_names=("hidden",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=no_reward,
)


def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Two hypotheses: an action (n, P, H, a) is a step of its length, or of half its length."""
    steps = torch.stack([actions, actions / 2]).movedim(3, 0)  # (H, m, n, P, a)
    first = obs[:, None].expand(steps.shape[1:])
    states = torch.cat([first[None], first + steps.cumsum(0)])
    return states, torch.zeros(*steps.shape[:-1], 0)


def random_trial(n: int, generator: torch.Generator) -> TrialBatch:
    """Random steps, each with a reward of 1 or 2, which is the task."""
    task = 1 + torch.arange(n) % 2.0
    ticks = []
    yes = torch.ones(n, dtype=torch.bool)
    for t in range(EPISODE):
        obs = torch.rand(n, 2, generator=generator) * 2 - 1
        action = torch.rand(n, 2, generator=generator) * 2 - 1
        tick = Transition(
            obs=obs,
            action=action,
            applied=action,
            reward=task,
            next_obs=obs + action,
            terminated=~yes,
            truncated=yes & (t == EPISODE - 1),
            first=yes,
            begins=yes,
            valid=yes,
        )
        ticks.append(tick)
    episodes = stack([stack(ticks)])
    return TrialBatch(episodes, task[:, None], torch.arange(n), torch.zeros(1, n).bool())


def make_terminal_value(kind: type[TerminalValue] = TerminalValue) -> TerminalValue:
    """One whose summary of a belief is the task itself."""
    replay = Replay(512, CPU)

    def infer(slots: Tensor) -> Tensor:
        return replay.task[slots]

    return kind(PROBLEM, SAC, 0, CPU, replay, infer, torch.Generator(), summary_dim=1)


def test_a_value_is_the_discounted_return_under_the_belief_in_the_unit_of_the_reward() -> None:
    terminal_value = make_terminal_value()
    g = torch.Generator().manual_seed(1)
    for _ in range(8):
        trial = random_trial(64, g)
        terminal_value.train_on(terminal_value.replay.add(trial))
    reward = torch.tensor([[1.0], [2.0]])
    value = terminal_value.value(torch.rand(5, 2, 3, 2, generator=g) * 2 - 1, reward)
    assert value.shape == (5, 2, 3)
    expected = reward[:, 0] / (1 - SAC.gamma)
    torch.testing.assert_close(value.mean((0, 2)), expected, rtol=0.15, atol=0)


def test_it_proposes_the_policys_actions_along_the_mean_of_the_hypotheses() -> None:
    terminal_value = make_terminal_value()
    g = torch.Generator().manual_seed(0)
    obs = torch.randn(N, 2, generator=g)
    summary = torch.randn(N, 1, generator=g)
    plan = terminal_value.propose(obs, summary, H, imagine)
    assert plan.shape == (N, H, 2)
    for action in plan.unbind(1):
        expected = terminal_value.sac.act(terminal_value.features(obs, summary), None)
        torch.testing.assert_close(action, expected)
        obs = obs + 0.75 * action


class Northward(TerminalValue):
    """Values the second coordinate, and proposes to go the other way."""

    def value(self, obs: Tensor, summary: Tensor) -> Tensor:
        return obs[..., 1]

    def propose(self, obs: Tensor, summary: Tensor, steps: int, imagine: Imagine) -> Tensor:
        return torch.tensor([0.25, -1.0]).expand(len(obs), steps, 2)


NO_SUMMARY = torch.zeros(N, 1)


def make_controller(northward: bool) -> MpcController:
    g = torch.Generator().manual_seed(0)
    planner = IcemConfig(horizon=H, init_std=1.0)  # wide enough to turn a policy around
    terminal_value = make_terminal_value(Northward) if northward else None
    return MpcController(PROBLEM, planner, 0.1, g, terminal_value)


def best_actions(controller: MpcController, reward: Reward, tick: int) -> Tensor:
    """The best candidate (n, H, a) of a search at some tick of an episode."""
    controller.problem = replace(PROBLEM, reward=reward)
    state = replace(controller.begin_episode(N), tick=torch.full((N,), tick))
    start = controller.planner.initial_plan(N)
    plan = controller.plan(torch.zeros(N, 2), state, start, 4, imagine, NO_SUMMARY)
    return plan.best[:, 0]


@pytest.mark.parametrize("tick", [0, EPISODE - 1])
def test_a_search_ends_with_the_terminal_value_even_at_the_end_of_the_episode(tick: int) -> None:
    """The time limit ends an episode, not the task: what a state is worth does not depend on it."""

    def southward(obs: Tensor, applied: Tensor, next_obs: Tensor, task: Tensor) -> Tensor:
        return -9.0 * applied[..., 1]

    without = make_controller(northward=False)
    guided = make_controller(northward=True)
    assert best_actions(guided, no_reward, tick)[..., 1].mean() > 0.5
    assert best_actions(without, no_reward, tick)[..., 1].mean().abs() < 0.5
    assert best_actions(guided, southward, tick)[..., 1].mean() < -0.8


def test_the_proposed_plan_is_found_where_nothing_else_has_a_reward() -> None:
    proposed = torch.tensor([0.25, -1.0])

    def exactly(obs: Tensor, applied: Tensor, next_obs: Tensor, task: Tensor) -> Tensor:
        return 100.0 * (applied == proposed).all(-1)

    actions = best_actions(make_controller(northward=True), exactly, 0)
    assert torch.equal(actions, proposed.expand(N, H, 2))


def test_a_search_of_the_policys_neighborhood_begins_anew_at_every_tick() -> None:
    controller = make_controller(northward=True)
    assert controller.terminal_value is not None
    obs = torch.zeros(N, 2)
    state = controller.begin_episode(N)
    starts = []

    def search(obs: Tensor, state: PlanState, start: Plan, iterations: int) -> Plan:
        starts.append(iterations)
        return controller.plan(obs, state, start, iterations, imagine, NO_SUMMARY)

    first = controller.act(obs, state, False, search, NO_SUMMARY)
    again = controller.act(obs, state, False, search, NO_SUMMARY)
    assert torch.equal(first, again)
    assert starts == [controller.planner.config.iterations] * 2
    exploring = [controller.act(obs, state, True, search, NO_SUMMARY) for _ in range(2)]
    assert len(starts) == 2
    assert not torch.equal(*exploring)


@pytest.mark.parametrize("name", ["context_mpc", "recurrent_mpc", "grbal", "particle_mpc"])
def test_a_gradient_step_draws_from_the_generators_that_it_names(name: str) -> None:
    """A CUDA graph of a step can draw from these alone."""
    kind = METHODS[name]
    method = kind(PROBLEM, kind.Config(terminal_value=SAC), 0, CPU)
    trial = random_trial(16, torch.Generator().manual_seed(1))
    method.replay.add(trial)
    learner = method.terminal_value
    before = {g: g.get_state() for g in (method.generator, learner.generator)}
    learner.step()
    drawn = {g for g, state in before.items() if not torch.equal(g.get_state(), state)}
    assert drawn == set(learner.step_generators)
