"""Distillation: a teacher that knows the task is imitated by a student that remembers the trial.

Training has two phases:

1. The teacher, the method ``oracle``, acts and learns by soft actor-critic under the true task.
2. The student acts, a small recurrent network that reads the trial as RL² does. At every tick of
   its own trials it learns the action that the teacher would take there (DAgger, Ross et al. 2011;
   of teachers into one recurrent student, as RAPTOR does, Eschmann et al. 2025). The teacher is not
   trained any more.

What is judged, and what acts on an arm, is the student: it never reads the task. A training that
ends within the first phase has no student. Where the teacher needs no exploration because it knows
the task, the student learns none: it suits tasks that show themselves while one acts.

RAPTOR trains a teacher for each of a thousand tasks; here one teacher reads the task's parameters.
``rma`` is the same idea with the student at another place: there it predicts what the teacher's
policy reads, here the action itself.
Axes: T ticks of a segment, n worlds, b trials of a batch, o observation, a action, h memory.
"""

from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor, nn

from policies.config import MethodConfig
from policies.method import CollectionSchedule, Problem, Taught, TrialBatch
from policies.methods.oracle import Oracle
from policies.methods.rl2 import RemembersTrials, Rl2Belief, Rl2Encoder
from policies.nn.memory import GruMemory
from policies.nn.networks import mlp
from policies.nn.noise import standard_normal
from policies.nn.repeat import repeat, repeatable_adam
from policies.nn.state import SavedState, make_generator
from policies.phases import PhaseProgress
from policies.ranges import Count, LargeCount, NonNegative, Positive, Width
from policies.rl.ppo import masked_mean
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import SacConfig
from policies.rl.sac_learner import FixedBelief


@dataclass(frozen=True)
class DistillConfig(MethodConfig):
    """Settings of the student, and of the teacher's soft actor-critic."""

    sac: SacConfig = field(default_factory=SacConfig)
    teacher_iterations: LargeCount = 40  # of the first phase; the student's are the others
    memory_size: Width = 64  # units of the student's GRU; RAPTOR has 16
    hidden: Width = 64  # units of the layer between memory and action
    student_lr: Positive = 1e-3  # learning rate of the student (RAPTOR)
    student_trials: Count = 32  # trials in a batch of the student
    segment: Count = 128  # T, ticks of each of them; a longer trial is cut at a random place
    exploration_std: NonNegative = 0.1  # of the noise on the student's exploring actions

    @property
    def schedule(self) -> CollectionSchedule:
        """That of soft actor-critic, for both phases together."""
        return self.sac.schedule

    @property
    def gradient_steps(self) -> int:
        """That of soft actor-critic; the student takes as many in the second phase."""
        return self.sac.gradient_steps

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Two thirds of the iterations are the teacher's; the rest as soft actor-critic's."""
        sac = SacConfig.for_problem(problem)
        iterations = sac.schedule.iterations
        return cls(sac=sac, teacher_iterations=max(1, 2 * iterations // 3))


Belief = Rl2Belief[Tensor] | FixedBelief  # the student's memory, or the task that a teacher knows


class Distill(RemembersTrials[Tensor], SavedState, LearnsFromReplay, Taught[Any]):
    """Acts by the student."""

    Config = DistillConfig
    saved_attributes = ("teacher", "net", "progress", "optimizer", "generator")

    def __init__(
        self,
        problem: Problem,
        config: DistillConfig,
        seed: int,
        device: torch.device,
        replay: Replay | None = None,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.teacher = Oracle(problem, config.sac, seed, device, replay).learner
        self.replay = self.teacher.replay
        self.progress = PhaseProgress()
        actions = problem.action_dim
        memory = GruMemory(problem.obs_dim + actions + 2, config.memory_size, self.generator)
        self.encoder = Rl2Encoder(problem.obs_dim, memory, device)
        features = config.memory_size + problem.obs_dim
        self.actor = mlp([features, config.hidden, actions], self.generator)
        self.net = nn.ModuleDict({"encoder": self.encoder, "actor": self.actor})
        group = {"params": self.net.parameters(), "lr": config.student_lr}
        self.optimizer = repeatable_adam([group], device)

    @property
    def is_taught(self) -> bool:
        """Whether training is in its first phase."""
        return self.progress.iterations < self.config.teacher_iterations

    def taught(self, task: Tensor) -> FixedBelief:
        """What the teacher knows of the true task."""
        return FixedBelief(self.teacher.condition(task))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Belief, explore: bool) -> Tensor:
        """Actions (n, a): the teacher's under what it knows, otherwise the student's."""
        if isinstance(belief, FixedBelief):
            return self.teacher.act(obs, belief, explore)
        x, _ = self.encoder.step(obs, belief)
        action = torch.tanh(self.actor(x))
        if explore:
            noise = standard_normal(action.shape, self.generator)
            action = action + self.config.exploration_std * noise
        return action.clamp(-1, 1)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train teacher or student; means over the gradient steps."""
        is_taught = self.is_taught
        self.progress.iterations += 1
        self.encoder.update(trial.ticks[trial.ticks.valid])
        if is_taught:
            log = self.teacher.learn(trial)
            self.progress.teacher_tasks = self.replay.added
            return log
        self.replay.add(trial)
        return repeat(self.step, self.config.gradient_steps, self.generator)

    def loss(self) -> Tensor:
        """Squared distance from the teacher's action, in segments of the student's own trials."""
        c = self.config
        own = self.replay.added - self.progress.teacher_tasks
        slots = self.replay.tasks(c.student_trials, self.generator, newest=own)
        stored, exists = self.replay.segments(slots, c.segment, self.generator)
        known = self.teacher.condition(self.replay.task[slots])
        wanted = self.wanted(stored.obs, known).transpose(0, 1)  # (T, b, a)
        found = torch.tanh(self.actor(self.encoder(stored.transpose(0, 1))))
        error = (found - wanted).square().sum(-1)
        return masked_mean(error, exists.T)

    @torch.no_grad()
    def wanted(self, obs: Tensor, known: Tensor) -> Tensor:
        """The teacher's mean actions (b, T, a) at observations (b, T, o) of known tasks (b, l)."""
        z = known[:, None].expand(-1, obs.shape[1], -1)
        rows = FixedBelief(z.flatten(0, 1))
        action = self.teacher.act(obs.flatten(0, 1), rows, explore=False)
        wanted: Tensor = action.unflatten(0, obs.shape[:2])
        return wanted

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the student."""
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"student": loss.detach()}

    def state_without_replay(self) -> dict[str, Any]:
        """The state with an empty replay, which is the teacher's."""
        return {**self.state_dict(), "teacher": self.teacher.state_without_replay()}
