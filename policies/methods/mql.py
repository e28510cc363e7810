"""Meta-Q-learning (MQL, Fakoor et al. 2020): a context in training, propensities at test.

Training: a GRU reads the trial tick by tick, rewards included; actor and critics read its state,
the context. They learn from the replay of all training tasks at once. The losses of both train the
GRU. Test: after every episode, each world takes gradient steps on a copy of the trained weights:

1. on the transitions of its own task;
2. on transitions of the training tasks, each weighted by its propensity, the ratio of its density
   in the new task to that in training, by logistic regression on the contexts.

Both have the proximal penalty (1 - ESS) · |θ - θ_trained|², where ESS is the effective share of the
weighted transitions: the less the training resembles the task, the less the weights may move.

It differs from the paper: soft actor-critic takes the place of TD3; the GRU reads up to ``segment``
ticks in training and the whole trial when it acts, instead of a short window; its weights stay
fixed at test; and step 2 uses a sample of the replay, which is saved with the weights.
Axes: T ticks of a segment, n worlds, b rows, m rows of the sample, k features, h context.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Self

import torch
from torch import Tensor, nn

from policies.belief import map_tensors
from policies.method import (
    CollectsOtherwise,
    Problem,
    Transition,
    TrialBatch,
    stack,
    with_training_reward,
)
from policies.methods.rl2 import RemembersTrials, Rl2Belief, Rl2Encoder
from policies.methods.rl2_transformer import MAX_WINDOW, WindowLength
from policies.nn.memory import EmbeddingGru
from policies.nn.repeat import minimize, repeat, repeatable_adam, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.ranges import Positive, Width
from policies.rl import own_transitions, stacked_sac
from policies.rl.exchange import Comparison, ReplayMethodConfig, exchange_log
from policies.rl.propensity_tuning import Reference, Tuning, TuningConfig, draw
from policies.rl.remind import make_exchange
from policies.rl.replay import LearnsFromReplay, Replay, random_rows
from policies.rl.sac import (
    Sac,
    SacConfig,
    actor_loss,
    copy_statistics,
    critic_loss,
    polyak_update,
    temperature_loss,
)
from policies.rl.stacked_sac import StackedSac

Context = Rl2Belief[Tensor]


@dataclass(frozen=True)
class MqlConfig(ReplayMethodConfig):
    """Settings of the context, the adaptation, and soft actor-critic."""

    memory_size: Width = 32  # h, units of the GRU; the paper has 15 to 40
    encoder_lr: Positive = 1e-3  # learning rate of the GRU
    segment: WindowLength = 60  # T, ticks that the GRU reads in training; the paper has 10 to 40
    tuning: TuningConfig = field(default_factory=TuningConfig)  # steps on a new task

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Segments are trials, as far as memory allows; the rest as for soft actor-critic."""
        segment = min(MAX_WINDOW, problem.episodes * problem.horizon)
        return cls(sac=SacConfig.for_problem(problem), segment=segment)


@dataclass(frozen=True)
class MqlBelief:
    """The context and the networks of each world, and the transitions that adapt them."""

    context: Context
    start: Context  # at the begin of the episode
    nets: StackedSac
    transitions: Transition  # (n, L, ...) of the task, with features (k) as observations
    count: Tensor  # (n,) transitions ever stored


class ContextPolicy(RemembersTrials[Tensor]):
    """The trained networks under a context: what collects the training trials."""

    def __init__(self, problem: Problem, encoder: Rl2Encoder[Tensor], mql: "Mql") -> None:
        self.problem = problem
        self.encoder = encoder
        self.device = mql.device
        self.mql = mql

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Context, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy, or its mean."""
        x, _ = self.encoder.step(obs, belief)
        return self.mql.sac.act(x, self.mql.generator if explore else None)


class Mql(SavedState, LearnsFromReplay, CollectsOtherwise):
    """The averaged copies of GRU and actor act; ``adapt`` tunes the networks of each world."""

    Config = MqlConfig
    privileged = False
    saved_attributes = ("net", "optimizer", "exchange", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: MqlConfig,
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
        self.trained_encoder = self._make_encoder()
        self.encoder = self._make_encoder()
        self.encoder.requires_grad_(False)
        self.encoder.load_state_dict(self.trained_encoder.state_dict())
        features = config.memory_size + problem.obs_dim
        self.sac = Sac(features, problem.action_dim, sac, self.generator)
        rows = own_transitions.no_transitions(problem, 1, features, device)
        room = torch.zeros(config.tuning.reference_size, dtype=torch.int64, device=device)
        self.reference = Reference(rows[0, room])
        self.net = nn.ModuleDict(
            {
                "trained_encoder": self.trained_encoder,
                "encoder": self.encoder,
                "sac": self.sac,
                "reference": self.reference,
            }
        )
        groups = [
            {"params": [p for p in self.sac.parameters() if p.requires_grad], "lr": sac.lr},
            {"params": self.trained_encoder.parameters(), "lr": config.encoder_lr},
        ]
        self.optimizer = repeatable_adam(groups, device)
        self.exchange = make_exchange(config.replay, problem, config.memory_size, self.generator)
        self.policy = ContextPolicy(problem, self.encoder, self)

    def _make_encoder(self) -> Rl2Encoder[Tensor]:
        p = self.problem
        memory = EmbeddingGru(p.obs_dim + p.action_dim + 2, self.config.memory_size, self.generator)
        return Rl2Encoder(p.obs_dim, memory, self.device)

    @property
    def collector(self) -> ContextPolicy:
        """The trained networks: no gradient steps within a training trial, as in the paper."""
        return self.policy

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> MqlBelief:
        """The trained networks in every world, an empty context, and no experience."""
        context = self.policy.prior(n)
        features = self.config.memory_size + self.problem.obs_dim
        return MqlBelief(
            context=context,
            start=context,
            nets=stacked_sac.stack_sac(self.sac, n),
            transitions=own_transitions.no_transitions(self.problem, n, features, self.device),
            count=torch.zeros(n, dtype=torch.int64, device=self.device),
        )

    @torch.no_grad()
    def act(self, obs: Tensor, belief: MqlBelief, explore: bool) -> Tensor:
        """A sample of the world's own policy under its context, or its mean."""
        x, _ = self.encoder.step(obs, belief.context)
        generator = self.generator if explore else None
        return stacked_sac.act(belief.nets, x, generator)

    def observe(self, belief: MqlBelief, transition: Transition) -> MqlBelief:
        """The context after one more tick."""
        return replace(belief, context=self.policy.observe(belief.context, transition))

    @torch.no_grad()
    def adapt(self, belief: MqlBelief, episode: Transition) -> MqlBelief:
        """Store the episode, and tune the trained networks for each world's own task."""
        ticks = self.with_context(belief.start, episode).transpose(0, 1)
        transitions, count = own_transitions.store(belief.transitions, belief.count, ticks)
        context = self.policy.adapt(belief.context, episode)
        tuning = self.tuning()
        draws = draw(self.config.tuning, self.problem.action_dim, self.generator)
        tuned = []
        for start in range(0, len(count), own_transitions.BLOCK):
            own = own_transitions.block(transitions, start)
            own_count = own_transitions.block(count, start)
            tuned.append(tuning.tune(own, own_count, draws))
        nets = map_tensors(own_transitions.joined, *tuned)
        return MqlBelief(context, context, nets, transitions, count)

    def tuning(self) -> Tuning:
        """The steps on a new task, from the present weights."""
        c = self.config
        return Tuning(
            trained=stacked_sac.stack_sac(self.sac, 1),
            alpha=self.sac.log_alpha.detach().exp(),
            reference=self.reference.rows,
            context=c.memory_size,
            config=c.tuning,
            sac=c.sac,
        )

    def with_context(self, context: Context, episode: Transition) -> Transition:
        """An episode (H, n, ...) with features (k) as observations, from the context before it."""
        ticks = []
        for t in range(len(episode.reward)):
            tick = episode[t]
            x, _ = self.encoder.step(tick.obs, context)
            context = self.policy.observe(context, tick)
            next_x, _ = self.encoder.step(tick.next_obs, context)
            ticks.append(replace(tick, obs=x, next_obs=next_x))
        return stack(ticks)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train on the replay; returns means over the gradient steps."""
        self.trained_encoder.update(self.replay.add(trial))
        copy_statistics(self.encoder, self.trained_encoder)
        c = self.config
        share = c.sac.lr_share(steps_taken(self.optimizer))
        set_learning_rates(self.optimizer, share, (c.sac.lr, c.encoder_lr))
        log = repeat(self.step, c.sac.gradient_steps, self.generator)
        self._fill_reference()
        return log

    def draw_segments(self, tasks: int) -> tuple[Transition, Tensor]:
        """Segments (T, b, ...) of random tasks, and a mask (T, b) of the ticks that exist."""
        slots = self.replay.tasks(tasks, self.generator)
        ticks, exists, _ = self.replay.segments(slots, self.config.segment, self.generator)
        ticks = with_training_reward(self.problem, ticks, self.replay.task[slots][:, None])
        return ticks.transpose(0, 1), exists.T

    @torch.no_grad()
    def _fill_reference(self) -> None:
        """Draw the sample of the training tasks anew, with the contexts of the present GRU."""
        c = self.config
        size = c.tuning.reference_size
        each = c.sac.batch_per_task
        ticks, exists = self.draw_segments(ceil(size / each))
        rows = random_rows(exists, each, self.generator)
        chosen = ticks[rows]
        x = self.encoder(ticks)[rows]
        context = x[..., : c.memory_size]
        next_x = self.encoder.after(context, chosen)
        with_features = replace(chosen, obs=x, next_obs=next_x).flatten(0, 1)
        self.reference.fill(with_features[:size])

    def losses(self) -> dict[str, Tensor]:
        """The losses of a random batch; those of critics and actor train the GRU as well."""
        c = self.config.sac
        g = self.generator
        ticks, exists = self.draw_segments(c.meta_batch)
        rows = random_rows(exists, c.batch_per_task, g)
        encoded = self.trained_encoder(ticks)
        x = encoded[rows]
        batch = ticks[rows]
        if self.exchange is not None:
            compare = partial(self.compare, ticks, exists, rows)
            context = x[..., : self.config.memory_size]
            batch, context = self.exchange.mix(batch, context, compare)
            x = torch.cat([context, self.trained_encoder.obs_norm(batch.obs)], -1)
        with torch.no_grad():
            memory = self.encoder(ticks)[rows][..., : self.config.memory_size]
            next_x = self.encoder.after(memory, batch)
        actor, log_prob = actor_loss(self.sac, x, g, trains_features=True)
        target_entropy = c.target_entropy * self.problem.action_dim
        critic = critic_loss(self.sac, batch, x, next_x, c, g)
        temperature = temperature_loss(self.sac, log_prob, target_entropy)
        return {"critic": critic, "actor": actor, "temperature": temperature}

    @torch.no_grad()
    def compare(self, ticks: Transition, exists: Tensor, rows: tuple[Tensor, Tensor]) -> Comparison:
        """The contexts after segments' ticks (T, b, ...), and those of chosen rows of them."""
        size = self.config.memory_size
        context = self.encoder(ticks)[..., :size]
        after = self.encoder.after(context, ticks)[..., :size]
        return Comparison(after[rows], after.transpose(0, 1), exists.T)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on GRU, actor, critics and temperature."""
        c = self.config.sac
        log = minimize(self.optimizer, self.losses())
        self.sac.update_targets(c)
        polyak_update(self.encoder, self.trained_encoder, c.ema_rate)
        return log | exchange_log(self.exchange)
