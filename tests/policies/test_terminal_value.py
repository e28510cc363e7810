"""A search with a guide: its policy is a candidate, its value what the last state is worth."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from policies.method import Problem, Transition, TrialBatch, stack
from policies.planning.icem import Icem, IcemConfig
from policies.planning.mpc import MpcController
from policies.planning.terminal_value import TerminalValue
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig

N, H = 4, 3
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
PROBLEM = Problem(
    family="line",
    obs_names=("x", "y"),
    obs_low=(-9.0,) * 2,
    obs_high=(9.0,) * 2,
    action_names=("u", "v"),
    horizon=8,
    episodes=1,
    task_names=("hidden",),
    task_low=(0.0,),
    task_high=(1.0,),
    reward=lambda obs, applied, next_obs, task: 0.0 * applied[..., 0],
)


def imagine(obs: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
    """Every action (n, P, H, a) is a step, as two hypotheses see it: the second one has steps of half the length."""
    steps = torch.stack([tried, tried / 2]).movedim(3, 0)  # (H, m, n, P, a)
    first = obs[:, None].expand(steps.shape[1:])
    return torch.cat([first[None], first + steps.cumsum(0)]), torch.zeros(*steps.shape[:-1], 0)


def lived(n: int, generator: torch.Generator) -> TrialBatch:
    """Random steps, each of which pays 1."""
    ticks = []
    for t in range(8):
        obs, action = (torch.rand(n, 2, generator=generator) * 2 - 1 for _ in range(2))
        yes = torch.ones(n, dtype=torch.bool)
        ticks.append(
            Transition(
                obs,
                action,
                action,
                torch.ones(n),
                obs + action,
                ~yes,
                yes & (t == 7),
                yes,
                yes,
                yes,
            )
        )
    return TrialBatch(
        stack(ticks).map(lambda x: x[None]),
        torch.rand(n, 1),
        torch.arange(n),
        torch.zeros(1, n).bool(),
    )


def test_a_value_is_the_discounted_reward_in_the_rewards_own_unit() -> None:
    guide, g = TerminalValue(PROBLEM, SAC, 0, Replay(512)), torch.Generator().manual_seed(1)
    for _ in range(5):
        guide.learn(lived(64, g))
    value = guide.value(torch.rand(5, 2, 3, 2, generator=g) * 2 - 1)
    assert value.shape == (5, 2, 3)
    assert value.mean().item() == pytest.approx(1 / (1 - SAC.gamma), rel=0.15)


def test_its_plan_is_what_the_policy_does_where_the_hypotheses_mean_leads_it() -> None:
    guide, obs = (
        TerminalValue(PROBLEM, SAC, 0, Replay(512)),
        torch.randn(N, 2, generator=torch.Generator().manual_seed(0)),
    )
    plan = guide.plan(obs, H, imagine)
    assert plan.shape == (N, H, 2)
    for step in plan.unbind(1):
        torch.testing.assert_close(step, guide.sac.act(guide.obs(obs), obs[:, :0], None))
        obs = obs + 0.75 * step


class Northward(TerminalValue):
    """Values the second coordinate, and would go the other way."""

    def value(self, obs: Tensor) -> Tensor:
        return obs[..., 1]

    def plan(self, obs: Tensor, steps: int, imagine: object) -> Tensor:
        return torch.tensor([0.25, -1.0]).expand(len(obs), steps, 2)


def searched(planning: MpcController, reward: object, tick: int) -> Tensor:
    planning.problem = replace(PROBLEM, reward=reward)
    intent = replace(planning.begin(N), tick=torch.full((N,), tick))
    return planning.improve(torch.zeros(N, 2), intent, planning.planner.cold(N), 4, imagine).best[
        :, 0
    ]


@pytest.mark.parametrize("tick", [0, 7])
def test_a_search_ends_with_the_guides_value_even_where_the_time_is_up(tick: int) -> None:
    """What a task is worth after an episode does not depend on when somebody stops the clock."""
    g = torch.Generator().manual_seed(0)
    planner = Icem(IcemConfig(horizon=H), 2, g)
    blind = MpcController(PROBLEM, planner, 0.1, g)
    guided = MpcController(PROBLEM, planner, 0.1, g, Northward(PROBLEM, SAC, 0, Replay(1)))
    nothing = PROBLEM.reward
    assert searched(guided, nothing, tick)[..., 1].mean() > 0.8
    assert searched(blind, nothing, tick)[..., 1].mean().abs() < 0.5
    assert (
        searched(guided, lambda obs, applied, next_obs, task: -9.0 * applied[..., 1], tick)[
            ..., 1
        ].mean()
        < -0.8
    )


def test_what_the_guide_would_do_is_found_where_nothing_else_is_worth_anything() -> None:
    g = torch.Generator().manual_seed(0)
    planning = MpcController(
        PROBLEM, Icem(IcemConfig(horizon=H), 2, g), 0.1, g, Northward(PROBLEM, SAC, 0, Replay(1))
    )

    def exactly(obs: Tensor, applied: Tensor, next_obs: Tensor, task: Tensor) -> Tensor:
        return 100.0 * (applied == torch.tensor([0.25, -1.0])).all(-1)

    assert torch.equal(searched(planning, exactly, 0), torch.tensor([0.25, -1.0]).expand(N, H, 2))
