"""GrBAL (Nagabandi, Clavera et al. 2019): dynamics from which one gradient step on the last moments is the adaptation.

At every tick the dynamics take one step on the last M transitions, always from the meta-learnt weights, and iCEM plans
with what comes out, through the family's own reward; one that is hidden is predicted and adapted too. A search may be
short where a guide says what comes after it.
Axes: n worlds, M transitions of a window, H steps, o observation, a action.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from policies.belief import where
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.models.grbal_dynamics import GrbalDynamics, LowRankUpdate, Window, windows
from policies.nn.state import Stateful, make_generator
from policies.planning.icem import Icem, IcemConfig, Plan, shifted
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import TerminalValue
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig


@dataclass(frozen=True)
class GrbalConfig:
    """The numbers of the method; presets per family below. The source is the authors' published code."""

    hidden: tuple[int, ...] = (
        128,
        128,
    )  # the source has 3 × 512; this is what a CPU core can plan with
    past_steps: int = 16  # M (source)
    future_steps: int = 16  # K (source)
    inner_lr: float = 0.01  # where step sizes start; the source keeps 0.001, of a mean over columns
    planner: IcemConfig = field(default_factory=IcemConfig)
    lr: float = 1e-3  # source
    step_size_lr: float = 1e-2  # of the step sizes' logarithms
    meta_batch: int = 16  # in a batch
    windows_per_task: int = 4  # of each of them; the source has 10 windows in all
    gradient_steps: int = 300  # gradient steps per lesson
    buffer_tasks: int = 4096  # tasks in the replay
    terminal_value: SacConfig | None = (
        None  # of what comes after a plan; without one, nothing does (source)
    )
    exploration_std: float = 0.3  # deviation of the exploring actions' coloured noise
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=32, episodes_per_trial=3, random_trials=8, iterations=12
    )

    @classmethod
    def for_family(cls, name: str) -> "GrbalConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    "cheetah_cripple": GrbalConfig(
        hidden=(200, 200),
        planner=IcemConfig(
            horizon=3, num_elites=4, num_kept_elites=2, noise_beta=1.0, init_std=0.3
        ),
        terminal_value=SacConfig.for_family("cheetah_cripple"),
        exploration_std=0.2,
        gradient_steps=250,
        schedule=CollectionSchedule(
            meta_batch=16, episodes_per_trial=1, random_trials=4, iterations=30
        ),
    ),
}


@dataclass(frozen=True)
class GrbalBelief(PlanState):
    """The belief: what is to be done, the last moments, and the dynamics after a step on them."""

    window: Window
    fast: LowRankUpdate


class Grbal(Stateful):
    """A tick is one inner step and a search on from the plan; an episode leaves nothing."""

    Config = GrbalConfig
    privileged = False
    saved_attributes = ("model", "guide", "optimizer", "replay", "generator")

    def __init__(self, problem: Problem, config: GrbalConfig, seed: int) -> None:
        g = make_generator(seed)
        self.problem, self.config, self.generator, self.schedule = (
            problem,
            config,
            g,
            config.schedule,
        )
        self.replay = Replay(config.buffer_tasks)
        sizes = problem.obs_dim, problem.action_dim, problem.reward is None, config.hidden
        self.model = GrbalDynamics(*sizes, config.past_steps, config.inner_lr, g)
        groups: list[dict[str, Any]] = [
            {
                "params": [self.model.gains, *self.model.weights, *self.model.biases],
                "lr": config.lr,
            },
            {
                "params": [self.model.log_rates, self.model.log_gain_rates],
                "lr": config.step_size_lr,
            },
        ]
        self.optimizer = torch.optim.Adam(groups)
        fixed = torch.Generator().manual_seed(
            0
        )  # the same for every seed: plans are a function of the belief
        self.planner = Icem(config.planner, problem.action_dim, fixed)
        self.guide = (
            TerminalValue(problem, config.terminal_value, seed, self.replay)
            if config.terminal_value
            else None
        )
        self.planning = MpcController(problem, self.planner, config.exploration_std, g, self.guide)

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> GrbalBelief:
        """The meta-learnt dynamics, and no plan."""
        m, model, p = self.config.past_steps, self.model, self.problem
        width = p.obs_dim + (p.reward is None)
        nothing = Window(
            torch.zeros(n, m, p.obs_dim + p.action_dim),
            torch.zeros(n, m, width),
            torch.zeros(n, m, dtype=torch.bool),
        )
        still = (torch.zeros(n, m, sum(model.fan_in)), torch.zeros(n, m, sum(model.fan_out)))
        unmoved = LowRankUpdate(model.gains.expand(n, -1), *still)
        return GrbalBelief(**vars(self.planning.begin(n)), window=nothing, fast=unmoved)

    @torch.no_grad()
    def act(self, obs: Tensor, belief: GrbalBelief, explore: bool) -> Tensor:
        """The plan's first action; where there is no plan for this observation, it is made here."""
        return self.planning.act(obs, belief, explore, self._search)

    @torch.no_grad()
    def observe(self, belief: GrbalBelief, transition: Transition) -> GrbalBelief:
        """A step on the window with this transition in it, from the meta-learnt weights; and a plan by it.

        A transition that does not begin where the last one ended is of another episode: the window begins anew.
        """
        x, y = self.model.standardized(transition)
        usable = transition.valid & torch.cat([x, y], -1).isfinite().all(-1)
        follows = (belief.at == transition.obs).all(-1)
        old, here = belief.window, torch.ones_like(usable)[:, None]
        window = Window(
            torch.cat([old.x[:, 1:], x[:, None]], 1),
            torch.cat([old.y[:, 1:], y[:, None]], 1),
            torch.cat([old.there[:, 1:] & follows[:, None], here], 1),
        )
        seen = replace(belief, window=window, fast=self.model.adapt(window))
        return where(usable, self.replan(seen, transition), belief)

    @torch.no_grad()
    def replan(self, belief: GrbalBelief, transition: Transition) -> GrbalBelief:
        """The plan for what is seen now, by the dynamics that the belief has."""
        follows = (belief.at == transition.obs).all(-1)
        start = where(follows, shifted(belief.plan), self.planner.cold(len(follows)))
        seen = replace(belief, tick=belief.tick + 1)
        plan = self._search(transition.next_obs, seen, start, self.config.planner.iterations)
        return where(transition.valid, replace(seen, plan=plan, at=transition.next_obs), belief)

    def adapt(self, belief: GrbalBelief, episode: Transition) -> GrbalBelief:
        """The last moments are over, and with them what was learnt."""
        return self.prior(len(belief.tick))

    @torch.no_grad()
    def score(self, belief: GrbalBelief, ticks: Transition) -> Tensor:
        """How well a belief predicts transitions (H, n, ...), (n,): minus the mean squared error."""
        x, y = (part.transpose(0, 1) for part in self.model.standardized(ticks))
        return -(self.model(x, belief.fast) - y).square().mean((1, 2))

    def _search(self, obs: Tensor, belief: GrbalBelief, start: Plan, rounds: int) -> Plan:
        def imagine(obs: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
            states, rewards = self.model.rollout(obs, tried, belief.fast)
            return states[:, None], rewards[:, None]  # one hypothesis

        return self.planning.improve(obs, belief, start, rounds, imagine)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        new = self.replay.add(trial)
        self.model.update(new)
        guided = self.guide.train_on(new) if self.guide else {}
        logs = [self.step() for _ in range(self.config.gradient_steps)]
        rates = [
            *self.model.log_gain_rates.detach().exp(),
            *self.model.log_rates.detach().exp().mean(0),
        ]
        means = {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}
        names = ("rate_observations", "rate_actions", "rate_weights", "rate_biases")
        return guided | means | {name: rate.item() for name, rate in zip(names, rates, strict=True)}

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the weights and step sizes."""
        c = self.config
        t, there = self.replay.trials(self.replay.tasks(c.meta_batch, self.generator))
        start = (
            torch.rand(c.meta_batch, c.windows_per_task, generator=self.generator)
            * there.sum(1)[:, None]
        ).long()
        losses = self.model.loss(*windows(t, there, start, c.past_steps, c.future_steps))
        self.optimizer.zero_grad()
        losses["error"].backward()
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}
