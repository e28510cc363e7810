"""Soft actor-critic (Haarnoja et al. 2018b) with twin critics, as losses of a batch under a condition.

The condition z (b, l) is whatever a method knows of the task: nothing, the truth, or a belief. Which network a
loss may change is decided here: the critic's loss reaches the critics and z; the actor's loss the actor alone; the
temperature's loss the temperature alone.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from math import log
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.nn.networks import Ensemble, mlp
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import Stateful, make_generator
from policies.rl.replay import Replay


@dataclass(frozen=True)
class SacConfig:
    """The numbers of the learner."""

    hidden: tuple[int, ...] = (
        128,
        128,
    )  # PEARL has 3 × 300; this is what a CPU core can train in two minutes
    lr: float = 1e-3  # PEARL has 3e-4 for a million steps; here there are a few thousand
    gamma: float = 0.95  # horizons are about 20 ticks
    tau: float = 0.01  # PEARL has 0.005; larger, for few steps
    ema_rate: float = 0.005  # step of the slow copies that are acted by: Polyak averaging, instead of a schedule for lr
    reward_scale: float = 1.0
    target_entropy: float = -1.0  # target, nats per action dimension (Haarnoja et al. 2018b)
    init_temperature: float = 0.1  # where its adaptation starts
    meta_batch: int = 64  # meta-batch; PEARL has 16 of 256 transitions, but it is tasks that beliefs are learnt from
    batch_per_task: int = 8  # transitions of each task
    gradient_steps: int = 64  # gradient steps per lesson
    buffer_tasks: int = 2048  # tasks in the replay
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=64, episodes_per_trial=2, random_trials=4, iterations=60
    )

    @classmethod
    def for_family(cls, name: str) -> "SacConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    # each tick's reward tells the way: values of few ticks are the best, and the sharpest about the goal
    "point": SacConfig(gamma=0.5),
    "reach": SacConfig(
        gamma=0.5,
        reward_scale=5.0,  # distances are of centimetres
        init_temperature=0.05,
        schedule=CollectionSchedule(
            meta_batch=64, episodes_per_trial=2, random_trials=4, iterations=150
        ),
    ),
    "cheetah_vel": SacConfig(
        gamma=0.97,
        meta_batch=32,
        batch_per_task=16,
        gradient_steps=200,  # to 12 800 new transitions
        schedule=CollectionSchedule(
            meta_batch=32, episodes_per_trial=2, random_trials=1, iterations=100
        ),
    ),
    "cheetah_cripple": SacConfig(  # as many steps of the world and of gradients as the methods that plan
        gamma=0.97,
        meta_batch=32,
        batch_per_task=16,
        gradient_steps=250,
        schedule=CollectionSchedule(
            meta_batch=16, episodes_per_trial=1, random_trials=4, iterations=30
        ),
    ),
    "slide": SacConfig(
        gamma=0.97,
        reward_scale=5.0,  # returns are at most 1
        tau=0.02,  # the reward of a strike comes over the dozen ticks after it
        target_entropy=-2.0,  # a strike is aimed to a few percent of its speed
        init_temperature=0.03,
        gradient_steps=128,
        schedule=CollectionSchedule(
            meta_batch=32, episodes_per_trial=2, random_trials=4, iterations=100
        ),
    ),
}
PRESETS["reach_viperx"] = PRESETS["reach"]


class Sac(nn.Module):
    """An actor, twin critics, slow copies of both, and the temperature. ``inputs`` is o + l."""

    def __init__(
        self, inputs: int, actions: int, config: SacConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.actor = mlp([inputs, *config.hidden, 2 * actions], generator)
        self.critic = Ensemble(2, [inputs + actions, *config.hidden, 1], generator)
        self.target = deepcopy(self.critic).requires_grad_(False)
        self.slow = deepcopy(self.actor).requires_grad_(False)  # what is acted by
        self.log_alpha = nn.Parameter(torch.tensor(log(config.init_temperature)))

    def sample(self, obs: Tensor, z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The actor's action in (-1, 1), (b, a), and its log-density (b,)."""
        mean, log_std = _gaussian(self.actor, obs, z)
        noise = torch.randn(mean.shape, generator=generator)
        raw = mean + log_std.exp() * noise
        density = -0.5 * noise.square() - log_std - 0.5 * log(2 * torch.pi)
        squash = 2 * (log(2) - raw - F.softplus(-2 * raw))  # log(1 - tanh²), stable
        return torch.tanh(raw), (density - squash).sum(-1)

    @torch.no_grad()
    def act(self, obs: Tensor, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """A sample of the slow actor where there is a generator, its mean otherwise, (b, a)."""
        mean, log_std = _gaussian(self.slow, obs, z)
        if generator is not None:
            mean = mean + log_std.exp() * torch.randn(mean.shape, generator=generator)
        return torch.tanh(mean)

    def update_targets(self, config: SacConfig) -> None:
        """Move the slow copies a step towards what they copy."""
        polyak_update(self.target, self.critic, config.tau)
        polyak_update(self.slow, self.actor, config.ema_rate)


@torch.no_grad()
def polyak_update(slow: nn.Module, fast: nn.Module, step: float) -> None:
    """Move every parameter of ``slow`` a share ``step`` of the way to ``fast``."""
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), step)


def _gaussian(actor: nn.Module, obs: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation before squashing, (b, a) each."""
    mean, raw = actor(torch.cat([obs, z], -1)).chunk(2, -1)
    return mean, -5 + 3.5 * (torch.tanh(raw) + 1)  # within [-5, 2]


def critic_loss(
    sac: Sac,
    t: Transition,
    obs: Tensor,
    next_obs: Tensor,
    z: Tensor,
    config: SacConfig,
    generator: torch.Generator,
) -> Tensor:
    """Twin TD error; ``obs`` and ``next_obs`` (b, o) are normalised. Running out of time is no terminal."""
    with torch.no_grad():
        action, log_prob = sac.sample(next_obs, z, generator)
        value = (
            sac.target(torch.cat([next_obs, z, action], -1)).squeeze(-1).amin(0)
            - sac.log_alpha.exp() * log_prob
        )
        goal = config.reward_scale * t.reward + config.gamma * (~t.terminated) * value
    q = sac.critic(torch.cat([obs, z, t.action], -1)).squeeze(-1)  # (2, b)
    return (q - goal).square().mean(1).sum()


def actor_loss(
    sac: Sac, obs: Tensor, z: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Soft value of the policy's own actions, negated, and their log-density (b,); the critics are left alone."""
    z = z.detach()
    action, log_prob = sac.sample(obs, z, generator)
    q = sac.critic(torch.cat([obs, z, action], -1), frozen=True).squeeze(-1).amin(0)
    return (sac.log_alpha.exp().detach() * log_prob - q).mean(), log_prob


def temperature_loss(sac: Sac, log_prob: Tensor, target: float) -> Tensor:
    """Raises the temperature while the policy's entropy lies below ``target`` nats."""
    return -sac.log_alpha * (log_prob.detach().mean() + target)


@dataclass(frozen=True)
class FixedBelief:
    """A belief that no experience changes."""

    z: Tensor  # (n, l)


class SacLearner(Stateful):
    """Soft actor-critic under a condition that is known from the task: z = ``condition(task)``, (n, p) -> (n, l)."""

    saved_attributes: ClassVar[tuple[str, ...]] = ("net", "optimizer", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        width: int,
        condition: Callable[[Tensor], Tensor],
        config: SacConfig,
        seed: int,
        replay: Replay | None = None,
    ) -> None:
        """``replay`` is another's, who fills it and calls ``lesson``; without one, ``learn`` fills its own."""
        g = make_generator(seed)
        self.problem, self.condition, self.config, self.generator = problem, condition, config, g
        self.replay = Replay(config.buffer_tasks) if replay is None else replay
        self.obs = RunningNormalizer(problem.obs_dim)
        self.sac = Sac(problem.obs_dim + width, problem.action_dim, config, g)
        self.net = nn.ModuleDict({"obs": self.obs, "sac": self.sac})
        trained = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=config.lr, fused=True)

    def act(self, obs: Tensor, belief: FixedBelief, explore: bool) -> Tensor:
        """A sample of the policy, or its mean."""
        return self.sac.act(self.obs(obs), belief.z, self.generator if explore else None)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        return self.train_on(self.replay.add(trial))

    def train_on(self, new: Transition) -> dict[str, float]:
        """The gradient steps after transitions (b, ...) that the replay has just got."""
        self.obs.update(new.obs)
        logs = [self.step() for _ in range(self.config.gradient_steps)]
        return {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    def step(self) -> dict[str, Tensor]:
        """One gradient step on everything."""
        c, g, sac = self.config, self.generator, self.sac
        slots = self.replay.tasks(c.meta_batch, g)
        z = self.condition(self.replay.task[slots]).repeat_interleave(c.batch_per_task, 0)
        batch = self.replay.transitions(slots, c.batch_per_task, g).map(lambda x: x.flatten(0, 1))
        obs, next_obs = self.obs(batch.obs), self.obs(batch.next_obs)
        critic = critic_loss(sac, batch, obs, next_obs, z, c, g)
        actor, log_prob = actor_loss(sac, obs, z, g)
        temperature = temperature_loss(sac, log_prob, c.target_entropy * self.problem.action_dim)
        self.optimizer.zero_grad()
        (critic + actor + temperature).backward()
        self.optimizer.step()
        sac.update_targets(c)
        return {
            "critic": critic.detach(),
            "actor": actor.detach(),
            "alpha": sac.log_alpha.detach().exp(),
        }
