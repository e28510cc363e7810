"""Distillation: a student with a memory of the trial imitates a teacher that knows the task.

Training has two phases:

1. The teacher, the method ``oracle``, acts and learns by soft actor-critic under the true task.
2. The student acts: a policy that reads the observation and a recurrent memory of all transitions
   of the trial. At every tick of its own trials it learns the action that the teacher would take
   there (DAgger, Ross et al. 2011; RAPTOR distills many teachers into one recurrent student in this
   way, Eschmann et al. 2025). As DAgger does, it begins with trials of the teacher: the last ones.
   The teacher is not trained any more.

Evaluation and deployment use the student, which never reads the task. A training that ends within
the first phase has no student. The teacher knows the task and does not explore, so the student does
not learn to explore. The method suits tasks that ordinary acting reveals.

RAPTOR trains a teacher for each of a thousand tasks; here one teacher reads the task's parameters.
``rma`` applies the same idea to another quantity: its student predicts the latent that the
teacher's policy reads; the student here predicts the action itself.
Axes: T ticks of a segment, n worlds, b trials of a batch, o observation, a action, h memory.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from policies.belief import where
from policies.method import Problem, Transition, TrialBatch
from policies.methods.oracle import Oracle
from policies.models.posterior import context_dim, context_features
from policies.nn.memory import GruMemory
from policies.nn.networks import mlp
from policies.nn.noise import standard_normal
from policies.nn.normalizer import RunningNormalizer
from policies.nn.repeat import minimize, repeat, repeatable_adam
from policies.nn.state import SavedState, make_generator
from policies.phases import PhaseProgress, TeacherConfig, TwoPhases
from policies.ranges import Count, NonNegative, Positive, PositiveShare, Width
from policies.rl.ppo import masked_mean
from policies.rl.replay import LearnsFromReplay
from policies.rl.sac import copy_statistics, polyak_update
from policies.rl.sac_learner import FixedBelief


@dataclass(frozen=True)
class DistillConfig(TeacherConfig):
    """Settings of the student, and of the teacher's soft actor-critic."""

    memory_size: Width = 64  # units of the student's GRU; RAPTOR has 16
    hidden: Width = 64  # units of the layer between memory and action
    student_lr: Positive = 1e-3  # learning rate of the student (RAPTOR)
    ema_rate: PositiveShare = 0.005  # step of the averaged student, the one that acts
    student_trials: Count = 32  # trials in a batch of the student
    segment: Count = 128  # T, ticks of each trial; of a longer trial a random segment
    exploration_std: NonNegative = 0.1  # std of the noise on the student's exploring actions


@dataclass(frozen=True)
class DistillBelief:
    """The student's memory."""

    hidden: Tensor  # (n, h) of its GRU


Belief = DistillBelief | FixedBelief  # of the student, or of the teacher


class Student(nn.Module):
    """A GRU over transitions, and a policy that reads it and the observation."""

    def __init__(self, problem: Problem, config: DistillConfig, generator: torch.Generator) -> None:
        """Draw the weights with the generator, on its device."""
        super().__init__()
        columns = context_dim(problem.obs_dim, problem.action_dim)
        self.obs_norm = RunningNormalizer(problem.obs_dim, generator.device)
        self.row_norm = RunningNormalizer(columns, generator.device)
        self.memory = GruMemory(columns, config.memory_size, generator)
        features = config.memory_size + problem.obs_dim
        self.actor = mlp([features, config.hidden, problem.action_dim], generator)

    def update(self, ticks: Transition) -> None:
        """Add transitions (b, ...) to the statistics of the normalizers."""
        self.obs_norm.update(ticks.obs)
        self.row_norm.update(context_features(ticks))

    def act(self, hidden: Tensor, obs: Tensor) -> Tensor:
        """Actions (..., a) under memories (..., h), for observations (..., o)."""
        x = torch.cat([hidden, self.obs_norm(obs)], -1)
        return torch.tanh(self.actor(x))

    def read(self, hidden: Tensor, tick: Transition) -> Tensor:
        """The memory (n, h) after one more transition."""
        row = self.row_norm(context_features(tick))
        hidden, _ = self.memory.step(row, hidden)
        return hidden

    def act_along(self, ticks: Transition) -> Tensor:
        """Actions (b, T, a) at each tick of segments (b, T, ...), remembering the earlier ticks."""
        rows = self.row_norm(context_features(ticks))
        hidden = self.memory.scan_before(rows.transpose(0, 1))
        return self.act(hidden.transpose(0, 1), ticks.obs)


class Distill(SavedState, LearnsFromReplay, TwoPhases):
    """Acts by the student; every tick updates its memory, nothing happens between episodes."""

    Config = DistillConfig
    config: DistillConfig
    privileged = False
    saved_attributes = ("teacher", "net", "progress", "optimizer", "generator")

    def __init__(
        self,
        problem: Problem,
        config: DistillConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.teacher = Oracle(problem, config.sac, seed + 1, device).learner
        self.replay = self.teacher.replay
        self.progress = PhaseProgress()
        self.student = Student(problem, config, self.generator)
        self.ema_student = Student(problem, config, self.generator)  # the one that acts
        self.ema_student.requires_grad_(False)
        self.ema_student.load_state_dict(self.student.state_dict())
        self.net = nn.ModuleDict({"student": self.student, "ema_student": self.ema_student})
        group = {"params": self.student.parameters(), "lr": config.student_lr}
        self.optimizer = repeatable_adam([group], device)

    def prior(self, n: int, task: Tensor | None = None) -> DistillBelief:
        """An empty memory."""
        return DistillBelief(self.ema_student.memory.initial(n))

    def taught(self, task: Tensor) -> FixedBelief:
        """The teacher's belief: the true task."""
        return FixedBelief(self.teacher.condition(task))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Belief, explore: bool) -> Tensor:
        """Actions (n, a): the teacher's under the teacher's belief, otherwise the student's."""
        if isinstance(belief, FixedBelief):
            return self.teacher.act(obs, belief, explore)
        action = self.ema_student.act(belief.hidden, obs)
        if explore:
            noise = standard_normal(action.shape, self.generator)
            action = action + self.config.exploration_std * noise
        return action.clamp(-1, 1)

    @torch.no_grad()
    def observe(self, belief: DistillBelief, transition: Transition) -> DistillBelief:
        """The memory reads one more transition."""
        hidden = self.ema_student.read(belief.hidden, transition)
        return where(transition.valid, DistillBelief(hidden), belief)

    def adapt(self, belief: DistillBelief, episode: Transition) -> DistillBelief:
        """The same belief."""
        return belief

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train teacher or student; means over the gradient steps."""
        collected_by_teacher = self.progress.collected_by_teacher(self.config)
        self.progress.iterations += 1
        self.student.update(trial.ticks[trial.ticks.valid])
        copy_statistics(self.ema_student, self.student)
        if collected_by_teacher:
            log = self.teacher.learn(trial)
            self.progress.teacher_tasks = self.replay.added
            return log
        self.replay.add(trial)
        return repeat(self.step, self.config.gradient_steps, self.generator)

    def loss(self) -> Tensor:
        """Squared distance to the teacher's action, in segments of trials.

        They are the student's own, and those that the teacher collected in its last iteration.
        """
        c = self.config
        own = self.replay.added - self.progress.teacher_tasks
        newest = own + self.schedule.meta_batch
        slots = self.replay.tasks(c.student_trials, self.generator, newest)
        stored, exists, _ = self.replay.segments(slots, c.segment, self.generator)
        known = self.teacher.condition(self.replay.task[slots])
        target = self.teacher_actions(stored.obs, known)
        action = self.student.act_along(stored)
        error = (action - target).square().sum(-1)
        return masked_mean(error, exists)

    @torch.no_grad()
    def teacher_actions(self, obs: Tensor, known: Tensor) -> Tensor:
        """The teacher's mean actions (b, T, a) at observations (b, T, o) of known tasks (b, l)."""
        ticks = obs.shape[1]
        rows = obs.flatten(0, 1)
        belief = FixedBelief(known.repeat_interleave(ticks, 0))
        action = self.teacher.act(rows, belief, explore=False)
        by_trial: Tensor = action.unflatten(0, (-1, ticks))
        return by_trial

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the student."""
        log = minimize(self.optimizer, {"student": self.loss()})
        polyak_update(self.ema_student, self.student, self.config.ema_rate)
        return log

    def state_without_replay(self) -> dict[str, Any]:
        """The state with an empty replay, which is the teacher's."""
        return {**self.state_dict(), "teacher": self.teacher.state_without_replay()}
