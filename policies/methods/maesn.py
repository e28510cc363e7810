"""MAESN (Gupta et al. 2018): MAML of a latent z that is drawn once per episode.

The policy reads the observation and z, and every task has a belief N(μ, σ²) over z. An episode acts
under a single z = μ + σ · noise, so that it explores one strategy, and the next episode another.
After an episode, the belief takes a step along the gradient of the return:

    (μ, log σ)' = (μ, log σ) + α · g + β · s,

    g = ∇ mean(π(action | obs, μ + σ · noise) / π_acting(action) · advantage)
    s = ∇ log N(z; μ, σ²) · (return - average return in training) / its standard deviation,

with step sizes α and β that are learned, one per parameter. Both g and s estimate the gradient of
the expected return. For g the actions' own noise tells which change of z is better. s moves the
belief towards a z that was better than usual, and away from one that was worse.

In training, a share of the tasks begins at a belief of its own, N(μ_i, σ_i²). It is learned with
the outer objective, and ``kl_weight`` times its KL divergence from N(0, I) is added for every step.
So a draw of N(0, I) is a strategy that suits some task. In use every task begins at N(0, I), as the
other training tasks do.

The outer objective is that of ``maml``: PPO's on the episodes after a step, differentiated through
the steps. Noise is recorded in the trial, so that an episode's z is a function of the parameters
when they are learned. Differences from the published code:

- Every trial has a new task, so there is no table of (μ_i, σ_i) as the published code has for its
  100 training tasks. A network computes them from the true task parameters, which are known in
  training. Evaluation and deployment do not use this network.
- Some training tasks begin at the prior (``own_share``), so that the steps suit this start, too.
- A step uses one episode instead of 20 to 50, so g is added. The published code has s alone, with
  advantages among these episodes in place of the standardized return.
- The outer objective is PPO's instead of TRPO's, and counts the episodes after every step.
- Where the family has a training reward, the outer objective learns from it, and the steps from the
  true reward alone, as in use. The paper shapes rewards in training, too.
- Without exploration it acts under z = μ.
- ``adapt_policy`` lets the step change the policy's parameters too; the code does not by default.

Axes: E episodes, H steps, n worlds, o observation, p task parameters, P parameters of a policy,
l latent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from policies.method import (
    CollectsOtherwise,
    DrawsNoise,
    Problem,
    Transition,
    TrialBatch,
    with_training_reward,
)
from policies.methods.maml import Maml, MamlBelief, MamlConfig, OuterBatch
from policies.models.own_beliefs import OwnBeliefs, with_noise
from policies.nn.adam import Adam
from policies.nn.batched_policy import BatchedPolicy
from policies.nn.noise import standard_normal
from policies.nn.normalizer import RunningNormalizer
from policies.ranges import LayerWidths, NonNegative, Positive, Share, Width
from policies.rl import clipped_gaussian

LOG_STD_BOUND = 3.0  # |log σ| is at most this much, whatever a step does


@dataclass(frozen=True)
class MaesnConfig(MamlConfig):
    """MAML's settings and those of the latent; "original" is the authors' code."""

    latent_dim: Width = 2  # l, columns of z (original)
    latent_lr: Positive = 0.5  # initial α of μ and log σ (original)
    score_lr: NonNegative = 0.1  # initial β of μ and log σ; original 0.5, of 20 episodes
    # weight of the KL of the tasks' own beliefs, for each step (original, or 0.1)
    kl_weight: NonNegative = 0.5
    own_share: Share = 0.5  # share of the training tasks that begin at a belief of their own
    own_hidden: LayerWidths = (64,)  # layer widths of the network that gives these beliefs
    adapt_policy: bool = False  # whether a step changes the policy's own parameters (original)


@dataclass(frozen=True)
class MaesnBelief(MamlBelief):
    """The policy's parameters, μ and log σ of each task (n, P + 2l), and its episode's noise."""

    noise: Tensor  # (n, l)


class Maesn(Maml, DrawsNoise[MaesnBelief], CollectsOtherwise):
    """``Maml`` on episodes whose observations have their noise beside them, (H, n, o + l)."""

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
        inputs = problem.obs_dim + config.latent_dim
        self.policy = BatchedPolicy((inputs, *config.hidden, problem.action_dim))
        theta = self.policy.initial(config.init_std, self.generator)
        self.standard = theta.new_zeros(2 * config.latent_dim)  # μ and log σ of N(0, I)
        learned = {
            "theta": theta,
            "latent_lr": torch.full_like(self.standard, config.latent_lr),
            "score_lr": torch.full_like(self.standard, config.score_lr),
        }
        if config.adapt_policy:
            learned["inner_lr"] = torch.full_like(theta, config.inner_lr)
        self.net = nn.ParameterDict(learned)
        self.own_beliefs = OwnBeliefs(problem, config.own_hidden, config.latent_dim, self.generator)
        self.net.add_module("own_beliefs", self.own_beliefs)
        self.return_norm = RunningNormalizer(1, device)
        self.optimizer = Adam(self.net.parameters(), lr=config.lr, fused=True)

    @property
    def collector(self) -> "StartsAtOwnBeliefs":
        """The method with the beliefs of the training tasks."""
        return StartsAtOwnBeliefs(self)

    def start(self, n: int, task: Tensor | None = None) -> Tensor:
        """The policy's parameters and the prior N(0, I), (n, P + 2l).

        The first ``own_share`` of training tasks (n, p) begin at their own beliefs instead.
        """
        policy = self.net["theta"].expand(n, -1)
        belief = self.standard.expand(n, -1)
        if task is not None:
            owners = round(self.config.own_share * n)
            own = self.own_beliefs(task[:owners])
            belief = torch.cat([own, belief[owners:]])
        return torch.cat([policy, belief], -1)

    def prior(self, n: int, task: Tensor | None = None) -> MaesnBelief:
        """N(0, I) for every task, and the noise of its first episode."""
        return self.draw(super().prior(n))

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
        mean, log_std = self.policy_under(belief.theta, self.obs_norm(obs)[None], noise)
        return clipped_gaussian.sample(mean[0], log_std, self.generator if explore else None)

    def adapt(self, belief: MamlBelief, episode: Transition) -> MaesnBelief:
        """One step on an episode (H, n, ...) that explored, and noise for the next one."""
        assert isinstance(belief, MaesnBelief)
        stepped = super().adapt(belief, with_noise(episode, belief.noise))
        return self.draw(stepped)

    def _explored(self, theta: Tensor, episode: Transition) -> Tensor:
        """Whether a valid action differs from the policy's mean under μ, (n,) bool."""
        obs, noise = self.split(episode.obs)
        without = torch.cat([obs, torch.zeros_like(noise)], -1)
        return super()._explored(theta, replace(episode, obs=without))

    def split(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The observation (..., o) and the noise (..., l) beside it."""
        o = self.problem.obs_dim
        return obs[..., :o], obs[..., o:]

    def parts(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The policy's own parameters (n, P), and μ and log σ, both (n, l)."""
        latent = self.config.latent_dim
        columns = theta.shape[1] - 2 * latent
        policy, mean, log_std = theta.split([columns, latent, latent], -1)
        return policy, mean, log_std.clamp(-LOG_STD_BOUND, LOG_STD_BOUND)

    def latent(self, theta: Tensor, noise: Tensor) -> Tensor:
        """z = μ + σ · noise, for noise (..., n, l)."""
        _, mean, log_std = self.parts(theta)
        return mean + log_std.exp() * noise

    def observations(self, episode: Transition) -> Tensor:
        """Normalized observations (H, n, o), without the noise beside them."""
        obs, _ = self.split(episode.obs)
        return super().observations(replace(episode, obs=obs))

    def distribution(self, theta: Tensor, episode: Transition) -> tuple[Tensor, Tensor]:
        """Means (H, n, a) and log standard deviations (n, a) of actions under the episode's z."""
        _, noise = self.split(episode.obs)
        return self.policy_under(theta, self.observations(episode), noise)

    def policy_under(self, theta: Tensor, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Means (H, n, a) and log standard deviations (n, a) of actions under z = μ + σ · noise.

        Args:
            theta: (n, P + 2l)
            obs: (H, n, o) normalized.
            noise: (n, l) or (H, n, l)
        """
        policy, _, _ = self.parts(theta)
        z = self.latent(theta, noise)
        inputs = torch.cat([obs, z.expand(len(obs), -1, -1)], -1)
        return self.policy(policy, inputs)

    def inner_step(self, theta: Tensor, episode: Transition, acting_log_prob: Tensor) -> Tensor:
        """The parameters (n, P + 2l) after a step, see the top of the file."""
        gradient = self.inner_gradient(theta, episode, acting_log_prob)
        latent = 2 * self.config.latent_dim
        of_policy = gradient[:, :-latent]
        of_latent = gradient[:, -latent:]
        policy_step = torch.zeros_like(of_policy)
        if self.config.adapt_policy:
            policy_step = self.net["inner_lr"] * of_policy
        by_actions = self.net["latent_lr"] * of_latent
        by_return = self.net["score_lr"] * self.score(theta, episode)
        step = torch.cat([policy_step, by_actions + by_return], -1)
        return theta + step

    def score(self, theta: Tensor, episode: Transition) -> Tensor:
        """∇ log N(z; μ, σ²) with respect to (μ, log σ), times the standardized return, (n, 2l).

        With z = μ + σ · noise, the gradient is (noise / σ, noise² - 1).
        """
        _, noise = self.split(episode.obs[0])
        _, _, log_std = self.parts(theta)
        of_mean = noise * torch.exp(-log_std)
        of_log_std = noise.square() - 1
        gradient = torch.cat([of_mean, of_log_std], -1)
        returns = (episode.reward * episode.valid).sum(0)
        standardized = self.return_norm(returns[:, None])
        # Without statistics nothing is known to be better than usual.
        known: Tensor = standardized.where(self.return_norm.count > 0, 0.0)
        return gradient * known

    def learn(self, trial: TrialBatch) -> dict[str, float]:
        """PPO through the inner steps; returns means over the gradient steps."""
        log = super().learn(trial)
        self.return_norm.update(trial.returns.flatten()[:, None])
        return log

    def outer_batch(self, trial: TrialBatch) -> OuterBatch:
        """The collector's trials with their noise; advantages are those of the training reward.

        Episodes without recorded noise count as acted under μ.
        """
        ticks = trial.ticks
        episodes, _, n = ticks.reward.shape
        noise = trial.noise
        if noise is None:
            noise = ticks.reward.new_zeros(episodes, n, self.config.latent_dim)
        batch = self.prepare(with_noise(ticks, noise), trial.task)
        if self.problem.training_reward is None:
            return batch

        dense = with_training_reward(self.problem, ticks, trial.task)
        c = self.config
        advantages = [self.advantages(dense[e], c.gamma, c.gae_lambda) for e in range(episodes)]
        return replace(batch, advantage=torch.stack(advantages))

    def outer_losses(self, batch: OuterBatch, thetas: Sequence[Tensor]) -> dict[str, Tensor]:
        """MAML's, plus for each step the KL from N(0, I) of the belief that a task begins at."""
        losses = super().outer_losses(batch, thetas)
        kl = self.prior_kl(thetas[0]).mean()
        steps = len(thetas) - 1
        outer = losses["outer"] + self.config.kl_weight * steps * kl
        return {**losses, "outer": outer, "belief_kl": kl}

    def prior_kl(self, theta: Tensor) -> Tensor:
        """KL(N(μ, σ²) ‖ N(0, I)) of each belief, (n,) nats."""
        _, mean, log_std = self.parts(theta)
        zeros = torch.zeros_like(mean)
        return clipped_gaussian.divergence(mean, log_std, zeros, zeros)


class StartsAtOwnBeliefs(DrawsNoise[MaesnBelief]):
    """Acts and adapts as the method, in training tasks that begin at beliefs of their own."""

    privileged = True  # it reads the true task, in training alone

    def __init__(self, method: Maesn) -> None:
        self.method = method
        self.act = method.act
        self.observe = method.observe
        self.adapt = method.adapt

    def prior(self, n: int, task: Tensor | None = None) -> MaesnBelief:
        """The tasks' own beliefs, and the noise of the first episode."""
        theta = self.method.start(n, task).detach().clone()
        return self.method.draw(MamlBelief(theta))

    def episode_noise(self, belief: MaesnBelief) -> Tensor:
        """As of the method."""
        return self.method.episode_noise(belief)
