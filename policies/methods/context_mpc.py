"""Model-predictive control with probabilistic context dynamics: infer a latent task from transitions, plan under it.

The model is an ensemble of Gaussians under a latent z (in the line of CaDM, Lee et al. 2020), of which every
transition adds linear measurements to a Gaussian belief; the planner is iCEM. The reward is the family's own, taken of
predicted observations, or learnt where it depends on what is hidden. Planning is a part of the belief: what is
intended next is found when an observation comes in, from what was intended before.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.models.context_dynamics import Dynamics, DynamicsConfig
from policies.models.posterior import Posterior, prior
from policies.nn.state import Stateful, make_generator
from policies.planning.icem import Icem, IcemConfig, Plan, shifted
from policies.planning.mpc import MpcController, PlanState
from policies.planning.terminal_value import TerminalValue
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig


@dataclass(frozen=True)
class ContextMpcConfig:
    """The numbers of the method; presets per family below."""

    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    planner: IcemConfig = field(default_factory=IcemConfig)
    lr: float = 1e-3  # CaDM
    ema_rate: float = 0.005  # step of the slow copy of the model, which is the one that is acted by
    meta_batch: int = 16  # in a batch
    gradient_steps: int = 300  # gradient steps per lesson
    buffer_tasks: int = 4096  # tasks in the replay
    terminal_value: SacConfig | None = None  # of what comes after a plan; without one, nothing does
    exploration_std: float = 0.3  # deviation of the exploring actions' coloured noise
    belief_spread: float = (
        1.0  # deviations from the belief's mean at which the members' hypotheses lie
    )
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=32, episodes_per_trial=3, random_trials=8, iterations=12
    )

    @classmethod
    def for_family(cls, name: str) -> "ContextMpcConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    "point": ContextMpcConfig(
        dynamics=DynamicsConfig(
            ensemble_size=2, hidden=(96, 96), latent_dim=6, unroll_steps=2, windows_per_task=24
        ),
        planner=IcemConfig(
            horizon=8, num_samples=32, num_elites=6, num_kept_elites=2, iterations=2
        ),
        lr=3e-3,
        gradient_steps=300,
        schedule=CollectionSchedule(
            meta_batch=32, episodes_per_trial=2, random_trials=32, iterations=10
        ),
    ),
    "slide": ContextMpcConfig(
        dynamics=DynamicsConfig(
            ensemble_size=2, hidden=(200, 200), unroll_steps=8, windows_per_task=8
        ),
        planner=IcemConfig(num_samples=48),
        lr=2e-3,
        gradient_steps=600,
        schedule=CollectionSchedule(
            meta_batch=32, episodes_per_trial=3, random_trials=16, iterations=6
        ),
    ),
    "cheetah_cripple": ContextMpcConfig(
        dynamics=DynamicsConfig(
            ensemble_size=2,
            hidden=(200, 200),
            unroll_steps=2,
            windows_per_task=8,
            early_belief_windows=8,
        ),
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
PRESETS["reach"] = replace(
    PRESETS["point"],
    schedule=CollectionSchedule(
        meta_batch=32, episodes_per_trial=2, random_trials=32, iterations=30
    ),
)


@dataclass(frozen=True)
class ContextMpcBelief(PlanState):
    """The belief: what is to be done, and what the task is."""

    posterior: Posterior


class ContextMPC(Stateful):
    """A tick adds one factor, O(1), and searches on from the plan; an episode leaves the posterior as it is."""

    Config = ContextMpcConfig
    privileged = False
    saved_attributes = ("model", "slow", "guide", "optimizer", "replay", "generator")

    def __init__(self, problem: Problem, config: ContextMpcConfig, seed: int) -> None:
        g = make_generator(seed)
        self.problem, self.config, self.generator, self.schedule = (
            problem,
            config,
            g,
            config.schedule,
        )
        self.replay = Replay(config.buffer_tasks)
        sizes = problem.obs_dim, problem.action_dim, problem.reward is None, config.dynamics
        self.model, self.slow = Dynamics(*sizes, g), Dynamics(*sizes, g).requires_grad_(False)
        self.slow.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
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
        spread = torch.randn(
            config.dynamics.ensemble_size,
            config.dynamics.latent_dim,
            generator=fixed,
            device=fixed.device,
        )
        self.spread = (config.belief_spread * (spread - spread.mean(0))).to(
            torch.get_default_device()
        )

    def prior(self, n: int, task: Tensor | None = None) -> ContextMpcBelief:
        """N(0, I), and no plan."""
        return ContextMpcBelief(
            **vars(self.planning.begin(n)), posterior=prior(n, self.config.dynamics.latent_dim)
        )

    def act(self, obs: Tensor, belief: ContextMpcBelief, explore: bool) -> Tensor:
        """The plan's first action; where there is no plan for this observation, it is made here."""
        return self.planning.act(obs, belief, explore, self._search)

    @torch.no_grad()
    def observe(self, belief: ContextMpcBelief, transition: Transition) -> ContextMpcBelief:
        """One more factor, and the plan for what is seen now."""
        posterior = self.slow.observe(belief.posterior, transition)
        return self.replan(replace(belief, posterior=posterior), transition)

    @torch.no_grad()
    def replan(self, belief: ContextMpcBelief, transition: Transition) -> ContextMpcBelief:
        """The plan for what is seen now, by what was known before."""
        seen = replace(belief, tick=belief.tick + transition.valid)
        planned = ~belief.at.isnan().any(-1)  # else this was the episode's first tick
        start = belief.plan if planned.all() else self.planner.cold(len(planned))
        plan = self._search(
            transition.next_obs, seen, shifted(start), self.config.planner.iterations
        )
        return replace(seen, plan=plan, at=transition.next_obs)

    def adapt(self, belief: ContextMpcBelief, episode: Transition) -> ContextMpcBelief:
        """What was learnt of the task stays; plans begin anew."""
        return replace(self.prior(len(belief.tick)), posterior=belief.posterior)

    @torch.inference_mode()
    def _search(self, obs: Tensor, belief: ContextMpcBelief, start: Plan, rounds: int) -> Plan:
        z = belief.posterior.at(self.spread[:, None])
        return self.planning.improve(
            obs, belief, start, rounds, lambda obs, tried: self.slow.rollout(obs, tried, z)
        )

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        new = self.replay.add(trial)
        self.model.update(new)
        guided = self.guide.train_on(new) if self.guide else {}
        logs = [self.step() for _ in range(self.config.gradient_steps)]
        for slow, now in zip(self.slow.buffers(), self.model.buffers(), strict=True):
            slow.copy_(now)
        return guided | {
            name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step."""
        slots = self.replay.tasks(self.config.meta_batch, self.generator)
        losses = self.model.loss(*self.replay.trials(slots), self.generator)
        self.optimizer.zero_grad()
        (losses["nll"] + losses["kl"]).backward()
        self.optimizer.step()
        torch._foreach_lerp_(
            list(self.slow.parameters()), list(self.model.parameters()), self.config.ema_rate
        )
        return {name: loss.detach() for name, loss in losses.items()}
