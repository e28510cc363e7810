"""The acting half of methods that plan with a model under a belief: one search per tick."""

from abc import abstractmethod
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from policies.method import Problem, Replans, Transition
from policies.planning.config import ModelPlannerConfig
from policies.planning.icem import Plan
from policies.planning.latency import Latency
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import Imagine, TerminalValue
from policies.rl.replay import Replay

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


class ValuedMpcMethod(MpcMethod[B]):
    """A method whose plans may end with a learned value of their last state.

    Attributes:
        terminal_value: the value that plans end with; None where the config has no settings of one.
    """

    problem: Problem
    replay: Replay
    generator: torch.Generator
    terminal_value: TerminalValue | None

    @abstractmethod
    def infer(self, slots: Tensor) -> Tensor:
        """Summaries (b, l) of beliefs about tasks (b,) in the replay, to train policy and value."""

    def build_search(self, config: ModelPlannerConfig, seed: int, summary_dim: int) -> None:
        """Build the controller and the terminal value, for ``__init__``.

        Args:
            config: settings of both.
            seed: of the terminal value.
            summary_dim: l, number of columns of a summary.
        """
        self.terminal_value = None
        if config.terminal_value is not None:
            self.terminal_value = TerminalValue(
                self.problem,
                config.terminal_value,
                seed,
                self.replay.device,
                self.replay,
                self.infer,
                self.generator,
                summary_dim,
            )
        self.controller = MpcController(
            self.problem,
            config.planner,
            config.exploration_std,
            self.generator,
            self.terminal_value,
        )
