"""MAML (Finn et al. 2017): parameters from which one policy-gradient step on an episode is the adaptation.

Every task acts under parameters of its own. An episode is lived through under them; then they take a step along the
policy gradient of that episode, and the next episode is the fresh data that the step is judged by. The outer objective
is PPO's on the episodes after a step, differentiated through the steps: ``order`` 2 with the steps' own derivative,
``order`` 1 without (FOMAML). Step sizes are learnt, one per parameter (Meta-SGD, Li et al. 2017).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.nn.networks import init_
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import Stateful, make_generator
from policies.rl import ppo


@dataclass(frozen=True)
class MamlConfig:
    """The numbers of the method; presets per family below."""

    order: int = 2  # 1: the step's gradient is a constant to the outer objective (FOMAML)
    hidden: tuple[int, ...] = (64, 64)  # ProMP
    inner_lr: float = 0.1  # where step sizes start (ProMP, MAML)
    inner_gamma: float = 0.95  # discount of the steps' returns
    inner_gae_lambda: float = 1.0  # λ of the steps' advantages
    baseline_l2: float = (
        1e-3  # of the baseline; garage and ProMP begin with 1e-5, of twenty times the data
    )
    lr: float = 1e-3  # ProMP
    gamma: float = 0.95  # ProMP has 0.99 of episodes five times as long
    gae_lambda: float = 1.0  # λ (ProMP)
    clip_ratio: float = 0.2  # PPO
    gradient_steps: int = 4  # gradient steps per lesson, each on all of it; ProMP has 5
    init_std: float = 0.6  # of the first policy's actions; it is learnt, and adapted
    max_grad_norm: float = 0.5  # norm to which gradients are cut
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=256, episodes_per_trial=3, iterations=200
    )

    @classmethod
    def for_family(cls, name: str) -> "MamlConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


@dataclass(frozen=True)
class FomamlConfig(MamlConfig):
    """MAML's numbers but for one."""

    order: int = 1

    @classmethod
    def for_family(cls, name: str) -> "FomamlConfig":
        """MAML's, of the first order."""
        return cls(**{**vars(MamlConfig.for_family(name)), "order": 1})


PRESETS = {
    # a reward is minus the distance, so that one step shows which way is right, and what follows it is noise
    name: MamlConfig(inner_gamma=0.0)
    for name in ("point", "reach")
}


@dataclass(frozen=True)
class MamlBelief:
    """The belief: a policy of each task's own."""

    theta: Tensor  # (n, P) all its parameters in a row


@dataclass(frozen=True)
class PpoBatch:
    """Trials, and what is fixed of their episodes after a step while the parameters move."""

    ticks: Transition  # (E, H, n, ...)
    log_prob: Tensor  # (E - 1, H, n) of the actions, when they were taken
    advantage: Tensor  # (E - 1, H, n) standardised


class Policy:
    """A Gaussian policy as a function of its parameters: n of them at once, tanh between layers."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.actions = sizes[-1]
        self.shapes = [shape for i, k in pairwise(sizes) for shape in ((i, k), (1, k))] + [
            (self.actions,)
        ]
        self.sizes = [prod(shape) for shape in self.shapes]

    def initial(self, deviation: float, generator: torch.Generator) -> Tensor:
        """A first set of parameters, (P,)."""
        parts = [torch.zeros(shape) for shape in self.shapes]
        for weight, bias in zip(parts[:-1:2], parts[1:-1:2], strict=True):
            init_(weight, bias, len(weight), generator)
        parts[-1] = torch.full((self.actions,), deviation).log()
        return torch.cat([part.flatten() for part in parts])

    def __call__(self, theta: Tensor, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (H, n, a) and log-deviation (n, a) under parameters (n, P) of observations (H, n, o)."""
        parts = [
            part.view(len(theta), *shape)
            for part, shape in zip(theta.split(self.sizes, -1), self.shapes, strict=True)
        ]
        h = obs.transpose(0, 1)
        for layer, (weight, bias) in enumerate(zip(parts[:-1:2], parts[1:-1:2], strict=True)):
            h = torch.baddbmm(bias, h if layer == 0 else torch.tanh(h), weight)
        return h.transpose(0, 1), parts[-1].clamp(min=-3.0)


def baseline(obs: Tensor, returns: Tensor, valid: Tensor, ridge: float) -> Tensor:
    """Each task's returns (H, n) as its own episode has them, linear in observation and time (Duan et al. 2016)."""
    t = torch.linspace(0, 1, len(obs), dtype=obs.dtype)[:, None, None].expand(*obs.shape[:2], 1)
    x = torch.cat([obs, obs.square(), t, t**2, t**3, torch.ones_like(t)], -1).transpose(
        0, 1
    )  # (n, H, k)
    seen = x * valid.T[..., None]
    gram = seen.mT @ seen + ridge * torch.eye(x.shape[-1], dtype=x.dtype)
    weights = torch.linalg.solve(gram, seen.mT @ returns.T[..., None])
    return (x @ weights)[..., 0].T


class Maml(Stateful):
    """Nothing is learnt within an episode; a step is taken after it."""

    Config = MamlConfig
    privileged = False
    saved_attributes = ("net", "obs", "optimizer", "generator")

    def __init__(self, problem: Problem, config: MamlConfig, seed: int) -> None:
        if config.schedule.episodes_per_trial < 2:
            raise ValueError(
                f"maml is judged after a step: a trial needs at least 2 episodes, got {config.schedule.episodes_per_trial}"
            )
        g = make_generator(seed)
        self.problem, self.config, self.generator, self.schedule = (
            problem,
            config,
            g,
            config.schedule,
        )
        self.policy = Policy((problem.obs_dim, *config.hidden, problem.action_dim))
        theta = self.policy.initial(config.init_std, g)
        self.net = nn.ParameterDict(
            {"theta": theta, "rate": torch.full_like(theta, config.inner_lr)}
        )
        self.obs = RunningNormalizer(problem.obs_dim)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> MamlBelief:
        """The parameters that are meta-learnt."""
        return MamlBelief(self.net["theta"].detach().repeat(n, 1))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: MamlBelief, explore: bool) -> Tensor:
        """A sample of the task's own policy, or its mean."""
        mean, log_std = self.policy(belief.theta, self.obs(obs)[None])
        return ppo.act(mean[0], log_std, self.generator if explore else None)

    def observe(self, belief: MamlBelief, transition: Transition) -> MamlBelief:
        """Unchanged: a policy gradient needs the episode's end."""
        return belief

    @torch.enable_grad()
    def adapt(self, belief: MamlBelief, episode: Transition) -> MamlBelief:
        """A step along the policy gradient; none where the episode did not explore, for it then has no gradient."""
        theta = belief.theta.detach().requires_grad_()
        mean, _ = self.policy(theta, self.obs(episode.obs))
        explored = ((episode.action - mean.clamp(-1, 1)).abs().amax(-1) * episode.valid).amax(
            0
        ) > 1e-4
        stepped = self.inner(theta, episode)
        return MamlBelief(torch.where(explored[:, None], stepped, theta).detach())

    def inner(self, theta: Tensor, episode: Transition) -> Tensor:
        """θ' = θ + α ∇ mean log π(action) · advantage, (n, P); second derivatives where the config asks for them."""
        c = self.config
        advantage = self.advantages(episode, c.inner_gamma, c.inner_gae_lambda)
        log_prob = ppo.log_prob(*self.policy(theta, self.obs(episode.obs)), episode.action)
        gain = (log_prob * advantage).sum(0) / episode.valid.sum(0).clamp(min=1)
        (gradient,) = torch.autograd.grad(gain.sum(), theta, create_graph=c.order == 2)
        return theta + self.net["rate"] * gradient

    @torch.no_grad()
    def advantages(self, episode: Transition, gamma: float, decay: float) -> Tensor:
        """Of each task's episode against a baseline of its own, (H, n), standardised per task; 0 where not valid."""
        follows, nothing = ppo.follows(episode), torch.zeros_like(episode.reward)
        returns = ppo.advantages(episode.reward, nothing, follows, gamma, 1.0)
        value = baseline(self.obs(episode.obs), returns, episode.valid, self.config.baseline_l2)
        advantage = ppo.advantages(episode.reward, value, follows, gamma, decay)
        return ppo.standardized(advantage, episode.valid, 0)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO through the steps; then what normalises observations moves, so that no ratio is between two."""
        lesson = self.prepare(trial.ticks)
        logs = [self.step(lesson) for _ in range(self.config.gradient_steps)]
        self.obs.update(trial.ticks.obs[trial.ticks.valid])
        return {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    def thetas(self, ticks: Transition) -> Iterator[tuple[Tensor, Transition]]:
        """Every episode (H, n, ...) but the first, and the parameters (n, P) it was lived under after the steps."""
        theta = self.net["theta"].expand(ticks.reward.shape[2], -1)
        for e in range(len(ticks.reward) - 1):
            before, after = (ticks.map(lambda x, e=at: x[e]) for at in (e, e + 1))  # type: ignore[misc]
            theta = self.inner(theta, before)
            yield theta, after

    def prepare(self, ticks: Transition) -> PpoBatch:
        """Log-likelihoods and advantages of the episodes after a step, under the policies that acted."""
        c, old, advantage = self.config, [], []
        for theta, after in self.thetas(ticks):
            old.append(
                ppo.log_prob(*self.policy(theta, self.obs(after.obs)), after.action).detach()
            )
            advantage.append(self.advantages(after, c.gamma, c.gae_lambda))
        return PpoBatch(ticks, torch.stack(old), torch.stack(advantage))

    def losses(self, lesson: PpoBatch) -> dict[str, Tensor]:
        """PPO's, of the parameters after each step, as functions of the meta-learnt parameters and step sizes."""
        outer, kl = [], []
        thetas = self.thetas(lesson.ticks)
        for (theta, after), old, advantage in zip(
            thetas, lesson.log_prob, lesson.advantage, strict=True
        ):
            log_prob = ppo.log_prob(*self.policy(theta, self.obs(after.obs)), after.action)
            log_ratio = (log_prob - old).where(after.valid, 0.0)
            outer.append(
                ppo.mean(ppo.surrogate(log_ratio, advantage, self.config.clip_ratio), after.valid)
            )
            kl.append(ppo.mean(ppo.divergence(log_ratio), after.valid))
        return {"outer": torch.stack(outer).sum(), "kl": torch.stack(kl).mean()}

    def step(self, lesson: PpoBatch) -> dict[str, Tensor]:
        """One gradient step on what is meta-learnt."""
        losses = self.losses(lesson)
        self.optimizer.zero_grad()
        losses["outer"].backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}


class Fomaml(Maml):
    """The preset without second derivatives."""

    Config = FomamlConfig
