"""The acting half of methods that plan with a model under a belief: one search per tick."""

from abc import abstractmethod
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from policies.method import Replans, Transition
from policies.planning.icem import Plan
from policies.planning.latency import Latency
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import Imagine

B = TypeVar("B", bound=PlanState)


class MpcMethod(Replans[B]):
    """Acts and plans under a belief; a subclass says what the belief predicts.

    What the belief knows of the task is kept across the episodes of a trial.

    Attributes:
        controller: the search; the subclass builds it.
    """

    controller: MpcController

    @abstractmethod
    def model_under(self, belief: B) -> Imagine:
        """The model that predicts candidates under a belief of n worlds."""

    @abstractmethod
    def summarize(self, belief: B) -> Tensor:
        """The summary (n, l) of what the belief knows of the task, for a learned policy."""

    @torch.no_grad()
    def act(self, obs: Tensor, belief: B, explore: bool) -> Tensor:
        """The plan's first action; a world without a plan for this observation gets one."""
        return self.controller.act(obs, belief, explore, self._search, self.summarize(belief))

    @torch.no_grad()
    def replan(self, belief: B, transition: Transition) -> B:
        """The same belief with a plan for the next observation."""
        return self.controller.replan(belief, transition, self._search)

    def adapt(self, belief: B, episode: Transition) -> B:
        """Keep what is known of the task; start without a plan."""
        plan_state = self.controller.begin_episode(len(belief.tick))
        return replace(belief, **vars(plan_state))

    def expect_latency(self, decisions: float, standstill: Tensor | None = None) -> None:
        """Plan for a latency of so many decisions, 0 or more, also a fraction of one.

        It counts from the next ``prior`` on, and is no part of the method's state.

        Args:
            decisions: of latency.
            standstill: (a,) the action in effect when an episode begins; None: zeros.
        """
        controller = self.controller
        controller.latency = Latency(decisions)
        controller.standstill.zero_()
        if standstill is not None:
            controller.standstill.copy_(standstill)

    def _search(self, obs: Tensor, belief: B, start: Plan, iterations: int) -> Plan:
        imagine = self.model_under(belief)
        summary = self.summarize(belief)
        return self.controller.plan(obs, belief, start, iterations, imagine, summary)
