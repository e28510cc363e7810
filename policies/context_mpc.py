"""Model-predictive control with probabilistic context dynamics: infer a latent task from transitions, plan under it.

The model is an ensemble of Gaussians under a latent z (in the line of CaDM, Lee et al. 2020), of which every
transition adds linear measurements to a Gaussian belief; the planner is iCEM. The reward is the family's own, taken of
predicted observations, or learnt where it depends on what is hidden. Planning is a part of the belief: what is
intended next is found when an observation comes in, from what was intended before.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from policies.method import Problem, Rhythm, Transition, Trial
from policies.parts.dynamics import Dynamics, DynamicsConfig
from policies.parts.guide import Guide
from policies.parts.intent import Intent, Planning
from policies.parts.planner import Plan, Planner, PlannerConfig, shifted
from policies.parts.posterior import Posterior, prior
from policies.parts.replay import Replay
from policies.parts.sac import SacConfig
from policies.parts.state import Stateful, stream


@dataclass(frozen=True)
class ContextMpcConfig:
    """The numbers of the method; presets per family below."""

    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    lr: float = 1e-3  # CaDM
    average: float = 0.005  # step of the slow copy of the model, which is the one that is acted by
    tasks: int = 16  # in a batch
    updates: int = 300  # gradient steps per lesson
    capacity: int = 4096  # tasks in the replay
    guide: SacConfig | None = None  # of what comes after a plan; without one, nothing does
    noise: float = 0.3  # deviation of the exploring actions' coloured noise
    spread: float = 1.0  # deviations from the belief's mean at which the members' hypotheses lie
    rhythm: Rhythm = Rhythm(tasks=32, episodes=3, warmup=8, iterations=12)

    @classmethod
    def for_family(cls, name: str) -> "ContextMpcConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    "point": ContextMpcConfig(
        dynamics=DynamicsConfig(members=2, hidden=(96, 96), latent=6, unroll=2, windows=24),
        planner=PlannerConfig(horizon=8, candidates=32, elites=6, kept=2, rounds=2),
        lr=3e-3,
        updates=300,
        rhythm=Rhythm(tasks=32, episodes=2, warmup=32, iterations=10),
    ),
    "slide": ContextMpcConfig(
        dynamics=DynamicsConfig(members=2, hidden=(200, 200), unroll=8, windows=8),
        planner=PlannerConfig(candidates=48),
        lr=2e-3,
        updates=600,
        rhythm=Rhythm(tasks=32, episodes=3, warmup=16, iterations=6),
    ),
    "cheetah_cripple": ContextMpcConfig(
        dynamics=DynamicsConfig(members=2, hidden=(200, 200), unroll=2, windows=8, earlier=8),
        planner=PlannerConfig(horizon=3, elites=4, kept=2, colour=1.0, std=0.3),
        guide=SacConfig.for_family("cheetah_cripple"),
        noise=0.2,
        updates=250,
        rhythm=Rhythm(tasks=16, episodes=1, warmup=4, iterations=30),
    ),
}
PRESETS["reach"] = replace(PRESETS["point"], rhythm=Rhythm(tasks=32, episodes=2, warmup=32, iterations=30))


@dataclass(frozen=True)
class Believed(Intent):
    """The belief: what is to be done, and what the task is."""

    posterior: Posterior


class ContextMPC(Stateful):
    """A tick adds one factor, O(1), and searches on from the plan; an episode leaves the posterior as it is."""

    Config = ContextMpcConfig
    privileged = False
    kept = ("model", "slow", "guide", "optimiser", "replay", "generator")

    def __init__(self, problem: Problem, config: ContextMpcConfig, seed: int) -> None:
        g = stream(seed)
        self.problem, self.config, self.generator, self.rhythm = problem, config, g, config.rhythm
        self.replay = Replay(config.capacity)
        sizes = problem.obs_dim, problem.action_dim, problem.reward is None, config.dynamics
        self.model, self.slow = Dynamics(*sizes, g), Dynamics(*sizes, g).requires_grad_(False)
        self.slow.load_state_dict(self.model.state_dict())
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
        fixed = torch.Generator().manual_seed(0)  # the same for every seed: plans are a function of the belief
        self.planner = Planner(config.planner, problem.action_dim, fixed)
        self.guide = Guide(problem, config.guide, seed, self.replay) if config.guide else None
        self.planning = Planning(problem, self.planner, config.noise, g, self.guide)
        spread = torch.randn(config.dynamics.members, config.dynamics.latent, generator=fixed, device=fixed.device)
        self.spread = (config.spread * (spread - spread.mean(0))).to(torch.get_default_device())

    def prior(self, n: int, task: Tensor | None = None) -> Believed:
        """N(0, I), and no plan."""
        return Believed(**vars(self.planning.begin(n)), posterior=prior(n, self.config.dynamics.latent))

    def act(self, obs: Tensor, belief: Believed, explore: bool) -> Tensor:
        """The plan's first action; where there is no plan for this observation, it is made here."""
        return self.planning.act(obs, belief, explore, self._search)

    @torch.no_grad()
    def observe(self, belief: Believed, transition: Transition) -> Believed:
        """One more factor, and the plan for what is seen now."""
        posterior = self.slow.observe(belief.posterior, transition)
        return self.replan(replace(belief, posterior=posterior), transition)

    @torch.no_grad()
    def replan(self, belief: Believed, transition: Transition) -> Believed:
        """The plan for what is seen now, by what was known before."""
        seen = replace(belief, tick=belief.tick + transition.valid)
        planned = ~belief.at.isnan().any(-1)  # else this was the episode's first tick
        start = belief.plan if planned.all() else self.planner.cold(len(planned))
        plan = self._search(transition.next_obs, seen, shifted(start), self.config.planner.rounds)
        return replace(seen, plan=plan, at=transition.next_obs)

    def adapt(self, belief: Believed, episode: Transition) -> Believed:
        """What was learnt of the task stays; plans begin anew."""
        return replace(self.prior(len(belief.tick)), posterior=belief.posterior)

    @torch.inference_mode()
    def _search(self, obs: Tensor, belief: Believed, start: Plan, rounds: int) -> Plan:
        z = belief.posterior.at(self.spread[:, None])
        return self.planning.improve(obs, belief, start, rounds, lambda obs, tried: self.slow.rollout(obs, tried, z))

    def learn(self, trial: Trial) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        new = self.replay.add(trial)
        self.model.update(new)
        guided = self.guide.lesson(new) if self.guide else {}
        logs = [self.step() for _ in range(self.config.updates)]
        for slow, now in zip(self.slow.buffers(), self.model.buffers(), strict=True):
            slow.copy_(now)
        return guided | {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    def step(self) -> dict[str, Tensor]:
        """One gradient step."""
        slots = self.replay.tasks(self.config.tasks, self.generator)
        losses = self.model.loss(*self.replay.trials(slots), self.generator)
        self.optimiser.zero_grad()
        (losses["nll"] + losses["kl"]).backward()
        self.optimiser.step()
        torch._foreach_lerp_(list(self.slow.parameters()), list(self.model.parameters()), self.config.average)
        return {name: loss.detach() for name, loss in losses.items()}
