"""Model-predictive control under a learned model and a belief about the task.

``BeliefMpc`` is the algorithm: every tick updates the belief, at constant cost, and searches for a
plan from the last one; the model is trained on a replay buffer. A subclass defines the belief and
the model. The planner is iCEM; each member of the model's ensemble simulates the candidates under
its own hypothesis. The reward is the family's own, for predicted observations; a reward that
depends on hidden parameters is predicted, too.

``ContextMPC`` infers a latent task z with probabilistic context dynamics (similar to CaDM, Lee
et al. 2020): every transition adds linear measurements of z to a Gaussian belief.

Axes: m members, n worlds, b tasks of a batch, o observation, a action, l columns of a summary.
"""

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from policies.logs import mean_logs
from policies.method import Problem, Transition, TrialBatch
from policies.models.context_dynamics import Dynamics, DynamicsConfig
from policies.models.posterior import Posterior, prior
from policies.models.predictor import TaskModel
from policies.nn.adam import Adam
from policies.nn.noise import standard_normal, uniform
from policies.nn.repeat import falling_share, minimize, set_learning_rates, steps_taken
from policies.nn.state import SavedState, make_generator
from policies.planning.config import ModelPlannerConfig
from policies.planning.mpc import PlanState
from policies.planning.mpc_method import ValuedMpcMethod
from policies.planning.terminal_value import Imagine
from policies.ranges import Count, NonNegative, PositiveShare
from policies.rl.replay import LearnsFromReplay, Replay
from policies.rl.sac import copy_statistics, polyak_update

M = TypeVar("M", bound=TaskModel)
K = TypeVar("K")  # a belief about the task: a tensor or a dataclass of tensors


@dataclass(frozen=True)
class BeliefMpcConfig(ModelPlannerConfig):
    """Settings of the model's training."""

    ema_rate: PositiveShare = 0.005  # step of the averaged model, the one that plans
    # share of the model's learning rate that is left at the end of the schedule's iterations; the
    # rate falls linearly in the second half of them. 1: a constant rate
    final_lr_share: PositiveShare = 1.0
    meta_batch: Count = 16  # tasks in a batch


@dataclass(frozen=True)
class MpcBelief(PlanState, Generic[K]):
    """The plan, and the belief about the task."""

    task_belief: K


class BeliefMpc(SavedState, LearnsFromReplay, ValuedMpcMethod[MpcBelief[K]], Generic[M, K]):
    """MPC under a belief about the task, which is kept across the episodes of a trial."""

    privileged = False
    saved_attributes = (
        "model",
        "ema_model",
        "terminal_value",
        "optimizer",
        "replay",
        "generator",
    )

    def __init__(
        self,
        problem: Problem,
        config: BeliefMpcConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.model = self.make_model()
        self.ema_model = self.make_model().requires_grad_(False)
        self.ema_model.load_state_dict(self.model.state_dict())
        self.optimizer = Adam(self.model.parameters(), lr=config.lr, fused=True)
        self.build_search(config, seed, self.summary_dim)

    @property
    @abstractmethod
    def summary_dim(self) -> int:
        """l, columns of a summary and of a hypothesis."""

    @abstractmethod
    def make_model(self) -> M:
        """A model with weights from the generator."""

    @abstractmethod
    def initial_task_belief(self, n: int) -> K:
        """The belief about the tasks of n worlds before any experience."""

    @abstractmethod
    def update_task_belief(self, task_belief: K, transition: Transition) -> K:
        """The belief about the task after one more tick of n worlds; without gradient."""

    @abstractmethod
    def summarize_task(self, task_belief: K) -> Tensor:
        """The summary of the task belief that policy and value read, (n, l)."""

    @abstractmethod
    def hypotheses(self, task_belief: K) -> Tensor:
        """The hypothesis about the task that each ensemble member predicts with, (m, n, l)."""

    def prior(self, n: int, task: Tensor | None = None) -> MpcBelief[K]:
        """The initial belief about the task, and no plan."""
        task_belief = self.initial_task_belief(n)
        plan_state = self.controller.begin_episode(n)
        return MpcBelief(**vars(plan_state), task_belief=task_belief)

    def summarize(self, belief: MpcBelief[K]) -> Tensor:
        """That of the belief about the task."""
        return self.summarize_task(belief.task_belief)

    @torch.no_grad()
    def observe(self, belief: MpcBelief[K], transition: Transition) -> MpcBelief[K]:
        """Update the belief about the task, and plan for the next observation."""
        task_belief = self.update_task_belief(belief.task_belief, transition)
        return self.replan(replace(belief, task_belief=task_belief), transition)

    def model_under(self, belief: MpcBelief[K]) -> Imagine:
        """The averaged model, each member under its hypothesis."""
        z = self.hypotheses(belief.task_belief)

        def imagine(obs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
            return self.ema_model.predictor.rollout(obs, actions, z)

        return imagine

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial, then take the iteration's gradient steps."""
        c = self.config
        new = self.replay.add(trial)
        self.model.update(new)
        all_steps = c.gradient_steps * c.schedule.iterations
        share = falling_share(steps_taken(self.optimizer), all_steps, c.final_lr_share)
        set_learning_rates(self.optimizer, share, (c.lr,))
        steps = [self.step() for _ in range(c.gradient_steps)]
        copy_statistics(self.ema_model, self.model)
        log = mean_logs(steps)
        if self.terminal_value is not None:
            log |= self.terminal_value.train_on(new)
        return log

    def draw_trials(self, slots: Tensor) -> tuple[Transition, Tensor]:
        """Training data of tasks (b,): transitions (b, L, ...), and a mask of those that exist."""
        return self.replay.trials(slots)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on the model."""
        slots = self.replay.tasks(self.config.meta_batch, self.generator)
        t, mask = self.draw_trials(slots)
        log = minimize(self.optimizer, self.model.loss(t, mask, self.generator))
        polyak_update(self.ema_model, self.model, self.config.ema_rate)
        return log


@dataclass(frozen=True)
class ContextMpcConfig(BeliefMpcConfig):
    """Settings of context MPC."""

    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    # largest number of transitions in a context for the training of policy and value
    max_context: Count = 32
    # distance of the members' hypotheses from the belief's mean, in its standard deviations
    belief_spread: NonNegative = 1.0


class ContextMPC(BeliefMpc[Dynamics, Posterior]):
    """The belief about the task is a Gaussian over z."""

    Config = ContextMpcConfig
    config: ContextMpcConfig

    def __init__(
        self,
        problem: Problem,
        config: ContextMpcConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(problem, config, seed, device)
        # The same offsets for every seed and device, so that plans are a function of the belief.
        noise_generator = make_generator(0, torch.device("cpu"))
        shape = (config.dynamics.ensemble_size, config.dynamics.latent_dim)
        noise = standard_normal(shape, noise_generator)
        offsets = config.belief_spread * (noise - noise.mean(0))
        self.hypothesis_offsets = offsets.to(device)  # (m, l) in standard deviations of the belief

    @property
    def summary_dim(self) -> int:
        """Dimensions of z."""
        return self.config.dynamics.latent_dim

    def make_model(self) -> Dynamics:
        """A dynamics model conditioned on z."""
        p = self.problem
        predict_reward = p.reward is None
        return Dynamics(
            p.obs_dim, p.action_dim, predict_reward, self.config.dynamics, self.generator
        )

    def initial_task_belief(self, n: int) -> Posterior:
        """N(0, I)."""
        return prior(n, self.config.dynamics.latent_dim, self.device)

    def update_task_belief(self, task_belief: Posterior, transition: Transition) -> Posterior:
        """Multiply the Gaussian by the factor of one more transition."""
        return self.ema_model.observe(task_belief, transition)

    def summarize_task(self, task_belief: Posterior) -> Tensor:
        """The mean of the Gaussian."""
        return task_belief.mean

    def hypotheses(self, task_belief: Posterior) -> Tensor:
        """Points around the mean; they are further apart if the belief is less certain."""
        return task_belief.reparameterize(self.hypothesis_offsets[:, None])

    @torch.no_grad()
    def infer(self, slots: Tensor) -> Tensor:
        """The belief's mean (b, l) of tasks (b,) in the replay, from contexts of random size.

        Small contexts are frequent and some are empty, because the policy must learn to act with
        little or no evidence.
        """
        ticks, exists = self.replay.contexts(slots, self.config.max_context, self.generator)
        longest = exists.shape[1]
        u = uniform((len(slots), 1), self.generator)
        size = u.square() * (longest + 1)
        column = torch.arange(longest, device=self.device)
        mask = exists & (column < size.long())
        return self.ema_model.infer(ticks, mask).mean
