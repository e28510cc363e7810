"""RMA (Kumar et al. 2021): the policy reads the task in training; a student infers it from history.

Training has two phases:

1. A teacher acts. An encoder maps the true task parameters to a latent z, and soft actor-critic
   learns a policy that reads it. The critics' loss trains the encoder too.
2. The student acts: the same policy with the z that a network computes from the newest transitions.
   That network learns to predict the encoder's z of the true task. It learns from the student's own
   trials, which contain the situations that its own mistakes lead to. Policy, critics and encoder
   are not trained any more.

Evaluation and deployment use the student, which never reads the task and is not trained any more.
A training that ends within the first phase has no trained student.

Differences from the paper:

- Soft actor-critic where it has PPO, so the critics' loss trains the encoder, as in PEARL.
- A row of the history is a whole transition with its reward, because only the reward depends on a
  hidden goal; the paper's has state and action. Transitions of earlier episodes of the trial stay
  in the history, and rows from before the trial are marked as missing.
- The student learns from all of its trials (DAgger, Ross et al. 2011), not from the newest alone.
- Slow copies (exponential moving averages) of actor and encoder act in the first phase, and the
  second phase uses them.
- The student is evaluated at every tick; the paper's runs at a tenth of the policy's rate.

Axes: n worlds or tasks, b transitions, K rows of a history, c columns of a row, l latent.
"""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from policies.belief import where
from policies.method import (
    Problem,
    Transition,
    TrialBatch,
    with_training_reward,
)
from policies.models.particles import HiddenParameters
from policies.models.posterior import context_dim, context_features
from policies.nn.flat_mlp import FlatMlp
from policies.nn.history_encoder import SHORTEST_HISTORY, HistoryEncoder
from policies.nn.noise import uniform
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeat, repeatable_adam, set_learning_rates
from policies.nn.state import SavedState, make_generator
from policies.phases import PhaseProgress, TeacherConfig, TwoPhases
from policies.ranges import Count, LayerWidths, Positive, Width
from policies.rl.relabel import relabel_goals
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import Sac, polyak_update, sac_losses
from robots.errors import BadArgumentError

# Numbers of rows for which the convolutions read every row, see ``HistoryEncoder``.
HistoryLength = Annotated[int, Meta(ge=SHORTEST_HISTORY, le=1000, multiple_of=4)]


@dataclass(frozen=True)
class RmaConfig(TeacherConfig):
    """Settings of the encoder and the student, and of soft actor-critic."""

    latent_dim: Width = 8  # l, numbers by which the policy knows a task (RMA)
    encoder_hidden: LayerWidths = (64, 64)  # layer widths of the encoder; RMA has 256 and 128
    encoder_lr: Positive = 1e-3  # learning rate of the encoder, as of the critics that train it
    # K, newest transitions that the student reads; RMA has 50, of which its convolutions read 48
    history: HistoryLength = 48
    channels: Width = 32  # of the student's layers (RMA)
    student_lr: Positive = 1e-3  # learning rate of the student; RMA has 5e-4, for more steps
    student_batch: Count = 256  # histories in a batch; RMA has 20,000, for fewer steps


@dataclass(frozen=True)
class RmaBelief:
    """The newest transitions, and the student's z of them."""

    history: Tensor  # (n, K, c) the newest row last
    z: Tensor  # (n, l)


class Rma(SavedState, LearnsFromReplay, TwoPhases):
    """Acts under the student's z, which every tick updates; nothing happens between episodes."""

    Config = RmaConfig
    config: RmaConfig
    privileged = False
    saved_attributes = ("net", "progress", "optimizer", "replay", "generator")

    def __init__(
        self,
        problem: Problem,
        config: RmaConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        """Build it; BadArgumentError if the family has no hidden parameter."""
        sac = config.sac
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(sac.buffer_tasks, device)
        self.progress = PhaseProgress()

        row_columns = context_dim(problem.obs_dim, problem.action_dim)
        self.obs_norm = RunningNormalizer(problem.obs_dim, device)
        self.row_norm = RunningNormalizer(row_columns, device)
        self.task_parameters = HiddenParameters(problem, device)
        if len(self.task_parameters) == 0:
            raise BadArgumentError(f"no parameter of {problem.family} is hidden: nothing to infer")
        sizes = [len(self.task_parameters), *config.encoder_hidden, config.latent_dim]
        self.encoder = FlatMlp(sizes, self.generator)
        self.ema_encoder = deepcopy(self.encoder).requires_grad_(False)
        self.sac = Sac(problem.obs_dim + config.latent_dim, problem.action_dim, sac, self.generator)
        self.student = HistoryEncoder(
            row_columns + 1, config.history, config.channels, config.latent_dim, self.generator
        )
        self.net = nn.ModuleDict(
            {
                "obs_norm": self.obs_norm,
                "row_norm": self.row_norm,
                "encoder": self.encoder,
                "ema_encoder": self.ema_encoder,
                "sac": self.sac,
                "student": self.student,
            }
        )
        policy = [p for p in self.sac.parameters() if p.requires_grad]
        groups = [
            {"params": policy, "lr": sac.lr},
            {"params": self.encoder.parameters(), "lr": config.encoder_lr},
            {"params": self.student.parameters(), "lr": config.student_lr},
        ]
        self.optimizer = repeatable_adam(groups, device)

    @torch.no_grad()
    def prior(self, n: int, task: Tensor | None = None) -> RmaBelief:
        """An empty history, and the student's z of it."""
        columns = self.student.embed.in_features
        history = torch.zeros(n, self.config.history, columns, device=self.device)
        return RmaBelief(history, self.student(history))

    def act(self, obs: Tensor, belief: RmaBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy under z, or its mean."""
        x = self.features(obs, belief.z)
        return self.sac.act(x, self.generator if explore else None)

    @torch.no_grad()
    def observe(self, belief: RmaBelief, transition: Transition) -> RmaBelief:
        """Append a row, drop the oldest, and compute the student's z."""
        exists = torch.ones_like(transition.valid)
        row = self.rows(transition, exists)
        newest = belief.history[:, 1:]
        history = torch.cat([newest, row[:, None]], 1)
        after = RmaBelief(history, self.student(history))
        return where(transition.valid, after, belief)

    def adapt(self, belief: RmaBelief, episode: Transition) -> RmaBelief:
        """The same belief."""
        return belief

    @torch.no_grad()
    def taught(self, task: Tensor) -> RmaBelief:
        """The encoder's z of the true task; the history stays empty."""
        unseen = self.prior(len(task))
        known = self.task_parameters.encode(task)
        return replace(unseen, z=self.ema_encoder(known))

    def rows(self, ticks: Transition, exists: Tensor) -> Tensor:
        """Rows (..., c) of transitions: normalized, and 1; zeros where they do not exist."""
        known = exists.float()[..., None]
        row = self.row_norm(context_features(ticks)) * known
        return torch.cat([row, known], -1)

    def features(self, obs: Tensor, z: Tensor) -> Tensor:
        """The input of actor and critics, (..., o + l)."""
        return torch.cat([self.obs_norm(obs), z], -1)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train teacher or student; means over the gradient steps."""
        c = self.config
        new = self.replay.add(trial)
        self.row_norm.update(context_features(new))
        collected_by_teacher = self.progress.collected_by_teacher(self.config)
        share = c.sac.lr_share(self.progress.iterations * c.gradient_steps)
        self.progress.iterations += 1
        set_learning_rates(self.optimizer, share, (c.sac.lr, c.encoder_lr, c.student_lr))
        if not collected_by_teacher:
            return repeat(self.student_step, c.gradient_steps, self.generator)
        self.progress.teacher_tasks = self.replay.added
        self.obs_norm.update(new.obs)
        return repeat(self.teacher_step, c.gradient_steps, self.generator)

    def teacher_losses(self) -> dict[str, Tensor]:
        """Soft actor-critic's losses on a random batch; the critics' loss trains the encoder."""
        c = self.config.sac
        g = self.generator
        slots = self.replay.tasks(c.meta_batch, g)
        task = self.replay.task[slots]
        stored = self.replay.transitions(slots, c.batch_per_task, g)
        ticks = with_training_reward(self.problem, stored, task[:, None])
        rows = ticks.flatten(0, 1)
        batch = relabel_goals(rows, self.problem, g)
        known = self.task_parameters.encode(task)
        z_of_task = self.encoder(known)
        z = z_of_task.repeat_interleave(c.batch_per_task, 0)
        x = self.features(batch.obs, z)
        next_x = self.features(batch.next_obs, z)
        return sac_losses(self.sac, batch, x, next_x, c, g)

    def teacher_step(self) -> dict[str, Tensor]:
        """One gradient step on encoder, actor, critics and temperature."""
        log = minimize(self.optimizer, self.teacher_losses())
        self.sac.update_targets(self.config.sac)
        polyak_update(self.ema_encoder, self.encoder, self.config.sac.ema_rate)
        return log

    def student_loss(self) -> Tensor:
        """Squared distance to the z of the true task, at random ticks of the student's trials."""
        c = self.config
        g = self.generator
        newest = self.replay.added - self.progress.teacher_tasks
        slots = self.replay.tasks(c.student_batch, g, newest)
        share = uniform((c.student_batch,), g)
        length = self.replay.length[slots]
        end = (share * length).long()
        ticks, exists = self.replay.history(slots, end, c.history)
        rows = self.rows(ticks, exists)
        z = self.student(rows)
        task = self.replay.task[slots]
        known = self.task_parameters.encode(task)
        with torch.no_grad():
            target = self.ema_encoder(known)
        error: Tensor = z - target
        return error.square().sum(-1).mean()

    def student_step(self) -> dict[str, Tensor]:
        """One gradient step on the student."""
        return minimize(self.optimizer, {"student": self.student_loss()})
