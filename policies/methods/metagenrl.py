"""MetaGenRL (Kirsch et al. 2020): policies adapt by the gradient of an objective that is learned.

The objective L_α is a network, see ``policies.models.learned_objective``: an LSTM that reads an
episode backward. Every task has its own policy θ (φ in the paper). After an episode they take steps

    θ' = θ - inner_lr · ∇_θ L_α(episode, π_θ),

and nothing else adapts a policy to a new task. α is learned by critics: on stored trials the steps
are taken anew, and α moves along ∇_α Q(s, π_θ'(s)), the derivative through the steps. No likelihood
ratio is needed, so trials of earlier policies serve as well: learning is off-policy. The critics
learn as in TD3 (Fujimoto et al. 2018), as values of π_θ'.

Nothing in α depends on the sizes of observation and action. Differences from the paper:

- Its agents live long: each has one environment, a policy from random weights, a critic, and
  thousands of steps. Here a trial has a new task and few steps. So the population is the tasks in
  the replay; the policy that all begin with is learned too, along the same gradient; and the
  critics are one pair for all tasks, which reads the true task parameters, in training only.
- The value estimates that L_α reads are a linear fit to the episode, as in ``maml``, instead of the
  critic's: a new task has no critic.
- Steps are plain gradient steps on the newest episode, as the paper has in training. At test it has
  Adam and a replay of the new task, and trains that task's critic as well.
- L_α reads whole episodes instead of chunks of 20 ticks, and the advantage of each tick too. Its
  networks have one hidden layer instead of two, the last one also reads the actions of its tick,
  and tanh does not bound its output.
- The paper begins with policies that learn from the critic alone.
- The critics' targets use the present policy instead of an average.

Axes: E episodes, H steps, L = E · H ticks, n worlds, o observation, a action, P parameters of θ.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn

from policies.config import (
    OFF_POLICY_STEPS,
    MethodConfig,
    check_adapts_between_episodes,
    derive_buffer_tasks,
    derive_discount,
    derive_schedule,
)
from policies.logs import detached, mean_logs
from policies.method import (
    CollectionSchedule,
    Problem,
    Transition,
    TrialBatch,
    with_training_reward,
)
from policies.models.learned_objective import LearnedObjective, estimated_outcomes
from policies.models.task_scale import TaskScale
from policies.nn.adam import Adam
from policies.nn.batched_policy import BatchedPolicy
from policies.nn.flat_mlp import FlatMlp
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import SavedState, make_generator
from policies.ranges import Count, Discount, LargeCount, LayerWidths, Positive, PositiveShare, Width
from policies.rl import clipped_gaussian, ppo
from policies.rl.replay import LearnsFromReplay, Replay, split_episodes
from policies.rl.sac import polyak_update, q_values
from policies.rl.td3 import td3_target

BATCH_TICKS = 4096  # of a batch's trials together; the authors' code has 2000
CRITIC_BATCH = 512  # transitions in a batch of the critics, as of soft actor-critic


@dataclass(frozen=True)
class MetaGenRlConfig(MethodConfig):
    """Settings of the method; "original" is the authors' code."""

    hidden: LayerWidths = (32, 32)  # layer widths of the policy; original 3 × 350
    objective_units: Width = 32  # units of the objective's LSTM and layers (original)
    inner_lr: Positive = 0.1  # step size of the policy; original 1e-3, of thousands of steps
    inner_steps: Count = 1  # steps after an episode
    exploration_std: Positive = 0.5  # std of the actions' noise; original 0.1, of more episodes
    critic_hidden: LayerWidths = (64, 64)  # layer widths of the critics; original 3 × 350
    lr: Positive = 1e-3  # learning rate of the policy that all tasks begin with (original)
    objective_lr: Positive = 3e-3  # learning rate of the objective; original 1e-3
    critic_lr: Positive = 3e-3  # learning rate of the critics; original 1e-3
    gamma: Discount = 0.95  # discount of a tick; original 0.99, for longer episodes
    tau: PositiveShare = 0.01  # step of the target critics; original 0.005
    max_grad_norm: Positive = 1.0  # norm that gradients of policy and α are clipped to (original)
    meta_batch: Count = 64  # tasks in a batch, each with its whole trial
    critic_steps: Count = 4  # steps of the critics after each one of the objective; original 2
    batch_per_task: Count = 8  # transitions of each task in a batch of the critics
    gradient_steps: LargeCount = 16  # gradient steps per iteration
    buffer_tasks: LargeCount = 2048  # tasks in the replay
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=64, episodes_per_trial=3, random_trials=2, iterations=40, overlap=True
    )

    def __post_init__(self) -> None:
        """BadArgumentError if no episode follows a step."""
        check_adapts_between_episodes("MetaGenRL", self.schedule)

    @property
    def optimizer_steps(self) -> int:
        """Of the objective and of the critics, per iteration."""
        return self.gradient_steps * (1 + self.critic_steps)

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Discount, schedule, replay and the tasks of a batch follow from horizon and episodes."""
        steps = OFF_POLICY_STEPS
        schedule = derive_schedule(problem, steps, random_trials=1, min_episodes=2, overlap=True)
        meta_batch = max(1, BATCH_TICKS // (schedule.episodes_per_trial * problem.horizon))
        return cls(
            gamma=derive_discount(problem),
            meta_batch=meta_batch,
            batch_per_task=max(1, CRITIC_BATCH // meta_batch),
            buffer_tasks=derive_buffer_tasks(problem, schedule),
            schedule=schedule,
        )


@dataclass(frozen=True)
class MetaGenRlBelief:
    """A policy for each task."""

    theta: Tensor  # (n, P) all its parameters θ, see ``BatchedPolicy``


class MetaGenRl(SavedState, LearnsFromReplay):
    """Adapts by gradient steps on the learned objective after each episode."""

    Config = MetaGenRlConfig
    privileged = False
    saved_attributes = (
        "net",
        "critic",
        "target_critic",
        "obs_norm",
        "reward_norm",
        "optimizer",
        "critic_optimizer",
        "replay",
        "generator",
    )

    def __init__(
        self,
        problem: Problem,
        config: MetaGenRlConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.replay = Replay(config.buffer_tasks, device)
        self.policy = BatchedPolicy((problem.obs_dim, *config.hidden, problem.action_dim))
        theta = self.policy.initial(config.exploration_std, self.generator)
        start = nn.ParameterDict({"theta": theta})
        self.theta: nn.Parameter = start["theta"]
        self.objective = LearnedObjective(config.objective_units, self.generator)
        self.net = nn.ModuleDict({"start": start, "objective": self.objective})
        self.scaled = TaskScale(problem, range(problem.task_dim), device)
        inputs = problem.obs_dim + problem.task_dim + problem.action_dim
        self.critic = FlatMlp([inputs, *config.critic_hidden, 1], self.generator, members=2)
        self.target_critic = deepcopy(self.critic).requires_grad_(False)
        self.obs_norm = RunningNormalizer(problem.obs_dim, device)
        self.reward_norm = RunningNormalizer(1, device)
        groups = [
            {"params": [self.theta], "lr": config.lr},
            {"params": self.objective.parameters(), "lr": config.objective_lr},
        ]
        self.optimizer = Adam(groups, fused=True)
        critics = self.critic.parameters()
        self.critic_optimizer = Adam(critics, lr=config.critic_lr, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> MetaGenRlBelief:
        """The learned first policy for every task."""
        return MetaGenRlBelief(self.theta.detach().repeat(n, 1))

    @torch.no_grad()
    def act(self, obs: Tensor, belief: MetaGenRlBelief, explore: bool) -> Tensor:
        """Actions (n, a): of each task's own policy, with noise if it explores."""
        mean = self.actions(belief.theta, obs[None])[0]
        log_std = belief.theta[:, -mean.shape[-1] :]
        return clipped_gaussian.sample(mean, log_std, self.generator if explore else None)

    def actions(self, theta: Tensor, obs: Tensor) -> Tensor:
        """Actions π_θ (H, n, a) in (-1, 1) without noise, of parameters (n, P), in (H, n, o)."""
        mean, _ = self.policy(theta, self.obs_norm(obs))
        return torch.tanh(mean)

    def observe(self, belief: MetaGenRlBelief, transition: Transition) -> MetaGenRlBelief:
        """The same belief: the objective needs the end of the episode."""
        return belief

    @torch.enable_grad()
    def adapt(self, belief: MetaGenRlBelief, episode: Transition) -> MetaGenRlBelief:
        """Steps along the gradient of the objective of an episode (H, n, ...); α stays as it is."""
        theta = belief.theta.detach().requires_grad_()
        return MetaGenRlBelief(self.steps(theta, episode, create_graph=False).detach())

    def steps(self, theta: Tensor, episode: Transition, create_graph: bool = True) -> Tensor:
        """θ' (n, P) after the steps on an episode (H, n, ...), from θ (n, P) in a graph.

        ``create_graph``: whether θ' is a differentiable function of θ and α.
        """
        obs = self.obs_norm(episode.obs)
        reward = self.reward_norm(episode.reward[..., None])[..., 0]
        outcomes = estimated_outcomes(episode, obs, reward, self.config.gamma)
        for _ in range(self.config.inner_steps):
            policy = self.actions(theta, episode.obs)
            objective = self.objective(episode.action, policy, outcomes)
            # Each world's objective depends on its own parameters alone: the gradient of the sum
            # holds the gradient of every world.
            total = objective.sum()
            (gradient,) = torch.autograd.grad(total, theta, create_graph=create_graph)
            theta = theta - self.config.inner_lr * gradient
        return theta

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """Store the trial and learn from the replay; returns means over the gradient steps."""
        ticks = self.replay.add(trial)
        self.obs_norm.update(ticks.obs)
        self.reward_norm.update(ticks.reward[..., None])
        logs = [self.step() for _ in range(self.config.gradient_steps)]
        return mean_logs(logs)

    def step(self) -> dict[str, Tensor]:
        """One gradient step on objective and first policy, then some on the critics."""
        c = self.config
        slots = self.replay.tasks(c.meta_batch, self.generator)
        by_task, exists = self.replay.trials(slots)
        ticks = replace(by_task, valid=exists).transpose(0, 1)
        task = self.replay.task[slots]
        thetas = self.thetas(ticks)
        values = self.values(thetas, ticks, task)
        self.optimizer.zero_grad()
        (-values.mean()).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), c.max_grad_norm)
        self.optimizer.step()

        adapted = thetas[-1].detach()
        for _ in range(c.critic_steps):
            rows = self.replay.transitions(slots, c.batch_per_task, self.generator)
            critic = self.critic_loss(adapted, rows.transpose(0, 1), task)
            self.critic_optimizer.zero_grad()
            critic.backward()
            self.critic_optimizer.step()
            polyak_update(self.target_critic, self.critic, c.tau)
        return detached({"critic": critic, "q": values.mean(), "gain": values[-1] - values[0]})

    def thetas(self, ticks: Transition) -> list[Tensor]:
        """θ (n, P) in each of the E episodes, as functions of the first θ and of α."""
        n = ticks.reward.shape[1]
        thetas = [self.theta.expand(n, -1)]
        for episode in split_episodes(ticks, self.problem.horizon)[:-1]:
            thetas.append(self.steps(thetas[-1], episode))
        return thetas

    def values(self, thetas: Sequence[Tensor], ticks: Transition, task: Tensor) -> Tensor:
        """Mean of the first critic's Q of policies (n, P) in all states of the trials, (E,)."""
        x = self.features(ticks.obs, task)
        values = []
        for theta in thetas:
            action = self.actions(theta, ticks.obs)
            q, _ = q_values(self.critic, x, action, detach_weights=True)
            values.append(ppo.masked_mean(q, ticks.valid))
        return torch.stack(values)

    def features(self, obs: Tensor, task: Tensor) -> Tensor:
        """What critics read of states (..., n, o) beside actions: the true tasks (n, p) as well."""
        known = self.scaled(task).expand(len(obs), -1, -1)
        return torch.cat([self.obs_norm(obs), known], -1)

    def critic_loss(self, theta: Tensor, ticks: Transition, task: Tensor) -> Tensor:
        """Squared TD error of both critics in ticks (b, n, ...), as values of policies (n, P)."""
        learned_from = with_training_reward(self.problem, ticks, task)
        scaled = learned_from.reward * self.reward_norm.inv_std
        target = td3_target(
            self.target_critic,
            replace(learned_from, reward=scaled),
            self.features(ticks.next_obs, task),
            self.actions(theta, ticks.next_obs),
            self.config.gamma,
            self.generator,
        )
        q = q_values(self.critic, self.features(ticks.obs, task), ticks.action)
        error = (q - target).square().sum(0)
        return error.mean()
