"""MAML (Finn et al. 2017): policy parameters that adapt by one policy-gradient step on an episode.

Every task has its own parameters. After an episode they take one step along the policy gradient of
that episode. The outer objective is PPO's on the episodes after a step, which are new data,
differentiated through the steps: with the derivative of the gradient itself (MAML), or with it as a
constant (``fomaml``). Step sizes are learned, one per parameter (Meta-SGD, Li et al. 2017).

The inner objective is the mean of π(action) / π_acting(action) · advantage, the likelihood ratio of
ProMP (Rothfuss et al. 2019, their low-variance curvature). Its gradient is MAML's, but MAML's
log π(action) · advantage has a wrong second derivative: it lacks the outer product of the score,
∇log π · ∇log πᵀ, which describes how the step changes later data. Products of scores of
different ticks are left out, as in ProMP; they vanish with ``inner_gamma`` 0, and the estimate of
DiCE (Foerster et al. 2018), which has them, varies far more.
Axes: E episodes, H steps, n worlds, o observation, a action, P parameters of a policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from policies.config import (
    ON_POLICY_STEPS,
    MethodConfig,
    check_adapts_between_episodes,
    derive_discount,
    derive_schedule,
)
from policies.logs import detached, mean_logs
from policies.method import CollectionSchedule, Problem, Transition, TrialBatch
from policies.nn.adam import Adam
from policies.nn.batched_policy import BatchedPolicy
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import SavedState, make_generator
from policies.ranges import Discount, LargeCount, LayerWidths, Positive, Share
from policies.rl import clipped_gaussian, ppo
from policies.rl.baseline import linear_baseline

MIN_EXPLORATION = 1e-4  # an episode has not explored if its actions differ from the mean by less


@dataclass(frozen=True)
class MamlConfig(MethodConfig):
    """Settings of the method."""

    hidden: LayerWidths = (64, 64)  # layer widths of the policy (ProMP)
    inner_lr: Positive = 0.1  # initial step size of every parameter (ProMP, MAML)
    inner_gamma: Discount = 0.95  # discount of a tick, for inner steps
    inner_gae_lambda: Share = 1.0  # λ of the advantages, for inner steps
    # L2 of the linear baseline; garage and ProMP have 1e-5, with 20 times the samples per fit
    baseline_l2: Positive = 1e-3
    lr: Positive = 1e-3  # learning rate of the outer objective (ProMP)
    gamma: Discount = 0.95  # discount of a tick; ProMP has 0.99, episodes 5 times as long
    gae_lambda: Share = 1.0  # λ of the advantages, for the outer objective (ProMP)
    clip_ratio: Positive = 0.2  # largest change of the likelihood ratio that is rewarded (PPO)
    gradient_steps: LargeCount = 4  # gradient steps per iteration, each on all trials; ProMP has 5
    init_std: Positive = 0.6  # initial std of the actions; it is learned, and adapted
    max_grad_norm: Positive = 0.5  # norm that gradients are clipped to
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=256,
        episodes_per_trial=3,
        iterations=200,
    )

    def __post_init__(self) -> None:
        """BadArgumentError if no episode follows an inner step."""
        check_adapts_between_episodes("MAML", self.schedule)

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Discounts and schedule follow from the horizon and the episodes."""
        gamma = derive_discount(problem)
        return cls(
            inner_gamma=gamma,
            gamma=gamma,
            schedule=derive_schedule(problem, ON_POLICY_STEPS, min_episodes=2),
        )


@dataclass(frozen=True)
class MamlBelief:
    """A policy for each task."""

    theta: Tensor  # (n, P) all its parameters, see ``BatchedPolicy``


@dataclass(frozen=True)
class OuterBatch:
    """Trials, with the quantities that stay fixed while the meta-learned parameters change."""

    ticks: Transition  # (E, H, n, ...)
    theta: Tensor  # (E, n, P) of the policies that acted
    log_prob: Tensor  # (E, H, n) of the actions under the policy that took them
    advantage: Tensor  # (E, H, n) standardized, for the outer objective
    task: Tensor | None = None  # (n, p) if training tasks start at parameters of their own


class Maml(SavedState):
    """Adapts by a gradient step after each episode, and not within an episode."""

    Config: type[MamlConfig] = MamlConfig
    privileged = False
    second_order: ClassVar[bool] = True  # whether an outer gradient has second derivatives
    saved_attributes: ClassVar[tuple[str, ...]] = ("net", "obs_norm", "optimizer", "generator")

    def __init__(
        self,
        problem: Problem,
        config: MamlConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.problem = problem
        self.config = config
        self.schedule = config.schedule
        self.device = device
        self.generator = make_generator(seed, device)
        self.policy = BatchedPolicy((problem.obs_dim, *config.hidden, problem.action_dim))
        theta = self.policy.initial(config.init_std, self.generator)
        step_sizes = torch.full_like(theta, config.inner_lr)
        self.net = nn.ParameterDict({"theta": theta, "inner_lr": step_sizes})
        self.obs_norm = RunningNormalizer(problem.obs_dim, device)
        self.optimizer = Adam(self.net.parameters(), lr=config.lr, fused=True)

    def prior(self, n: int, task: Tensor | None = None) -> MamlBelief:
        """The meta-learned parameters for every task."""
        return MamlBelief(self.start(n).detach().clone())

    def start(self, n: int, task: Tensor | None = None) -> Tensor:
        """The parameters (n, P) before any step, as a function of the meta-learned ones."""
        theta: Tensor = self.net["theta"]
        return theta.expand(n, -1)

    @torch.no_grad()
    def act(self, obs: Tensor, belief: MamlBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of each task's own policy, or its mean."""
        mean, log_std = self.policy(belief.theta, self.obs_norm(obs)[None])
        return clipped_gaussian.sample(mean[0], log_std, self.generator if explore else None)

    def observe(self, belief: MamlBelief, transition: Transition) -> MamlBelief:
        """The same belief: a policy gradient needs the end of the episode."""
        return belief

    @torch.enable_grad()
    def adapt(self, belief: MamlBelief, episode: Transition) -> MamlBelief:
        """One step along the policy gradient of an episode (H, n, ...).

        Worlds that did not explore stay as they are: actions at the mean have no gradient.
        """
        theta = belief.theta.detach().requires_grad_()
        acting_log_prob = self.log_prob(theta, episode).detach()
        stepped = self.inner_step(theta, episode, acting_log_prob)
        explored = self._explored(theta, episode)[:, None]
        return MamlBelief(torch.where(explored, stepped, theta).detach())

    def _explored(self, theta: Tensor, episode: Transition) -> Tensor:
        """Whether a valid action differs from the policy's mean in each world, (n,) bool."""
        mean, _ = self.distribution(theta, episode)
        noise = (episode.action - mean.clamp(-1, 1)).abs()
        largest = noise.amax(-1) * episode.valid  # (H, n)
        return largest.amax(0) > MIN_EXPLORATION

    def distribution(self, theta: Tensor, episode: Transition) -> tuple[Tensor, Tensor]:
        """Means (H, n, a) and log standard deviations (n, a) of actions in an episode's states."""
        return self.policy(theta, self.observations(episode))

    def observations(self, episode: Transition) -> Tensor:
        """Normalized observations (H, n, o), which policy and baseline read."""
        normalized: Tensor = self.obs_norm(episode.obs)
        return normalized

    def log_prob(self, theta: Tensor, episode: Transition) -> Tensor:
        """Log-likelihood (H, n) of an episode's actions under parameters (n, P)."""
        mean, log_std = self.distribution(theta, episode)
        return clipped_gaussian.log_prob(mean, log_std, episode.action)

    def log_ratio(self, theta: Tensor, episode: Transition, acting_log_prob: Tensor) -> Tensor:
        """Log-likelihood ratios (H, n) to the policy that acted; 0 where a tick is not valid."""
        log_ratio = self.log_prob(theta, episode) - acting_log_prob
        return log_ratio.where(episode.valid, 0.0)

    def inner_step(self, theta: Tensor, episode: Transition, acting_log_prob: Tensor) -> Tensor:
        """θ' = θ + α ∇ mean(π / π_acting · advantage), (n, P)."""
        step_sizes: Tensor = self.net["inner_lr"]
        return theta + step_sizes * self.inner_gradient(theta, episode, acting_log_prob)

    def inner_gradient(self, theta: Tensor, episode: Transition, acting_log_prob: Tensor) -> Tensor:
        """The policy gradient (n, P); with ``second_order``, a function of the parameters.

        Args:
            theta: (n, P) parameters before the step.
            episode: (H, n, ...) the data of the step.
            acting_log_prob: (H, n) of its actions under the policy that took them, a constant.
        """
        c = self.config
        advantage = self.advantages(episode, c.inner_gamma, c.inner_gae_lambda)
        log_ratio = self.log_ratio(theta, episode, acting_log_prob)
        weight = self.inner_weight(log_ratio)
        ticks = episode.valid.sum(0).clamp(min=1)
        objective = (weight * advantage).sum(0) / ticks  # (n,)
        # Each world's objective depends on its own parameters alone: the gradient of the sum
        # holds the gradient of every world.
        total = objective.sum()
        return torch.autograd.grad(total, theta, create_graph=self.second_order)[0]

    def inner_weight(self, log_ratio: Tensor) -> Tensor:
        """The factor of the advantages in an inner step, for log-ratios (H, n): the ratio."""
        return log_ratio.exp()

    @torch.no_grad()
    def advantages(self, episode: Transition, gamma: float, gae_lambda: float) -> Tensor:
        """Advantages (H, n) over a baseline fitted to each task's episode, standardized per task.

        They are 0 where a tick is not valid.
        """
        bootstrap = ppo.bootstrap_mask(episode)
        no_value = torch.zeros_like(episode.reward)
        returns = ppo.advantages(episode.reward, no_value, bootstrap, gamma, 1.0)
        obs = self.observations(episode)
        value = linear_baseline(obs, returns, episode.valid, self.config.baseline_l2)
        advantage = ppo.advantages(episode.reward, value, bootstrap, gamma, gae_lambda)
        return ppo.standardized(advantage, episode.valid, 0)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO through the inner steps; returns means over the gradient steps."""
        ticks = trial.ticks
        batch = self.outer_batch(trial)
        logs = [self.step(batch) for _ in range(self.config.gradient_steps)]
        log = mean_logs(logs) | self.after_steps(batch)
        # Only now, so that every likelihood ratio is between policies of the same normalization.
        self.obs_norm.update(ticks.obs[ticks.valid])
        return log

    def outer_batch(self, trial: TrialBatch) -> OuterBatch:
        """What all gradient steps of an iteration learn from."""
        return self.prepare(trial.ticks)

    def after_steps(self, batch: OuterBatch) -> dict[str, float]:
        """Learn what follows from an iteration's steps; numbers for the log. Here it is nothing."""
        return {}

    def prepare(self, ticks: Transition, task: Tensor | None = None) -> OuterBatch:
        """Log-likelihoods under the acting policies, and advantages, of episodes (E, H, n, ...)."""
        c = self.config
        episodes, _, n = ticks.reward.shape
        theta = self.start(n, task)
        thetas = []
        log_probs: list[Tensor] = []
        advantages = []
        for e in range(episodes):
            if e > 0:
                theta = self.inner_step(theta, ticks[e - 1], log_probs[-1])
            episode = ticks[e]
            log_prob = self.log_prob(theta, episode)
            thetas.append(theta.detach())
            log_probs.append(log_prob.detach())
            advantages.append(self.advantages(episode, c.gamma, c.gae_lambda))
        log_prob = torch.stack(log_probs)
        return OuterBatch(ticks, torch.stack(thetas), log_prob, torch.stack(advantages), task)

    def episode_parameters(self, batch: OuterBatch) -> list[Tensor]:
        """The parameters (n, P) that act in each of the E episodes, the meta-learned ones first.

        The steps are those that ``adapt`` took, as functions of the meta-learned parameters.
        """
        episodes, _, n = batch.ticks.reward.shape
        thetas = [self.start(n, batch.task)]
        for e in range(episodes - 1):
            stepped = self.inner_step(thetas[-1], batch.ticks[e], batch.log_prob[e])
            thetas.append(stepped)
        return thetas

    def losses(self, batch: OuterBatch) -> dict[str, Tensor]:
        """``outer`` is minimized; the rest is for the log."""
        return self.outer_losses(batch, self.episode_parameters(batch))

    def outer_losses(self, batch: OuterBatch, thetas: Sequence[Tensor]) -> dict[str, Tensor]:
        """PPO's surrogate summed over the steps, and the mean KL from the policies that acted."""
        outer = []
        kl = []
        for e in range(1, len(thetas)):
            log_ratio = self.log_ratio(thetas[e], batch.ticks[e], batch.log_prob[e])
            valid = batch.ticks.valid[e]
            loss = ppo.surrogate(log_ratio, batch.advantage[e], self.config.clip_ratio)
            divergence = ppo.divergence(log_ratio)
            outer.append(ppo.masked_mean(loss, valid))
            kl.append(ppo.masked_mean(divergence, valid))
        return {"outer": torch.stack(outer).sum(), "kl": torch.stack(kl).mean()}

    def step(self, batch: OuterBatch) -> dict[str, Tensor]:
        """One gradient step on the meta-learned parameters and step sizes."""
        losses = self.losses(batch)
        self.optimizer.zero_grad()
        losses["outer"].backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return detached(losses)
