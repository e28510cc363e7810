"""PEARL (Rakelly et al. 2019): infer a latent task from transitions, act under a sample of it, learn off-policy.

Differences from the published code, all for a CPU and short training: twin critics with automatic temperature and
no value network; every trial is a new task, so that "recent context" is the ring of the newest tasks; the prior is
one factor of the product, and the context's length is drawn afresh for every task of every step.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from policies.method import Problem, Transition, Trial
from policies.parts.normalise import Moments
from policies.parts.posterior import Encoder, Posterior, context, kl_to_prior, multiply, prior, sample
from policies.parts.replay import Replay
from policies.parts.sac import Sac, SacConfig, actor_loss, critic_loss, temperature_loss


@dataclass(frozen=True)
class PearlConfig:
    """The numbers of PEARL; presets per family below."""

    sac: SacConfig = field(default_factory=SacConfig)
    latent: int = 5  # PEARL
    encoder: tuple[int, ...] = (128, 128)  # PEARL has 3 × 200
    kl: float = 0.1  # PEARL, there summed over the meta-batch; here per task
    context: int = 40  # most transitions in a context; PEARL has 100 of episodes ten times as long

    @classmethod
    def for_family(cls, name: str) -> "PearlConfig":
        """The numbers a family is trained with when nothing else is asked for."""
        return PRESETS.get(name, cls())


PRESETS = {
    # one transition of a sliding object says much, and the critic needs z only for the strike: a small price for it
    "slide": PearlConfig(sac=SacConfig.for_family("slide"), kl=0.002),
}


class Pearl:
    """Belief: the posterior over z. Acts under a z drawn once per episode; a tick adds one factor, O(1)."""

    Config = PearlConfig
    privileged = False

    def __init__(self, problem: Problem, config: PearlConfig, seed: int) -> None:
        o, a, g = problem.obs_dim, problem.action_dim, torch.Generator().manual_seed(seed)
        self.problem, self.config, self.generator, self.rhythm = problem, config, g, config.sac.rhythm
        self.replay = Replay(config.sac.capacity)
        self.obs, self.context = Moments(o), Moments(2 * o + a + 1)
        self.encoder = Encoder(2 * o + a + 1, config.encoder, config.latent, g)
        self.sac = Sac(o + config.latent, a, config.sac, g)
        self.net = nn.ModuleDict({"obs": self.obs, "context": self.context, "encoder": self.encoder, "sac": self.sac})
        trained = [p for p in self.net.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(trained, lr=config.sac.lr, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> Posterior:
        """N(0, I), and a z drawn from it."""
        return prior(n, self.config.latent, self.generator)

    def act(self, obs: Tensor, belief: Posterior, explore: bool) -> Tensor:
        """Exploring, a sample of the policy under z; else its mean, under the mean of z once there is evidence."""
        seen = (belief.count > 0)[:, None]
        z = belief.z if explore else torch.where(seen, belief.mean, belief.z)
        return self.sac.act(self.obs(obs), z, self.generator if explore else None)

    @torch.no_grad()
    def observe(self, belief: Posterior, transition: Transition) -> Posterior:
        """Multiply by one factor."""
        precision, weighted = self.encoder(self.context(context(transition)))
        return multiply(belief, precision, weighted, transition.valid)

    def adapt(self, belief: Posterior, episode: Transition) -> Posterior:
        """Posterior sampling: draw the z of the next episode."""
        return replace(belief, z=sample(belief.mean, belief.var, self.generator))

    def learn(self, trial: Trial) -> dict[str, float]:
        """Keep the trial, then take the lesson's gradient steps; returns the means of what is logged."""
        new = self.replay.add(trial)
        self.obs.update(new.obs)
        self.context.update(context(new))
        logs = [self.step() for _ in range(self.config.sac.updates)]
        return {name: torch.stack([log[name] for log in logs]).mean().item() for name in logs[0]}

    def infer(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (n, l) of the posterior of some tasks, from contexts of random length."""
        ticks, counts = self.replay.contexts(slots, self.config.context, self.generator)
        precision, weighted = self.encoder(self.context(context(ticks)))
        counts = counts[..., None]
        total = 1 + (precision * counts).sum(1)
        return (weighted * counts).sum(1) / total, total.reciprocal()

    def losses(self) -> dict[str, Tensor]:
        """One batch's losses; encoder gradients come from "critic" and "kl" alone."""
        c, g, sac = self.config.sac, self.generator, self.sac
        slots = self.replay.tasks(c.tasks, g)
        mean, var = self.infer(slots)
        z = sample(mean, var, g).repeat_interleave(c.each, 0)  # (b, l)
        batch = self.replay.transitions(slots, c.each, g).map(lambda x: x.flatten(0, 1))  # (b, ...)
        obs, next_obs = self.obs(batch.obs), self.obs(batch.next_obs)
        actor, log_prob = actor_loss(sac, obs, z, g)
        kl = kl_to_prior(mean, var).mean(0)  # (l,)
        return {
            "critic": critic_loss(sac, batch, obs, next_obs, z, c, g),
            "kl": self.config.kl * kl.sum(),
            "actor": actor,
            "temperature": temperature_loss(sac, log_prob, c.entropy * self.problem.action_dim),
            **{f"kl_{i}": k for i, k in enumerate(kl.detach())},
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step on everything."""
        losses = self.losses()
        self.optimiser.zero_grad()
        (losses["critic"] + losses["kl"] + losses["actor"] + losses["temperature"]).backward()
        self.optimiser.step()
        self.sac.track(self.config.sac.tau)
        return {name: loss.detach() for name, loss in losses.items()}

    def state_dict(self) -> dict[str, Any]:
        """Networks, statistics, optimiser, replay and random stream."""
        return {
            "net": dict(self.net.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "replay": self.replay.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on as if never stopped."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.replay.load_state_dict(state["replay"])
        self.generator.set_state(state["generator"])
