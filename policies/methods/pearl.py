"""PEARL (Rakelly et al. 2019): infer a latent task from transitions, act under a sample of it, learn off-policy.

Differences from the published code: a transition's factor is a Gaussian of few directions of z, not of independent
axes (see ``posterior``), which tells a goal from distances in a seventh of the error. For a CPU and short training:
twin critics with automatic temperature and no value network; slow copies of encoder and actor are acted by, instead
of a schedule for the learning rate; every trial is a new task, so that "recent context" is the ring of the newest
tasks; the context's length is drawn afresh for every task of every step.
"""

from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.models.posterior import Encoder, Posterior, context, prior
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import Stateful, make_generator
from policies.rl.replay import Replay
from policies.rl.sac import Sac, SacConfig, actor_loss, critic_loss, polyak_update, temperature_loss


@dataclass(frozen=True)
class PearlConfig:
    """The numbers of PEARL; presets per family below."""

    sac: SacConfig = field(default_factory=SacConfig)
    latent_dim: int = 5  # PEARL
    factor_rank: int = 1  # directions of z that a transition measures
    encoder_hidden: tuple[int, ...] = (
        64,
        64,
    )  # PEARL has 3 × 200; better many tasks in a batch than a wide encoder
    encoder_lr: float = 3e-3  # PEARL has 3e-4; its averaged copy is what is acted by
    kl_weight: float = 0.001  # PEARL has 0.1 summed over the meta-batch, against rewards five times as large; here per task
    max_context: int = (
        40  # most transitions in a context; PEARL has 100 of episodes ten times as long
    )

    @classmethod
    def for_family(cls, name: str) -> "PearlConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    "point": PearlConfig(sac=SacConfig.for_family("point")),
    "reach": PearlConfig(
        sac=replace(
            SacConfig.for_family("reach"),
            gamma=0.3,
            meta_batch=128,
            batch_per_task=4,
            schedule=CollectionSchedule(
                meta_batch=64, episodes_per_trial=2, random_trials=4, iterations=350
            ),
        ),
        kl_weight=0.0003,  # a goal is to be known to a fiftieth of its range
    ),
    "cheetah_vel": PearlConfig(
        sac=SacConfig.for_family("cheetah_vel"), kl_weight=0.003, max_context=64
    ),
    # one transition of a sliding object says much, and the critic needs z only for the strike: a small price for it
    "slide": PearlConfig(sac=SacConfig.for_family("slide"), kl_weight=0.002),
}
PRESETS["reach_viperx"] = PRESETS["reach"]


@dataclass(frozen=True)
class PearlBelief:
    """The belief: what z may be, and the one that is acted under."""

    posterior: Posterior
    z: Tensor  # (n, l) a sample, held for an episode


class Pearl(Stateful):
    """Acts under a z drawn once per episode; a tick adds one factor to the posterior, O(1)."""

    Config = PearlConfig
    privileged = False
    saved_attributes = ("net", "optimizer", "replay", "generator")

    def __init__(self, problem: Problem, config: PearlConfig, seed: int) -> None:
        o, a, g = problem.obs_dim, problem.action_dim, make_generator(seed)
        self.problem, self.config, self.generator, self.schedule = (
            problem,
            config,
            g,
            config.sac.schedule,
        )
        self.replay = Replay(config.sac.buffer_tasks)
        self.obs, self.context = RunningNormalizer(o), RunningNormalizer(2 * o + a + 1)
        self.encoder = Encoder(
            2 * o + a + 1, config.encoder_hidden, config.latent_dim, config.factor_rank, g
        )
        self.slow = deepcopy(self.encoder).requires_grad_(False)  # what beliefs are built by
        self.sac = Sac(o + config.latent_dim, a, config.sac, g)
        parts = {
            "obs": self.obs,
            "context": self.context,
            "encoder": self.encoder,
            "slow": self.slow,
            "sac": self.sac,
        }
        self.net = nn.ModuleDict(parts)
        trained = [p for p in self.sac.parameters() if p.requires_grad]
        groups = [
            {"params": trained, "lr": config.sac.lr},
            {"params": self.encoder.parameters(), "lr": config.encoder_lr},
        ]
        self.optimizer = torch.optim.Adam(groups, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> PearlBelief:
        """N(0, I), and a z drawn from it."""
        return self.draw(prior(n, self.config.latent_dim))

    def act(self, obs: Tensor, belief: PearlBelief, explore: bool) -> Tensor:
        """Exploring, a sample of the policy under z; else its mean, under the mean of z once there is evidence."""
        seen = belief.posterior.weighted.any(-1, keepdim=True)
        z = belief.z if explore else torch.where(seen, belief.posterior.mean, belief.z)
        return self.sac.act(self.obs(obs), z, self.generator if explore else None)

    @torch.no_grad()
    def observe(self, belief: PearlBelief, transition: Transition) -> PearlBelief:
        """Multiply by one factor."""
        factor = self.slow(self.context(context(transition)), transition.valid)
        return replace(belief, posterior=belief.posterior.times(*factor))

    def adapt(self, belief: PearlBelief, episode: Transition) -> PearlBelief:
        """Posterior sampling: draw the z of the next episode."""
        return self.draw(belief.posterior)

    def draw(self, posterior: Posterior) -> PearlBelief:
        """A belief that acts under a sample."""
        return PearlBelief(
            posterior, posterior.at(torch.randn(posterior.weighted.shape, generator=self.generator))
        )

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        new = self.replay.add(trial)
        self.obs.update(new.obs)
        self.context.update(context(new))
        logs = [self.step() for _ in range(self.config.sac.gradient_steps)]
        return {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    def infer(self, slots: Tensor) -> Posterior:
        """What is believed of some tasks, (n,), from contexts of random length."""
        ticks, counts = self.replay.contexts(slots, self.config.max_context, self.generator)
        precision, weighted = self.encoder(self.context(context(ticks)), counts)
        return prior(len(slots), self.config.latent_dim).times(precision.sum(1), weighted.sum(1))

    def losses(self) -> dict[str, Tensor]:
        """One batch's losses; encoder gradients come from "critic" and "kl" alone."""
        c, g, sac = self.config.sac, self.generator, self.sac
        slots = self.replay.tasks(c.meta_batch, g)
        posterior = self.infer(slots)
        z = self.draw(posterior).z.repeat_interleave(c.batch_per_task, 0)  # (b, l)
        batch = self.replay.transitions(slots, c.batch_per_task, g).map(
            lambda x: x.flatten(0, 1)
        )  # (b, ...)
        obs, next_obs = self.obs(batch.obs), self.obs(batch.next_obs)
        actor, log_prob = actor_loss(sac, obs, z, g)
        return {
            "critic": critic_loss(sac, batch, obs, next_obs, z, c, g),
            "kl": self.config.kl_weight * posterior.kl().mean(),
            "actor": actor,
            "temperature": temperature_loss(
                sac, log_prob, c.target_entropy * self.problem.action_dim
            ),
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step on everything."""
        losses = self.losses()
        self.optimizer.zero_grad()
        (losses["critic"] + losses["kl"] + losses["actor"] + losses["temperature"]).backward()
        self.optimizer.step()
        self.sac.update_targets(self.config.sac)
        polyak_update(self.slow, self.encoder, self.config.sac.ema_rate)
        return {name: loss.detach() for name, loss in losses.items()}
