"""PEARL (Rakelly et al. 2019): infer a latent task from transitions, act under a sample of it.

Learning is off-policy, by soft actor-critic on features [observation, z]. Differences from the
published code:

- A transition's factor is a Gaussian along a few directions of z instead of along independent axes
  (see ``policies.models.posterior``). This locates a goal from distances with 1/7 of the error.
- Twin critics with automatic temperature, and no value network.
- Polyak-averaged copies of encoder and actor act; the rate may also fall (``final_lr_share``).
- Without exploration it acts under the posterior's mean; the published code samples z here, too.
- Every trial has a new task, and the replay buffer keeps the newest tasks, so contexts are recent.
- A batch has few transitions of many tasks, and the KL is per task.
- The number of transitions in a context is random, for every task in every gradient step.
- A transition in a context has its next observation too, because dynamics differ between tasks.
- If a family has a training reward, z is learned from contexts with this reward. The posterior of
  contexts with the true reward is trained to predict that z, so it covers every task that is
  consistent with the context. If it were trained by the critic instead, it would collapse to the z
  of the average task, and the policy would not search.
- A share of a batch's tasks may be relabeled with another task's goal, in the contexts and in the
  batch; physics do not depend on goals.
- The changes of the observations in a batch may be scaled by a random gain (``gain_std``), so that
  tasks beyond the trained ones are learned, too.
- A posterior may forget: old evidence decays by ``forgetting_factor``, which is 1 by default.

Axes: n worlds or tasks, b transitions of a batch, l latent.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from policies.method import Problem, Transition, TrialBatch, with_training_reward
from policies.models.posterior import Encoder, Posterior, context_dim, context_features, prior
from policies.nn.noise import standard_normal
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeat, repeatable_adam, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, LayerWidths, NonNegative, Positive, PositiveShare, Share, Width
from policies.rl.exchange import ReplayMethodConfig, compare_evidence, exchange_log
from policies.rl.relabel import Varied, relabel_goals, vary_tasks
from policies.rl.remind import make_exchange
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import (
    Sac,
    SacConfig,
    actor_loss,
    critic_loss,
    polyak_update,
    temperature_loss,
)

# Contexts in training need not be longer: half-cheetah's return is the same with 50 transitions as
# with 600.
MAX_CONTEXT = 64


@dataclass(frozen=True)
class PearlConfig(ReplayMethodConfig):
    """Settings of the encoder, and of soft actor-critic."""

    latent_dim: Width = 5  # dimensions of the latent task (PEARL)
    factor_rank: Count = 1  # directions of z that a transition measures
    # layer widths of the encoder; PEARL has 3 × 200, but many tasks in a batch help more than width
    encoder_hidden: LayerWidths = (64, 64)
    # learning rate of the encoder; PEARL has 3e-4, here an averaged copy of the encoder acts
    encoder_lr: Positive = 3e-3
    # weight of the posterior's KL from N(0, I), per task; PEARL has 0.1, summed over the
    # meta-batch, with rewards five times as large
    kl_weight: NonNegative = 0.001
    # most transitions in a context; PEARL has 100, episodes 10 times as long
    max_context: Count = 40
    # newest transitions of a task that contexts are drawn from; none: all of the task's
    context_window: Count | None = None
    # newest tasks, whose contexts train the encoder: half of every batch is drawn from them. Older
    # contexts come from policies that acted otherwise; they only condition actor and critics. PEARL
    # empties its context buffer in every iteration and keeps the RL data; none: all tasks
    context_tasks: Count | None = None
    # weight of the loss by which beliefs from the true reward predict the z of beliefs from the
    # family's training reward, where it has one
    prediction_weight: NonNegative = 0.1
    # share of a batch's tasks that learn for the hidden goal of another task; 0: as PEARL
    hindsight_share: Share = 0.0
    # deviation of ln(gain), where all changes of a task's observations are multiplied by its gain,
    # so that tasks beside the trained ones are learned; only where a decision is a whole episode
    gain_std: NonNegative = 0.0
    # λ: when acting, a transition of t ticks ago counts λ^t in the posterior, so that a task that
    # changes is tracked within 1 / (1 - λ) ticks; 1: a task never changes (PEARL)
    forgetting_factor: PositiveShare = 1.0

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Contexts of at most a trial; the rest as soft actor-critic's."""
        trial_steps = problem.episodes * problem.horizon
        max_context = min(MAX_CONTEXT, trial_steps)
        return cls(sac=SacConfig.for_problem(problem), max_context=max_context)


@dataclass(frozen=True)
class PearlBelief:
    """The posterior over the task, and the sample z under which the policy acts."""

    posterior: Posterior
    z: Tensor  # (n, l) held for an episode


class Pearl(SavedState, LearnsFromReplay):
    """Acts under one z per episode; every tick adds a factor to the posterior at constant cost."""

    Config = PearlConfig
    privileged = False
    saved_attributes = ("net", "optimizer", "exchange", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: PearlConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        sac = config.sac
        self.problem = problem
        self.config = config
        self.schedule = sac.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(sac.buffer_tasks, device)

        context_columns = context_dim(problem.obs_dim, problem.action_dim)
        self.obs_norm = RunningNormalizer(problem.obs_dim, device)
        self.context_norm = RunningNormalizer(context_columns, device)
        self.encoder = self.make_encoder(context_columns)
        self.ema_encoder = deepcopy(self.encoder).requires_grad_(False)  # builds the beliefs
        self.sac = Sac(self.num_features, problem.action_dim, sac, self.generator)
        self.net = nn.ModuleDict(
            {
                "obs_norm": self.obs_norm,
                "context_norm": self.context_norm,
                "encoder": self.encoder,
                "ema_encoder": self.ema_encoder,
                "sac": self.sac,
            }
        )
        trained = [p for p in self.sac.parameters() if p.requires_grad]
        groups = [
            {"params": trained, "lr": sac.lr},
            {"params": self.encoder.parameters(), "lr": config.encoder_lr},
        ]
        self.optimizer = repeatable_adam(groups, device)
        self.exchange = make_exchange(config.replay, problem, config.latent_dim, self.generator)

    def make_encoder(self, columns: int) -> Encoder:
        """The encoder of contexts with this number of columns."""
        c = self.config
        rank = c.factor_rank
        return Encoder(columns, c.encoder_hidden, c.latent_dim, rank, self.generator)

    @property
    def num_features(self) -> int:
        """Number of inputs of the actor, o + l."""
        return self.problem.obs_dim + self.config.latent_dim

    def prior(self, n: int, task: Tensor | None = None) -> PearlBelief:
        """N(0, I), and a z drawn from it."""
        return self.draw(prior(n, self.config.latent_dim, self.device))

    def act(self, obs: Tensor, belief: PearlBelief, explore: bool) -> Tensor:
        """Actions (n, a).

        While exploring, a sample of the policy under z. Otherwise the policy's mean under the
        posterior mean, which is the best estimate; before any evidence it is the prior mean.
        """
        if explore:
            return self.sac.act(self.features(obs, belief.z), self.generator)
        return self.sac.act(self.features(obs, belief.posterior.mean), None)

    @torch.no_grad()
    def observe(self, belief: PearlBelief, transition: Transition) -> PearlBelief:
        """Multiply the posterior by the factor of a transition."""
        x = self.context_norm(context_features(transition))
        precision, weighted = self.ema_encoder(x, transition.valid)
        keep = torch.ones_like(transition.reward)
        keep[transition.valid] = self.config.forgetting_factor
        posterior = belief.posterior.forget(keep).update(precision, weighted)
        return replace(belief, posterior=posterior.bounded())

    def adapt(self, belief: PearlBelief, episode: Transition) -> PearlBelief:
        """Posterior sampling: draw the z of the next episode."""
        return self.draw(belief.posterior)

    def draw(self, posterior: Posterior) -> PearlBelief:
        """A belief that acts under a sample of a posterior."""
        noise = standard_normal(posterior.weighted.shape, self.generator)
        return PearlBelief(posterior, posterior.reparameterize(noise))

    def features(self, obs: Tensor, z: Tensor) -> Tensor:
        """The input of actor and critics, (b, o + l)."""
        return torch.cat([self.obs_norm(obs), z], -1)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train on the replay; returns means over the gradient steps."""
        new = self.replay.add(trial)
        self.obs_norm.update(new.obs)
        self.context_norm.update(context_features(new))
        if self.problem.training_reward is not None:
            dense = with_training_reward(self.problem, trial.ticks, trial.task)
            self.context_norm.update(context_features(dense[dense.valid]))
        c = self.config
        share = c.sac.lr_share(steps_taken(self.optimizer))
        set_learning_rates(self.optimizer, share, (c.sac.lr, c.encoder_lr))
        return repeat(self.step, c.sac.gradient_steps, self.generator)

    def infer(self, slots: Tensor) -> Posterior:
        """The posterior of tasks (n,) in the replay, from contexts of random size."""
        ticks, mask = self.contexts(slots)
        return self.posterior(ticks, mask)

    def contexts(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """Transitions (n, L, ...) of tasks (n,), and a mask (n, L) of those in the context."""
        c = self.config
        return self.replay.contexts(slots, c.max_context, self.generator, newest=c.context_window)

    def posterior(self, ticks: Transition, mask: Tensor) -> Posterior:
        """The posterior of contexts (n, L, ...), by the encoder that is being trained."""
        x = self.context_norm(context_features(ticks))
        precision, weighted = self.encoder.total(x, mask)
        start = prior(len(mask), self.config.latent_dim, self.device)
        return start.update(precision, weighted).bounded()

    def draw_tasks(self) -> tuple[Tensor, Tensor]:
        """Slots (n,) of a batch, and a mask (n,) of those whose contexts train the encoder."""
        newest = self.config.context_tasks
        n = self.config.sac.meta_batch
        if newest is None:
            slots = self.replay.tasks(n, self.generator)
            return slots, torch.ones_like(slots, dtype=torch.bool)
        recent = self.replay.tasks(n // 2, self.generator, newest)
        others = self.replay.tasks(n - n // 2, self.generator)
        slots = torch.cat([recent, others])
        return slots, self.replay.age(slots) < newest

    def losses(self) -> dict[str, Tensor]:
        """The losses of a random batch; those of actor and temperature do not train the encoder."""
        c = self.config.sac
        g = self.generator
        slots, is_recent = self.draw_tasks()
        context, mask = self.contexts(slots)
        ticks = self.replay.transitions(slots, c.batch_per_task, g)
        stored = Varied(context, ticks, self.replay.task[slots])
        shares = (self.config.hindsight_share, self.config.gain_std)
        context, ticks, task = vary_tasks(self.problem, stored, *shares, g)
        dense = with_training_reward(self.problem, context, task[:, None])
        posterior = self.posterior(dense, mask)
        kl = posterior.kl()
        z = self.draw(posterior).z
        losses = {}
        if self.problem.training_reward is not None:
            losses["prediction"] = self.prediction_loss(context, mask, z)
        kl = kl.where(is_recent, kl.detach())
        losses["kl"] = self.config.kl_weight * kl.mean()

        z = z.where(is_recent[:, None], z.detach())
        z = z.repeat_interleave(c.batch_per_task, 0)
        ticks = with_training_reward(self.problem, ticks, task[:, None])
        if self.exchange is not None:
            compare = partial(compare_evidence, self.encoder, self.context_norm, ticks, dense, mask)
            ticks, z = self.exchange.mix(ticks, z, compare)
        batch = relabel_goals(ticks.flatten(0, 1), self.problem, g)
        return losses | self.losses_given_z(batch, z)

    def prediction_loss(self, context: Transition, mask: Tensor, z: Tensor) -> Tensor:
        """How badly beliefs from the true reward predict the z (n, l) from the training reward."""
        posterior = self.posterior(context, mask)
        surprise = posterior.surprise(z.detach())
        return self.config.prediction_weight * surprise.mean()

    def losses_given_z(self, batch: Transition, z: Tensor) -> dict[str, Tensor]:
        """Those of critics, actor and temperature on transitions (b, ...) under z (b, l)."""
        c = self.config.sac
        x = self.features(batch.obs, z)
        next_x = self.features(batch.next_obs, z)
        actor, log_prob = actor_loss(self.sac, x, self.generator)
        target_entropy = c.target_entropy * self.problem.action_dim
        return {
            "critic": critic_loss(self.sac, batch, x, next_x, c, self.generator),
            "actor": actor,
            "temperature": temperature_loss(self.sac, log_prob, target_entropy),
        }

    def step(self) -> dict[str, Tensor]:
        """One gradient step on encoder, actor, critics and temperature."""
        log = minimize(self.optimizer, self.losses())
        self.sac.update_targets(self.config.sac)
        polyak_update(self.ema_encoder, self.encoder, self.config.sac.ema_rate)
        return log | exchange_log(self.exchange)
