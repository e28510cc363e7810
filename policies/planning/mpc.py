"""Planning as a part of a belief: what is to be done next is found when an observation comes in, from what was before.

Axes: n worlds, m hypotheses, P candidates, H steps, o observation, a action, r = 1 where the reward is learnt, else 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from policies.method import Problem
from policies.planning.icem import Icem, Plan, colored_noise
from policies.planning.terminal_value import TerminalValue

Search = Callable[
    [Tensor, Any, Plan, int], Plan
]  # from an observation (n, o), a belief and a plan, in some rounds
# from (n, o), candidates (n, P, H, a) -> states (H + 1, m, n, P, o), rewards (H, m, n, P, r)
Imagine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class PlanState:
    """What is to be done; a method's belief adds what it knows."""

    plan: Plan
    at: Tensor  # (n, o) the observation that the plan is for; NaN where there is none
    tick: Tensor  # (n,) int64, actions since the episode began
    dither: Tensor  # (n, H, a) this episode's exploration


class MpcController:
    """What methods that plan share; each says what a plan would lead to, and when to search on from the last one."""

    def __init__(
        self,
        problem: Problem,
        planner: Icem,
        noise: float,
        generator: torch.Generator,
        guide: TerminalValue | None = None,
    ) -> None:
        """``noise`` is the deviation of the exploring actions' coloured noise, drawn from ``generator``."""
        self.problem, self.planner, self.noise, self.generator = problem, planner, noise, generator
        self.guide = guide

    def begin(self, n: int) -> PlanState:
        """No plan, and an episode's exploration."""
        p, config = self.problem, self.planner.config
        dither = self.noise * colored_noise(
            (n, p.horizon, p.action_dim), config.noise_beta, self.generator
        )
        nowhere = torch.full((n, p.obs_dim), torch.nan)
        return PlanState(self.planner.cold(n), nowhere, torch.zeros(n, dtype=torch.int64), dither)

    def act(self, obs: Tensor, intent: PlanState, explore: bool, search: Search) -> Tensor:
        """The plan's first action; where there is no plan for this observation, it is made here."""
        ready = (intent.at == obs).all(-1, keepdim=True)
        action = intent.plan.action
        if not ready.all():
            cold = search(
                obs, intent, self.planner.cold(len(obs)), self.planner.config.cold_iterations
            )
            action = torch.where(ready, action, cold.action)
        if explore:
            action = (
                action
                + intent.dither[
                    torch.arange(len(obs)), intent.tick.clamp(max=self.problem.horizon - 1)
                ]
            )
        return action.clamp(-1, 1)

    def improve(
        self, obs: Tensor, intent: PlanState, start: Plan, rounds: int, imagine: Imagine
    ) -> Plan:
        """Search for the most reward, the mean of the hypotheses, from observations (n, o) on.

        The reward is the family's own, of imagined observations, or learnt where it depends on what is hidden. It is
        summed until the episode ends; with a guide discounted, and followed by the guide's value of the last state.
        """
        guide, worth = self.guide, self._worth(intent)  # (H, n)
        steps, unknown = len(worth), torch.full((len(self.problem.task_names),), torch.nan)

        def score(candidates: Tensor) -> Tensor:
            tried = candidates[:, :, :steps]
            states, reward = imagine(obs, tried)
            if self.problem.reward is None:
                reward = reward[..., 0]
            else:
                reward = self.problem.reward(
                    states[:-1], tried.permute(2, 0, 1, 3)[:, None], states[1:], unknown
                )
            total = (reward * worth[:, None, :, None]).sum(0)  # (m, n, P)
            if guide is not None:
                total = total + guide.config.gamma**steps * guide.value(states[-1])
            return total.mean(0)

        proposal = None if guide is None else guide.plan(obs, steps, imagine)
        return self.planner.improve(start, score, rounds, proposal)

    def _worth(self, intent: PlanState) -> Tensor:
        """What a reward counts, by how many steps ahead it is and by world."""
        ahead = torch.arange(self.planner.config.horizon)[:, None]
        if self.guide is not None:
            return (self.guide.config.gamma**ahead).expand(-1, len(intent.tick))
        left = (self.problem.horizon - intent.tick).clamp(min=1)  # (n,)
        return (ahead[: int(left.max())] < left).float()
