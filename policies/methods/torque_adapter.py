"""One adapter for many policies, after TAM (Son et al. 2026, arXiv 2606.06218).

TAM, a torque adaptation module, stands between a policy's controller and the robot's torques. A
network reads the history of joint measurements, and a residual torque makes the robot move as an
ideal one would. The policy knows nothing of it and is not trained with varied dynamics. The module
is trained in simulation, where the true dynamics are known, and then runs on measurements alone.

Here, too, the adapter (``policies.models.torque_adapter``) knows nothing of the policy: it takes a
command and gives the one that this plant needs. Training has two phases:

1. The base policy acts on all plants. It is soft actor-critic that reads the plant's parameters.
2. The base policy is fixed. It is given the *nominal* parameters, whatever the plant, and acts
   through the adapter, which learns from all trials so far.

Evaluation and deployment are those of the second phase, and never read the task.

Differences from the paper, of which abstract and summaries were available, not the losses:

- Actions of the families are target positions or velocities, not torques. So the residual is added
  to the action. Under a servo of stiffness k a torque τ at rest is the same as a target moved by
  τ/k; within a control period it is not, because the servo's gains stay as they are.
- The residual learns in hindsight from recorded motion, by an inverse model of all plants that
  reads their parameters. No second simulation of the ideal robot runs beside the first.
- The base policy is one that was trained on all plants, told that its plant is the nominal one; the
  paper's is any policy for the ideal robot. Only this method's training depends on that.
- One adapter is trained per arm and family. There is no pretraining on many robots.
- The history is a GRU over the trial and reads the family's observations, not joint torques.
- The nominal plant is given by rule: see ``policies.models.torque_adapter.Plant``.

A goal that is hidden is not part of the plant: the adapter cannot find it.

Axes: n worlds, b trials of a batch, o observation, a action, h memory, p plant parameters.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from policies.belief import where
from policies.method import Problem, Transition, TrialBatch
from policies.models.torque_adapter import Plant, TorqueAdapter
from policies.nn.noise import standard_normal
from policies.nn.repeat import minimize, repeat, repeatable_adam
from policies.nn.state import SavedState, make_generator
from policies.phases import PhaseProgress, TeacherConfig, TwoPhases
from policies.ranges import Count, LayerWidths, NonNegative, Positive, Width
from policies.rl.replay import LearnsFromReplay
from policies.rl.sac_learner import FixedBelief, SacLearner


@dataclass(frozen=True)
class TorqueAdapterConfig(TeacherConfig):
    """Settings of the adapter, and of the base policy's soft actor-critic; all are ours."""

    memory_size: Width = 64  # units of the GRU
    hidden: LayerWidths = (128, 128)  # layer widths of the inverse model and the residual
    adapter_lr: Positive = 1e-3  # learning rate of the adapter
    adapter_trials: Count = 32  # trials in a batch of the adapter
    segment: Count = 128  # ticks of each trial; of a longer trial a random segment
    exploration_std: NonNegative = 0.1  # std of the noise on exploring actions in the second phase


@dataclass(frozen=True)
class AdapterBelief:
    """What the adapter knows of the plant."""

    hidden: Tensor  # (n, h) of the GRU
    last: Tensor  # (n, a) the action that was applied last; 0 when an episode begins


Belief = AdapterBelief | FixedBelief  # of the adapter, or of the base policy in the first phase


class TorqueAdapterMethod(SavedState, LearnsFromReplay, TwoPhases):
    """Acts by a fixed policy through the adapter, whose memory every tick updates."""

    Config = TorqueAdapterConfig
    config: TorqueAdapterConfig
    privileged = False
    saved_attributes = ("base", "adapter", "progress", "optimizer", "generator")

    def __init__(
        self,
        problem: Problem,
        config: TorqueAdapterConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.progress = PhaseProgress()
        self.plant = Plant(problem, device)
        count = len(self.plant)
        self.base = SacLearner(
            problem,
            config.sac,
            seed + 1,
            device,
            condition=self.plant.scaled,
            condition_dim=count,
        )
        self.replay = self.base.replay
        self.adapter = TorqueAdapter(
            problem.obs_dim,
            problem.action_dim,
            count,
            config.memory_size,
            config.hidden,
            self.generator,
        )
        group = {"params": self.adapter.parameters(), "lr": config.adapter_lr}
        self.optimizer = repeatable_adam([group], device)

    def prior(self, n: int, task: Tensor | None = None) -> AdapterBelief:
        """An empty memory."""
        last = torch.zeros(n, self.problem.action_dim, device=self.device)
        return AdapterBelief(self.adapter.memory.initial(n), last)

    def taught(self, task: Tensor) -> FixedBelief:
        """The base policy's belief: the true plant."""
        return FixedBelief(self.plant.scaled(task))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: Belief, explore: bool) -> Tensor:
        """Actions (n, a): the base policy's, on a true plant or on the nominal one and adapted."""
        if isinstance(belief, FixedBelief):
            return self.base.act(obs, belief, explore)
        command = self.nominal_action(obs)
        action = self.adapter.adapted_command(belief.hidden, obs, belief.last, command)
        if explore:
            noise = standard_normal(action.shape, self.generator)
            action = action + self.config.exploration_std * noise
        return action.clamp(-1, 1)

    def nominal_action(self, obs: Tensor) -> Tensor:
        """What the base policy does on the nominal plant, (n, a)."""
        nominal = FixedBelief(self.plant.nominal.expand(len(obs), -1))
        return self.base.act(obs, nominal, explore=False)

    @torch.no_grad()
    def observe(self, belief: AdapterBelief, transition: Transition) -> AdapterBelief:
        """The memory reads one more transition."""
        row = self.adapter.rows(transition)
        hidden, _ = self.adapter.memory.step(row, belief.hidden)
        after = AdapterBelief(hidden, transition.applied)
        return where(transition.valid, after, belief)

    def adapt(self, belief: AdapterBelief, episode: Transition) -> AdapterBelief:
        """The same memory: the plant stays; the next episode begins at a standstill."""
        return AdapterBelief(belief.hidden, torch.zeros_like(belief.last))

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and train the base policy or the adapter; means over the steps."""
        collected_by_teacher = self.progress.collected_by_teacher(self.config)
        self.progress.iterations += 1
        self.adapter.update(trial.ticks[trial.ticks.valid])
        if collected_by_teacher:
            return self.base.learn(trial)
        self.replay.add(trial)
        return repeat(self.step, self.config.gradient_steps, self.generator)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the adapter."""
        c = self.config
        slots = self.replay.tasks(c.adapter_trials, self.generator)
        ticks, exists, _ = self.replay.segments(slots, c.segment, self.generator)
        plant = self.plant.scaled(self.replay.task[slots])
        losses = self.adapter.losses(ticks, exists, plant, self.plant.nominal)
        return minimize(self.optimizer, losses)

    def state_without_replay(self) -> dict[str, Any]:
        """The state with an empty replay, which is the base policy's."""
        return {**self.state_dict(), "base": self.base.state_without_replay()}
