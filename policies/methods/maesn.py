"""MAESN (Gupta et al. 2018): MAML of a latent z that is drawn once per episode.

The policy reads the observation and z. Every task has a belief N(μ, σ²) of its own over z. An
episode acts under a single z = μ + σ · noise, so that exploration is consistent: it tries one
strategy after the other, where noise on each action would try none. After an episode, the belief
takes a step along the gradient of the return:

    (μ, log σ)' = (μ, log σ) + α · g + β · s,

    g = ∇ mean(π(action | obs, μ + σ · noise) / π_acting(action) · advantage)
    s = ∇ log N(z; μ, σ²) · (return - average return in training) / its standard deviation,

with step sizes α and β that are learned, one per parameter. Both g and s estimate the gradient of
the expected return. The actions tell g how a little change of z would have been better: that needs
rewards within the episode. s moves the belief towards a z that was better than usual: it also
learns from a single rewarded episode among many without any reward.

The outer objective is that of ``maml``: PPO's on the episodes after a step, differentiated through
the steps, plus ``kl_weight`` times the KL divergence from N(0, I) of the beliefs before a step.
Noise is recorded in the trial, so that an episode's z is a function of the parameters when they are
learned. Differences from the published code:

- Every trial has a new task. The variational parameters of a task live as long as its trial, and
  start at the prior N(0, I), in training as in use. The published code has a table of them for
  100 training tasks, which the outer objective trains too; new tasks start at the prior there, too.
  The KL of the first belief is therefore 0, and the KL term concerns the beliefs before later
  steps.
- A step uses one episode instead of 20 to 50, so g is added. The published code has s alone, with
  advantages among these episodes in place of the standardized return.
- The outer objective is PPO's instead of TRPO's, and counts the episodes after every step.
- Where the family has a training reward, the outer objective learns from it, and the steps from the
  true reward alone, as in use. The paper shapes rewards in training, too.
- Without exploration it acts under z = μ.

With ``adapt_policy`` the step adapts the policy's own parameters as well, as ``maml`` does; the
published code leaves them as they are by default.
Axes: E episodes, H steps, n worlds, o observation, P parameters of a policy, l latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from policies.logs import mean_logs
from policies.method import DrawsNoise, Problem, Transition, TrialBatch, with_training_reward
from policies.methods.maml import Maml, MamlBelief, MamlConfig, OuterBatch
from policies.nn.batched_policy import BatchedPolicy
from policies.nn.noise import standard_normal
from policies.nn.normalizer import RunningNormalizer
from policies.ranges import NonNegative, Positive, Width
from policies.rl import clipped_gaussian, ppo

LOG_STD_BOUND = 3.0  # |log σ| is at most this much, whatever a step does


@dataclass(frozen=True)
class MaesnConfig(MamlConfig):
    """MAML's settings and those of the latent; "original" is the code that its authors published."""

    latent_dim: Width = 2  # l, columns of z (original)
    latent_lr: Positive = 0.5  # initial α of μ and log σ (original)
    score_lr: NonNegative = 0.1  # initial β of μ and log σ; original 0.5, of 20 episodes
    kl_weight: NonNegative = 0.1  # weight of the KL of the beliefs before a step (original)
    adapt_policy: bool = False  # whether a step changes the policy's own parameters (original)


@dataclass(frozen=True)
class MaesnBelief(MamlBelief):
    """The parameters of each task, and the noise of the episode that it acts in.

    ``theta`` (n, P + 2l) are the policy's parameters, μ and log σ.
    """

    noise: Tensor  # (n, l)


class Maesn(Maml, DrawsNoise[MaesnBelief]):
    """One z acts for an episode; the belief about it takes a step after the episode.

    The functions of ``Maml`` read episodes whose observations have the noise of their episode
    beside them, (H, n, o + l).
    """

    Config = MaesnConfig
    config: MaesnConfig
    saved_attributes = (*Maml.saved_attributes, "return_norm")

    def __init__(
        self,
        problem: Problem,
        config: MaesnConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(problem, config, seed, device)
        latent = config.latent_dim
        inputs = problem.obs_dim + latent
        self.policy = BatchedPolicy((inputs, *config.hidden, problem.action_dim))
        theta = self.policy.initial(config.init_std, self.generator)
        self.belief_zeros = theta.new_zeros(2 * latent)
        step_sizes = {"latent_lr": torch.full_like(self.belief_zeros, config.latent_lr)}
        step_sizes["score_lr"] = torch.full_like(self.belief_zeros, config.score_lr)
        if config.adapt_policy:
            step_sizes["inner_lr"] = torch.full_like(theta, config.inner_lr)
        self.net = nn.ParameterDict({"theta": theta, **step_sizes})
        self.return_norm = RunningNormalizer(1, device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=config.lr, fused=True)

    def start(self, n: int) -> Tensor:
        """The policy's parameters and the prior N(0, I), (n, P + 2l)."""
        vector = torch.cat([self.net["theta"], self.belief_zeros])
        return vector.expand(n, -1)

    def prior(self, n: int, task: Tensor | None = None) -> MaesnBelief:
        """N(0, I) for every task, and the noise of its first episode."""
        return self.draw(super().prior(n, task))

    def draw(self, belief: MamlBelief) -> MaesnBelief:
        """The same parameters with noise for a new episode."""
        n = len(belief.theta)
        noise = standard_normal((n, self.config.latent_dim), self.generator)
        return MaesnBelief(belief.theta, noise)

    def episode_noise(self, belief: MaesnBelief) -> Tensor:
        """What z is computed from, (n, l), the same for a whole episode."""
        return belief.noise

    @torch.no_grad()
    def act(self, obs: Tensor, belief: MamlBelief, explore: bool) -> Tensor:
        """Actions (n, a): a sample of the policy under the episode's z, or its mean under μ."""
        assert isinstance(belief, MaesnBelief)
        noise = belief.noise if explore else torch.zeros_like(belief.noise)
        z = self.latent(belief.theta, noise)
        inputs = torch.cat([self.obs_norm(obs), z], -1)
        mean, log_std = self.policy(self.policy_part(belief.theta), inputs[None])
        return clipped_gaussian.sample(mean[0], log_std, self.generator if explore else None)

    def adapt(self, belief: MamlBelief, episode: Transition) -> MaesnBelief:
        """One step on an episode (H, n, ...), and noise for the next one.

        Worlds that did not explore keep their parameters.
        """
        assert isinstance(belief, MaesnBelief)
        stepped = super().adapt(belief, with_noise(episode, belief.noise))
        return self.draw(stepped)

    def _explored(self, theta: Tensor, episode: Transition) -> Tensor:
        """Whether a valid action differs from the policy's mean under μ in each world, (n,) bool."""
        obs = episode.obs[..., : self.problem.obs_dim]
        no_noise = torch.zeros_like(episode.obs[0, :, self.problem.obs_dim :])
        return super()._explored(theta, with_noise(replace(episode, obs=obs), no_noise))

    def policy_part(self, theta: Tensor) -> Tensor:
        """The policy's own parameters (n, P)."""
        return theta[:, : -2 * self.config.latent_dim]

    def gaussian(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ of the beliefs, both (n, l)."""
        mean, log_std = theta[:, -2 * self.config.latent_dim :].chunk(2, -1)
        return mean, log_std.clamp(-LOG_STD_BOUND, LOG_STD_BOUND)

    def latent(self, theta: Tensor, noise: Tensor) -> Tensor:
        """z = μ + σ · noise, (n, l)."""
        mean, log_std = self.gaussian(theta)
        return mean + log_std.exp() * noise

    def observations(self, episode: Transition) -> Tensor:
        """Normalized observations (H, n, o), without the noise beside them."""
        obs: Tensor = self.obs_norm(episode.obs[..., : self.problem.obs_dim])
        return obs

    def distribution(self, theta: Tensor, episode: Transition) -> tuple[Tensor, Tensor]:
        """Means (H, n, a) and log standard deviations (n, a) of actions under the episode's z."""
        noise = episode.obs[0, :, self.problem.obs_dim :]
        z = self.latent(theta, noise)
        obs = self.observations(episode)
        inputs = torch.cat([obs, z.expand(len(obs), -1, -1)], -1)
        return self.policy(self.policy_part(theta), inputs)

    def inner_step(self, theta: Tensor, episode: Transition, acting_log_prob: Tensor) -> Tensor:
        """The parameters (n, P + 2l) after a step, see the top of the file."""
        gradient = self.inner_gradient(theta, episode, acting_log_prob)
        latent = 2 * self.config.latent_dim
        by_actions = self.net["latent_lr"] * gradient[:, -latent:]
        by_return = self.net["score_lr"] * self.score(theta, episode)
        policy_step = torch.zeros_like(gradient[:, :-latent])
        if self.config.adapt_policy:
            policy_step = self.net["inner_lr"] * gradient[:, :-latent]
        return theta + torch.cat([policy_step, by_actions + by_return], -1)

    def score(self, theta: Tensor, episode: Transition) -> Tensor:
        """∇ log N(z; μ, σ²) with respect to (μ, log σ), times the standardized return, (n, 2l).

        With z = μ + σ · noise, the gradient is (noise / σ, noise² - 1).
        """
        noise = episode.obs[0, :, self.problem.obs_dim :]
        _, log_std = self.gaussian(theta)
        gradient = torch.cat([noise * torch.exp(-log_std), noise.square() - 1], -1)
        returns = self.return_norm(episode_returns(episode)[:, None])
        # Without statistics nothing is known to be better than usual.
        known = self.return_norm.count > 0
        return gradient * returns.where(known, 0.0)

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO through the inner steps; returns means over the gradient steps."""
        ticks = trial.ticks
        batch = self.outer_batch(trial)
        steps = self.config.gradient_steps
        logs = [self.step(batch) for _ in range(steps)]
        # Only now, so that every likelihood ratio is between policies of the same normalization.
        self.obs_norm.update(ticks.obs[ticks.valid])
        returns = (ticks.reward * ticks.valid).sum(1)
        self.return_norm.update(returns.flatten()[:, None])
        return mean_logs(logs)

    def outer_batch(self, trial: TrialBatch) -> OuterBatch:
        """The trials with their noise; advantages are those of the training reward.

        Episodes without recorded noise count as acted under μ.
        """
        ticks = trial.ticks
        episodes, _, n = ticks.reward.shape
        noise = trial.noise
        if noise is None:
            noise = ticks.reward.new_zeros(episodes, n, self.config.latent_dim)
        batch = self.prepare(with_noise(ticks, noise))
        if self.problem.training_reward is None:
            return batch
        dense = with_training_reward(self.problem, ticks, trial.task)
        c = self.config
        advantages = [self.advantages(dense[e], c.gamma, c.gae_lambda) for e in range(episodes)]
        return replace(batch, advantage=torch.stack(advantages))

    def outer_losses(self, batch: OuterBatch, thetas: Sequence[Tensor]) -> dict[str, Tensor]:
        """MAML's, plus the KL from N(0, I) of the beliefs before a step."""
        losses = super().outer_losses(batch, thetas)
        kl = torch.stack([self.prior_kl(theta) for theta in thetas[:-1]]).mean()
        outer = losses["outer"] + self.config.kl_weight * kl
        return {**losses, "outer": outer, "belief_kl": kl}

    def prior_kl(self, theta: Tensor) -> Tensor:
        """KL(N(μ, σ²) ‖ N(0, I)) of each belief, (n,) nats."""
        mean, log_std = self.gaussian(theta)
        zeros = torch.zeros_like(mean)
        return clipped_gaussian.divergence(mean, log_std, zeros, zeros)


def with_noise(ticks: Transition, noise: Tensor) -> Transition:
    """Ticks (..., H, n, k) whose observations have noise (..., n, l) of their episode beside them."""
    wide = noise.unsqueeze(-3).expand(*ticks.reward.shape, -1)
    return replace(ticks, obs=torch.cat([ticks.obs, wide], -1))


def episode_returns(episode: Transition) -> Tensor:
    """Undiscounted returns (n,) of an episode (H, n, ...)."""
    return (episode.reward * episode.valid).sum(0)
