"""Receding-horizon planning: a search at every observation.

Without a learned policy the plan is kept in the belief, and warm-starts the next search. With a
learned policy (``policies.planning.terminal_value``) every search starts from the policy's actions,
and exploring actions are samples of the policy. Value and policy are then trained on the policy's
own experience, and data is collected without the cost of a search.

A latency moves the plan ahead (``policies.planning.latency``).

Axes: n worlds, m hypotheses (such as the members of an ensemble), P candidates, H steps,
o observation, a action, r = 1 if the reward is predicted too, else 0.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from policies.belief import where
from policies.method import Problem, Transition
from policies.nn.state import make_generator
from policies.planning.icem import Icem, IcemConfig, Plan, colored_noise, shift_plan
from policies.planning.latency import Latency
from policies.planning.terminal_value import Imagine, TerminalValue
from policies.rl.sac import SacConfig

# A search that starts from a learned policy: few candidates around its actions, a few steps ahead.
POLICY_SEARCH = IcemConfig(
    horizon=3,
    num_samples=32,
    iterations=1,
    num_elites=4,
    num_kept_elites=2,
    noise_beta=1.0,
    init_std=0.1,
)

# A method's search from observations (n, o) under a belief, from a plan, for some iterations.
Search = Callable[[Tensor, Any, Plan, int], Plan]


@dataclass(frozen=True)
class PlanState:
    """The part of a belief that holds the plan; a method adds what it knows of the task."""

    plan: Plan
    planned_obs: Tensor  # (n, o) the observation that the plan starts from; NaN without a plan
    tick: Tensor  # (n,) int64, actions since the episode began
    exploration_noise: Tensor  # (n, H, a) added to the actions of this episode while exploring
    # (n, a) each, the actions that are sent and not yet in effect, the oldest first
    under_way: tuple[Tensor, ...]


B = TypeVar("B", bound=PlanState)  # a method's belief


def derive_search(problem: Problem) -> tuple[IcemConfig, SacConfig | None]:
    """The planner's settings, and those of a terminal value if episodes are longer than plans.

    A plan that is much shorter than the episode ignores the later consequences of its actions.
    """
    whole_episode = IcemConfig()
    if problem.horizon <= whole_episode.horizon:
        return whole_episode, None
    return POLICY_SEARCH, SacConfig.for_problem(problem)


class MpcController:
    """Model-predictive control for methods that can predict the outcomes of actions."""

    def __init__(
        self,
        problem: Problem,
        planner: IcemConfig,
        exploration_std: float,
        generator: torch.Generator,
        terminal_value: TerminalValue | None = None,
    ) -> None:
        """A controller on the generator's device.

        Args:
            problem: gives the reward, if it is known, and the episode's length.
            planner: settings of the search.
            exploration_std: std of the colored noise that is added to exploring actions; not used
                with a terminal value.
            generator: of that noise.
            terminal_value: value of the last predicted state, and a policy to start from.
        """
        self.problem = problem
        # The same noise for every seed and device, so that plans are a function of the belief.
        noise_generator = make_generator(0, torch.device("cpu"))
        device = generator.device
        self.planner = Icem(planner, problem.action_dim, noise_generator, device)
        self.latency = Latency(0.0)
        # (a,) in effect when an episode begins, until the first delayed action is
        self.standstill = torch.zeros(problem.action_dim, device=device)
        self.exploration_std = exploration_std
        self.generator = generator
        self.device = device
        self.terminal_value = terminal_value

    def begin_episode(self, n: int) -> PlanState:
        """The plan state of n worlds: no plan, and the exploration noise of one episode."""
        p = self.problem
        beta = self.planner.config.noise_beta
        noise = colored_noise((n, p.horizon, p.action_dim), beta, self.generator)
        no_obs = torch.full((n, p.obs_dim), torch.nan, device=self.device)
        return PlanState(
            plan=self.planner.initial_plan(n),
            planned_obs=no_obs,
            tick=torch.zeros(n, dtype=torch.int64, device=self.device),
            exploration_noise=self.exploration_std * noise,
            under_way=self.latency.initial(self.standstill.expand(n, -1)),
        )

    @property
    def keeps_plans(self) -> bool:
        """Whether searches start from the last plan; otherwise from the learned policy."""
        return self.terminal_value is None

    def act(
        self,
        obs: Tensor,
        state: PlanState,
        explore: bool,
        search: Search,
        summary: Tensor,
    ) -> Tensor:
        """Actions (n, a).

        Without a terminal value: the plan's first action; worlds without a plan for this
        observation are planned for now. With a terminal value: the first action of a search made
        now, or, while exploring, a sample of the policy.

        Args:
            obs: (n, o)
            state: the plan, and the exploration noise.
            explore: whether to explore.
            search: the method's search.
            summary: (n, l) of the belief about the task, for the policy.
        """
        start = self.planner.initial_plan(len(obs))
        if self.terminal_value is not None:
            if explore:
                return self.terminal_value.explore(obs, summary)
            return search(obs, state, start, self.planner.config.iterations).action
        planned = (state.planned_obs == obs).all(-1, keepdim=True)
        action = state.plan.action
        if not planned.all():
            new_plan = search(obs, state, start, self.planner.config.cold_iterations)
            action = torch.where(planned, action, new_plan.action)
        if explore:
            worlds = torch.arange(len(obs), device=obs.device)
            last = self.problem.horizon - 1
            tick = state.tick.clamp(max=last)
            action = action + state.exploration_noise[worlds, tick]
        return action.clamp(-1, 1)

    def replan(
        self,
        belief: B,
        transition: Transition,
        search: Search,
    ) -> B:
        """The belief one tick later, with a plan for the next observation.

        In worlds whose last plan was made for the transition's observation, the search starts from
        that plan, shifted by one step. In the others (at an episode's first tick, or after a
        transition that was not observed) it starts without a plan.

        No plan is made if the episode ends in every world, or if searches start from a policy. A
        world whose transition is not valid does not change.
        """
        sent = self.latency.send(belief.under_way, transition.action)
        under_way = where(transition.valid, sent, belief.under_way)
        later = replace(belief, tick=belief.tick + transition.valid, under_way=under_way)
        is_over = transition.terminated | transition.truncated | ~transition.valid
        if is_over.all() or not self.keeps_plans:
            return later
        has_plan = (belief.planned_obs == transition.obs).all(-1)
        initial_plan = self.planner.initial_plan(len(has_plan))
        last_plan = where(has_plan, belief.plan, initial_plan)
        obs = transition.next_obs
        iterations = self.planner.config.iterations
        plan = search(obs, later, shift_plan(last_plan), iterations)
        planned = replace(later, plan=plan, planned_obs=obs)
        return where(transition.valid, planned, belief)

    def plan(
        self,
        obs: Tensor,
        state: PlanState,
        start: Plan,
        iterations: int,
        imagine: Imagine,
        summary: Tensor,
    ) -> Plan:
        """Search for the highest return, averaged over the hypotheses.

        The reward is the family's own, for predicted observations; if it depends on hidden
        parameters, it is predicted too. It is summed until the episode ends. With a terminal value
        it is discounted, and the value of the last predicted state is added.

        Args:
            obs: (n, o) where the plan starts.
            state: gives the tick of the episode.
            start: the plan that the search starts from; not used with a terminal value.
            iterations: of the search.
            imagine: the model.
            summary: (n, l) of the belief, for the terminal value.
        """
        terminal_value = self.terminal_value
        discounts = self._discounts(state)  # (H, n)
        steps = len(discounts)
        wait = self.latency.steps  # before the first action takes effect

        def score(candidates: Tensor) -> Tensor:
            actions = self.latency.in_effect(state.under_way, candidates[:, :, :steps])
            states, predicted_reward = imagine(obs, actions)
            reward = self._reward(states, actions, predicted_reward)[wait:]  # (H, m, n, P)
            discounted = reward * discounts[:, None, :, None]
            value = discounted.sum(0)  # (m, n, P)
            if terminal_value is not None:
                discount = terminal_value.config.gamma**steps
                value = value + discount * terminal_value.value(states[-1], summary)
            return value.mean(0)

        if terminal_value is not None:
            begin = self._begin(obs, state, imagine)
            policy_actions = terminal_value.propose(begin, summary, steps, imagine)
            best = policy_actions[:, None].expand_as(start.best)
            start = replace(start, mean=policy_actions, best=best, tick=state.tick)
        return self.planner.search(start, score, iterations)

    def _begin(self, obs: Tensor, state: PlanState, imagine: Imagine) -> Tensor:
        """The mean prediction (n, o) of where the first action of a plan takes effect."""
        steps = self.latency.steps
        if steps == 0:
            return obs
        no_candidate = state.exploration_noise[:, None, :0]  # (n, P = 1, H = 0, a)
        states, _ = imagine(obs, self.latency.in_effect(state.under_way, no_candidate))
        return states[-1].mean(0)[:, 0]

    def _reward(
        self,
        states: Tensor,
        actions: Tensor,
        predicted: Tensor,
    ) -> Tensor:
        """Rewards (H, m, n, P) of states (H + 1, m, n, P, o) and actions (n, P, H, a)."""
        p = self.problem
        if p.reward is None:
            return predicted[..., 0]
        unknown = torch.full((p.task_dim,), torch.nan, device=self.device)
        obs = states[:-1]
        next_obs = states[1:]
        applied = actions.permute(2, 0, 1, 3)  # (H, n, P, a)
        reward: Tensor = p.reward(obs, applied[:, None], next_obs, unknown)
        return reward

    def _discounts(self, state: PlanState) -> Tensor:
        """The weight of the reward after each number of steps in each world, (H, n).

        Without a terminal value it is 1 until the episode's end and then 0, and H is cut to the
        longest remainder of an episode.
        """
        horizon = self.planner.config.horizon
        steps_ahead = torch.arange(horizon, device=self.device)[:, None]  # (H, 1)
        if self.terminal_value is not None:
            n = len(state.tick)
            gamma = self.terminal_value.config.gamma
            return (gamma**steps_ahead).expand(-1, n)
        # (n,) ticks of the episode in which the plan has an effect
        remaining = self.problem.horizon - state.tick - self.latency.steps
        remaining = remaining.clamp(min=1)
        longest = int(remaining.max())
        return (steps_ahead[:longest] < remaining).float()
