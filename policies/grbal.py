"""GrBAL (Nagabandi, Clavera et al. 2019): dynamics from which one gradient step on the last moments is the adaptation.

A network predicts the change of the observation. At every tick it takes one step on the last M transitions, always
from the meta-learnt weights, and iCEM plans with what comes out, through the family's own reward; one that is hidden is
predicted and adapted too. It is meta-learnt by how well the next K transitions of the same episode are predicted
after the step, differentiated through it. Step sizes are learnt, one per group of parameters (Li et al. 2017).

Ahead of the network's layers every input has a gain, so that an actuator that stopped working is one number off.
On M rows x the gradient of a linear layer is xᵀδ, of rank M. The layer after a step of size α is therefore
h·W + b - (α_W·h·xᵀ + α_b)·δ exactly: no world has weights of its own, and the planner's batch shares W.
Axes: n worlds, M transitions of a window, b rows, P candidates, H steps, o observation, a action, r = 1 where the
reward is predicted too, else 0; i and k the widths of all layers' inputs and outputs, one after the other.
"""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from policies.method import Problem, Rhythm, Transition, Trial, where
from policies.parts.guide import Guide
from policies.parts.intent import Intent, Planning
from policies.parts.nets import init_
from policies.parts.normalise import Moments
from policies.parts.planner import Plan, Planner, PlannerConfig, shifted
from policies.parts.replay import Replay
from policies.parts.sac import SacConfig

BLOCK = 512  # rows predicted at a time: what stays in a core's cache

# of one layer: its inputs transposed (n, i, M), errors (n, M, k), bias's step size
Step = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class GrbalConfig:
    """The numbers of the method; presets per family below. The source is the authors' published code."""

    hidden: tuple[int, ...] = (128, 128)  # the source has 3 × 512; this is what a CPU core can plan with
    past: int = 16  # M (source)
    future: int = 16  # K (source)
    inner_lr: float = 0.01  # where step sizes start; the source keeps 0.001, of a mean over columns
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    lr: float = 1e-3  # source
    rate_lr: float = 1e-2  # of the step sizes' logarithms
    tasks: int = 16  # in a batch
    windows: int = 4  # of each of them; the source has 10 windows in all
    updates: int = 300  # gradient steps per lesson
    capacity: int = 4096  # tasks in the replay
    guide: SacConfig | None = None  # of what comes after a plan; without one, nothing does (source)
    noise: float = 0.3  # deviation of the exploring actions' coloured noise
    rhythm: Rhythm = Rhythm(tasks=32, episodes=3, warmup=8, iterations=12)

    @classmethod
    def for_family(cls, name: str) -> "GrbalConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    "cheetah_cripple": GrbalConfig(
        hidden=(200, 200),
        planner=PlannerConfig(horizon=3, elites=4, kept=2, colour=1.0, std=0.3),
        guide=SacConfig.for_family("cheetah_cripple"),
        noise=0.2,
        updates=250,
        rhythm=Rhythm(tasks=16, episodes=1, warmup=4, iterations=30),
    ),
}


@dataclass(frozen=True)
class Window:
    """The last M transitions of the episode, the newest last, as the network reads and predicts them."""

    x: Tensor  # (n, M, o + a)
    y: Tensor  # (n, M, o + r)
    there: Tensor  # (n, M) bool


@dataclass(frozen=True)
class FastWeights:
    """What one gradient step changes of every layer, in the form that it has: of rank M."""

    gains: Tensor  # (n, o + a) after the step
    inputs: Tensor  # (n, M, i) of every layer, times the step size of its weights
    errors: Tensor  # (n, M, k) derivative of the loss by every layer's output


@dataclass(frozen=True)
class Adapted(Intent):
    """The belief: what is to be done, the last moments, and the dynamics after a step on them."""

    window: Window
    fast: FastWeights


class Model(nn.Module):
    """The dynamics, the statistics of what they read and predict, and the step sizes."""

    def __init__(self, obs: int, actions: int, rewarded: bool, config: GrbalConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.rewarded, self.past, self.columns = rewarded, config.past, (obs, actions)
        sizes = [obs + actions, *config.hidden, obs + rewarded]
        self.fan_in, self.fan_out = sizes[:-1], sizes[1:]
        self.obs, self.outcome = Moments(obs), Moments(obs + rewarded)
        self.gains = nn.Parameter(torch.ones(obs + actions))
        self.weights = nn.ParameterList(torch.empty(i, k) for i, k in pairwise(sizes))
        self.biases = nn.ParameterList(torch.empty(k) for k in self.fan_out)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            init_(weight, bias, len(weight), generator)
        self.log_rates = nn.Parameter(torch.full((len(self.fan_in), 2), config.inner_lr).log())  # weights, biases
        self.log_gain_rates = nn.Parameter(torch.full((2,), config.inner_lr).log())  # observations', actions'

    def rates(self) -> dict[str, Tensor]:
        """The step size of each parameter, by its name; of the gains, of each (o + a,)."""
        layers = {
            f"{kind}.{layer}": rate
            for layer, row in enumerate(self.log_rates.exp())
            for kind, rate in zip(("weights", "biases"), row, strict=True)
        }
        return {"gains": self.log_gain_rates.exp().repeat_interleave(torch.tensor(self.columns))} | layers

    def update(self, t: Transition) -> None:
        """Take transitions (b, ...) into the statistics, which stand still in between."""
        self.obs.update(t.obs)
        self.outcome.update(self._outcome(t))

    def _outcome(self, t: Transition) -> Tensor:
        change = t.next_obs - t.obs
        return torch.cat([change, t.reward[..., None]], -1) if self.rewarded else change

    def standardised(self, t: Transition) -> tuple[Tensor, Tensor]:
        """What is read (..., o + a) and what is predicted (..., o + r) of transitions (...)."""
        return torch.cat([self.obs(t.obs), t.applied], -1), self.outcome(self._outcome(t))

    def adapt(self, window: Window) -> FastWeights:
        """One step from the meta-learnt weights down ½·Σ(error²)/M; what the window lacks of M rows counts as no error.

        Every operation is differentiable: so is the step, by the weights and by the step sizes.
        """
        inputs = [window.x * self.gains]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(torch.relu(inputs[-1] @ weight + bias))
        error = inputs[-1] @ self.weights[-1] + self.biases[-1] - window.y
        errors = [error * (window.there[..., None] / self.past)]
        for weight, h in zip(reversed(self.weights[1:]), reversed(inputs[1:]), strict=True):
            errors.append(errors[-1] @ weight.T * (h > 0))
        slope = (errors[-1] @ self.weights[0].T * window.x).sum(1)
        rates = self.rates()
        scaled = [rates[f"weights.{layer}"] * x for layer, x in enumerate(inputs)]
        return FastWeights(self.gains - rates["gains"] * slope, torch.cat(scaled, -1), torch.cat(errors[::-1], -1))

    def forward(self, x: Tensor, fast: FastWeights | None = None) -> Tensor:
        """Standardised outcomes (n, b, o + r) of (n, b, o + a), each world by its own step; without one, by none."""
        if fast is None:
            return self._predict(x * self.gains, [None] * len(self.fan_in))
        return self._predict(x * fast.gains[:, None], self._by_layer(fast))

    def _by_layer(self, fast: FastWeights) -> list[Step | None]:
        inputs, errors = fast.inputs.mT.split(self.fan_in, 1), fast.errors.split(self.fan_out, -1)
        return list(zip(inputs, errors, self.log_rates[:, 1].exp()[:, None, None, None], strict=True))

    def _predict(self, x: Tensor, steps: list[Step | None]) -> Tensor:
        h, last = x, len(steps) - 1  # the gains are in x
        for layer, (weight, bias, step) in enumerate(zip(self.weights, self.biases, steps, strict=True)):
            out = torch.addmm(bias, h.flatten(0, 1), weight).view(*h.shape[:2], -1)
            if step is not None:
                inputs, errors, bias_rate = step
                out = torch.baddbmm(out, torch.baddbmm(bias_rate, h, inputs), errors, alpha=-1)
            h = out if layer == last else torch.relu_(out)
        return h

    def loss(self, t: Transition, belongs: Tensor) -> dict[str, Tensor]:
        """Squared errors of the last K of windows (b, M + K, ...) after a step on the first M, and without one."""
        m, (x, y) = self.past, self.standardised(t)
        fast = self.adapt(Window(x[:, :m], y[:, :m], belongs[:, :m]))
        counts = belongs[:, m:] / belongs[:, m:].sum()

        def error(step: FastWeights | None) -> Tensor:
            return 0.5 * ((self(x[:, m:], step) - y[:, m:]).square().sum(-1) * counts).sum()

        with torch.no_grad():
            unadapted = error(None)
        return {"error": error(fast), "unadapted": unadapted}

    def rollout(self, obs: Tensor, actions: Tensor, fast: FastWeights) -> tuple[Tensor, Tensor]:
        """What is expected of candidates (n, P, H, a) from (n, o).

        Returns:
            Observations (H + 1, n, P, o), the first one ``obs``, and rewards (H, n, P, r).
        """
        (n, many, steps, _), o = actions.shape, obs.shape[-1]
        unit = (self.outcome.square / self.outcome.count.clamp(min=1)).sqrt().to(obs)  # 0 for what never changes
        states = obs.new_empty(steps + 1, n, many, o)
        rewards = obs.new_empty(steps, n, many, int(self.rewarded))
        states[0] = obs[:, None]
        few = max(1, BLOCK // many)
        for worlds in (slice(i, i + few) for i in range(0, n, few)):
            gains = fast.gains[worlds, None]
            layers = self._by_layer(FastWeights(gains, fast.inputs[worlds], fast.errors[worlds]))
            for t in range(steps):
                x = torch.cat([self.obs(states[t, worlds]), actions[worlds, :, t]], -1)
                outcome = self.outcome.shift + unit * self._predict(x * gains, layers)
                torch.add(states[t, worlds], outcome[..., :o], out=states[t + 1, worlds])
                rewards[t, worlds] = outcome[..., o:]
        return states, rewards


class Grbal:
    """A tick is one inner step and a search on from the plan; an episode leaves nothing."""

    Config = GrbalConfig
    privileged = False

    def __init__(self, problem: Problem, config: GrbalConfig, seed: int) -> None:
        g = torch.Generator().manual_seed(seed)
        self.problem, self.config, self.generator, self.rhythm = problem, config, g, config.rhythm
        self.replay = Replay(config.capacity)
        self.model = Model(problem.obs_dim, problem.action_dim, problem.reward is None, config, g)
        groups: list[dict[str, Any]] = [
            {"params": [self.model.gains, *self.model.weights, *self.model.biases], "lr": config.lr},
            {"params": [self.model.log_rates, self.model.log_gain_rates], "lr": config.rate_lr},
        ]
        self.optimiser = torch.optim.Adam(groups)
        fixed = torch.Generator().manual_seed(0)  # the same for every seed: plans are a function of the belief
        self.planner = Planner(config.planner, problem.action_dim, fixed)
        self.guide = Guide(problem, config.guide, seed) if config.guide else None
        self.planning = Planning(problem, self.planner, config.noise, g, self.guide)

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> Adapted:
        """The meta-learnt dynamics, and no plan."""
        m, model, p = self.config.past, self.model, self.problem
        width = p.obs_dim + (p.reward is None)
        nothing = Window(
            torch.zeros(n, m, p.obs_dim + p.action_dim), torch.zeros(n, m, width), torch.zeros(n, m, dtype=torch.bool)
        )
        still = (torch.zeros(n, m, sum(model.fan_in)), torch.zeros(n, m, sum(model.fan_out)))
        unmoved = FastWeights(model.gains.expand(n, -1), *still)
        return Adapted(**vars(self.planning.begin(n)), window=nothing, fast=unmoved)

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Adapted, explore: bool) -> Tensor:
        """The plan's first action; where there is no plan for this observation, it is made here."""
        return self.planning.act(obs, belief, explore, self._search)

    @torch.no_grad()
    def observe(self, belief: Adapted, transition: Transition) -> Adapted:
        """A step on the window with this transition in it, from the meta-learnt weights; and a plan by it.

        A transition that does not begin where the last one ended is of another episode: the window begins anew.
        """
        x, y = self.model.standardised(transition)
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
    def replan(self, belief: Adapted, transition: Transition) -> Adapted:
        """The plan for what is seen now, by the dynamics that the belief has."""
        follows = (belief.at == transition.obs).all(-1)
        start = where(follows, shifted(belief.plan), self.planner.cold(len(follows)))
        seen = replace(belief, tick=belief.tick + 1)
        plan = self._search(transition.next_obs, seen, start, self.config.planner.rounds)
        return where(transition.valid, replace(seen, plan=plan, at=transition.next_obs), belief)

    def adapt(self, belief: Adapted, episode: Transition) -> Adapted:
        """The last moments are over, and with them what was learnt."""
        return self.prior(len(belief.tick))

    @torch.no_grad()
    def score(self, belief: Adapted, ticks: Transition) -> Tensor:
        """How well a belief predicts transitions (H, n, ...), (n,): minus the mean squared error."""
        x, y = (part.transpose(0, 1) for part in self.model.standardised(ticks))
        return -(self.model(x, belief.fast) - y).square().mean((1, 2))

    def _search(self, obs: Tensor, belief: Adapted, start: Plan, rounds: int) -> Plan:
        def imagine(obs: Tensor, tried: Tensor) -> tuple[Tensor, Tensor]:
            states, rewards = self.model.rollout(obs, tried, belief.fast)
            return states[:, None], rewards[:, None]  # one hypothesis

        return self.planning.improve(obs, belief, start, rounds, imagine)

    def learn(self, trial: Trial) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        self.model.update(self.replay.add(trial))
        guided = self.guide.learn(trial) if self.guide else {}
        logs = [self.step() for _ in range(self.config.updates)]
        rates = [*self.model.log_gain_rates.detach().exp(), *self.model.log_rates.detach().exp().mean(0)]
        means = {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}
        names = ("rate_observations", "rate_actions", "rate_weights", "rate_biases")
        return guided | means | {name: rate.item() for name, rate in zip(names, rates, strict=True)}

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the weights and step sizes."""
        c = self.config
        t, there = self.replay.trials(self.replay.tasks(c.tasks, self.generator))
        start = (torch.rand(c.tasks, c.windows, generator=self.generator) * there.sum(1)[:, None]).long()
        losses = self.model.loss(*windows(t, there, start, c.past, c.future))
        self.optimiser.zero_grad()
        losses["error"].backward()
        self.optimiser.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Model, guide, optimiser, replay and random stream."""
        return {
            "model": dict(self.model.state_dict()),
            "guide": self.guide.state_dict() if self.guide else {},
            "optimiser": self.optimiser.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        self.model.load_state_dict(state["model"])
        if self.guide:
            self.guide.load_state_dict(state["guide"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.replay.load_state_dict(state["replay"])
        self.generator.set_state(state["generator"])


def windows(t: Transition, there: Tensor, start: Tensor, past: int, future: int) -> tuple[Transition, Tensor]:
    """Transitions around ``start`` (b, w) of trials (b, L, ...): (b·w, M + K, ...) and which belong, (b·w, M + K).

    The first of the last K is ``start`` itself; what is not of its episode does not belong.
    """
    rows = torch.arange(len(there))[:, None, None]
    columns = start[..., None] + torch.arange(-past, future)
    inside = ((columns >= 0) & (columns < there.sum(1)[:, None, None])).flatten(0, 1)
    columns = columns.clamp(0, there.shape[1] - 1)
    found = t.map(lambda x: x[rows, columns].flatten(0, 1))
    joined = (found.obs[:, 1:] == found.next_obs[:, :-1]).all(-1)
    before = joined[:, :past].flip(1).cumprod(1).flip(1).bool()
    after = joined[:, past:].cumprod(1).bool()
    return found, inside & torch.cat([before, torch.ones_like(inside[:, :1]), after], 1)
