"""Dynamics under a latent task z: an ensemble of Gaussian networks predicts the next observation.

An encoder reads each transition's measurements of z (``policies.models.posterior``). The networks
(PE-TS, Chua et al. 2018) predict the change of the observation given z, unrolled over a few steps
in training (CaDM, Lee et al. 2020). Their noise has one variance per column, the mean squared error
(the optimal σ of Rybkin et al. 2021). A reward that depends on the task has networks of its own
(``policies.models.reward_model``).

Axes: m members, n worlds, b tasks of a batch, w windows per task, L transitions of a task, K steps
of a window, P candidates, H planned steps, o observation, a action, l latent, r = 1 where the
reward is predicted too, else 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.models.posterior import Encoder, Posterior, context_dim, context_features, prior
from policies.models.reward_model import RewardModel
from policies.models.windows import episode_windows
from policies.nn.networks import Ensemble
from policies.nn.noise import standard_normal, uniform
from policies.nn.normalizer import RunningNormalizer
from policies.nn.rollout import predict_steps
from policies.ranges import (
    Count,
    LayerWidths,
    NonNegative,
    Positive,
    PositiveShare,
    WholeNumber,
    Width,
)
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class DynamicsConfig:
    """Settings of the model."""

    ensemble_size: Count = 3  # networks (PE-TS has 5)
    # layer widths of the networks; CaDM has 4 × 200, these are what a CPU core can plan with
    hidden: LayerWidths = (128, 128)
    reward_hidden: LayerWidths = (64, 64)  # layer widths of the networks that predict rewards
    latent_dim: Width = 4  # dimensions of the latent task
    factor_rank: Count = 2  # measurements of the latent in one transition
    encoder_hidden: LayerWidths = (128, 128)  # layer widths of the encoder (CaDM: 256, 128, 64)
    unroll_steps: Count = 4  # steps predicted in training (CaDM has 10)
    windows_per_task: Count = 16  # windows of each task and member in a batch
    # how many of these windows are predicted under the belief of an earlier tick, so that the model
    # is trained under uncertain beliefs too
    early_belief_windows: WholeNumber = 0
    # weight of the belief's KL from its prior, beside the likelihood of one step; the evidence
    # lower bound of a trial of 60 steps has 1/60 = 0.017
    kl_weight: NonNegative = 0.005
    min_noise_std: Positive = 0.01  # smallest noise, as a share of the change's std
    noise_ema_rate: PositiveShare = 0.02  # rate at which the noise variance follows the errors
    # plan with products of bfloat16, where the processor has them and there is a C compiler: twice
    # as fast; predicted changes differ by about 1 %, so another plan may be the best one. Not by
    # default: a policy must decide on the machine that it drives an arm from as it did in training
    bfloat16_rollouts: bool = False

    def __post_init__(self) -> None:
        """BadArgumentError where ``early_belief_windows`` exceeds the windows of a task."""
        if self.early_belief_windows > self.windows_per_task:
            raise BadArgumentError(
                f"early_belief_windows={self.early_belief_windows} is more than "
                f"windows_per_task={self.windows_per_task}"
            )


class Dynamics(nn.Module):
    """Encoder, ensemble and the statistics of their inputs and outputs."""

    noise_variance: Tensor  # (m, o + r) of normalized errors

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        predict_reward: bool,
        config: DynamicsConfig,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device."""
        super().__init__()
        device = generator.device
        self.config = config
        context_columns = context_dim(obs_dim, action_dim)
        self.obs_norm = RunningNormalizer(obs_dim, device)
        self.delta_norm = RunningNormalizer(obs_dim, device)
        self.context_norm = RunningNormalizer(context_columns, device)
        self.encoder = Encoder(
            context_columns,
            config.encoder_hidden,
            config.latent_dim,
            config.factor_rank,
            generator,
        )
        ones = torch.ones(config.ensemble_size, obs_dim + predict_reward, device=device)
        self.register_buffer("noise_variance", ones)
        sizes = [obs_dim + action_dim + config.latent_dim, *config.hidden, obs_dim]
        self.ensemble = Ensemble(config.ensemble_size, sizes, generator)
        self.reward_model: RewardModel | None = None
        if predict_reward:
            widths = (obs_dim, action_dim, config.latent_dim)
            hidden = config.reward_hidden
            self.reward_model = RewardModel(*widths, config.ensemble_size, hidden, generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        self.obs_norm.update(t.obs)
        self.delta_norm.update(t.next_obs - t.obs)
        self.context_norm.update(context_features(t))
        if self.reward_model is not None:
            self.reward_model.update(t)

    def delta_std(self) -> Tensor:
        """Standard deviation of each column's change, (o,); 0 for one that never changes."""
        return self.delta_norm.std().float()

    def evidence(self, t: Transition, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What transitions in a mask add to a belief: precision (..., l, l), weighted (..., l)."""
        x = self.context_norm(context_features(t))
        precision, weighted = self.encoder(x, mask)
        return precision, weighted

    def infer(self, t: Transition, mask: Tensor) -> Posterior:
        """The beliefs from contexts (b, c, ...); ``mask`` (b, c) tells what belongs to them."""
        x = self.context_norm(context_features(t))
        precision, weighted = self.encoder.total(x, mask)
        start = prior(len(mask), self.config.latent_dim, mask.device)
        return start.update(precision, weighted).bounded()

    @torch.no_grad()
    def observe(self, belief: Posterior, t: Transition) -> Posterior:
        """The belief after one more transition of n worlds, at constant cost."""
        return belief.update(*self.evidence(t, t.valid)).bounded()

    def predict(
        self,
        obs: Tensor,
        applied: Tensor,
        z: Tensor,
    ) -> Tensor:
        """Each member's mean change of the observation, (m, b, o), from (m, b, ...)."""
        inputs = torch.cat([self.obs_norm(obs), applied, z], -1)
        out: Tensor = self.ensemble(inputs)
        return self.delta_norm.mean + self.delta_std() * out

    def loss(
        self,
        t: Transition,
        mask: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Negative ELBO per step of K-step predictions.

        Each member samples windows of its own. z is drawn from the posterior given the transitions
        before the window (for ``early_belief_windows``, before an earlier random tick), so that the
        model never conditions on what it predicts. Windows stop at the episode's end.

        Args:
            t: trials (b, L, ...) in time order.
            mask: (b, L) bool, which transitions exist.
            generator: of windows and samples of z.

        Returns:
            "nll" and the weighted "kl", scalars, nats.
        """
        c = self.config
        start, known = self._sample_windows(mask, generator)  # (m, b, w)
        belief = self._belief_before(t, known)
        noise = standard_normal((*start.shape, c.latent_dim), generator)
        z = belief.reparameterize(noise).flatten(1, 2)  # (m, b·w, l)

        window, window_mask = episode_windows(t, mask, start, 0, c.unroll_steps)
        error = self._normalized_errors(window, z)
        square = error.square() * window_mask[..., None]
        steps = window_mask.sum((1, 2))  # (m,)
        mse = square.sum((1, 2)) / steps.clamp(min=1)[:, None]  # (m, o + r)
        self._update_noise(mse.detach())
        variance = self.noise_variance
        nll = 0.5 * (mse / variance + variance.log())
        kl = belief.kl().mean()
        return {"nll": nll.sum(-1).mean(), "kl": c.kl_weight * kl}

    def _normalized_errors(self, window: Transition, z: Tensor) -> Tensor:
        """Errors (m, b·w, K, o + r) in windows (m, b·w, K, ...), in standard deviations.

        Observations are predicted from the window's first one; every step starts where the last
        prediction ended. Rewards are those of the true transitions.
        """
        obs = window.obs[:, :, 0]
        errors = []
        for k in range(self.config.unroll_steps):
            step = window[:, :, k]
            obs = obs + self.predict(obs, step.applied, z)
            error = (step.next_obs - obs) * self.delta_norm.inv_std
            if self.reward_model is not None:
                reward_error = self.reward_model.normalized_error(step, z)
                error = torch.cat([error, reward_error], -1)
            errors.append(error)
        return torch.stack(errors, 2)

    def _sample_windows(self, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each window's first transition, and the number of transitions in its belief.

        Both are (m, b, w), from a mask (b, L).
        """
        c = self.config
        tasks = len(mask)
        length = mask.sum(1)[:, None]
        u = uniform((c.ensemble_size, tasks, c.windows_per_task), generator)
        start = (u * length).long()
        known = start.clone()
        early = known[..., : c.early_belief_windows]  # a view
        u = uniform(early.shape, generator)
        early.copy_(u * (early + 1))
        return start, known

    def _belief_before(self, t: Transition, known: Tensor) -> Posterior:
        """The belief after the first ``known`` (m, b, w) transitions of trials (b, L, ...)."""
        precision, weighted = self.evidence(t, t.valid)
        device = known.device
        identity = torch.eye(self.config.latent_dim, device=device)
        tasks = torch.arange(len(weighted), device=device)[:, None]
        precision = _cumulative(precision)[tasks, known]
        weighted = _cumulative(weighted)[tasks, known]
        return Posterior(identity + precision, weighted).bounded()

    def _update_noise(self, mse: Tensor) -> None:
        """Move the noise variance (m, o + r) toward the mean squared errors."""
        c = self.config
        target = mse.clamp(min=c.min_noise_std**2)
        self.noise_variance.copy_(self.noise_variance.lerp(target, c.noise_ema_rate))

    def rollout(
        self,
        obs: Tensor,
        actions: Tensor,
        z: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Each member's prediction for candidates: the same as ``predict`` step by step.

        Args:
            obs: (n, o) where all candidates start.
            actions: (n, P, H, a)
            z: (m, n, l)

        Returns:
            Observations (H + 1, m, n, P, o), the first one ``obs``, and rewards (H, m, n, P, r).
        """
        n, candidates, steps, _ = actions.shape
        rows = n * candidates
        states = obs.new_empty(steps + 1, len(z), rows, obs.shape[-1])
        states[0] = obs.repeat_interleave(candidates, 0)
        z = z.repeat_interleave(candidates, 1)  # (m, n·P, l)
        actions = actions.flatten(0, 1).transpose(0, 1)  # (H, n·P, a)
        layers = self._folded_layers()
        predict_steps(layers, states, actions, z, self.config.bfloat16_rollouts)
        if self.reward_model is None:
            rewards = states.new_empty(steps, len(z), rows, 0)
        else:
            rewards = self.reward_model.along(states, actions, z)
        shape = (n, candidates)
        return states.unflatten(2, shape), rewards.unflatten(2, shape)

    def _folded_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases with the normalization folded into the first and the last layer.

        First layer: ((x - mean) · inv_std) · W + b = x · (inv_std · W) + (b - mean · inv_std · W).
        Last layer: delta_mean + delta_std · (h · W + b). Inputs are not clipped.
        """
        weights = list(self.ensemble.weights)
        biases = list(self.ensemble.biases)
        obs_dim = len(self.obs_norm.mean)
        inputs = weights[0].shape[1]
        mean = weights[0].new_zeros(inputs, 1)  # action and z are not normalized
        mean[:obs_dim, 0] = self.obs_norm.mean
        inv_std = torch.ones_like(mean)
        inv_std[:obs_dim, 0] = self.obs_norm.inv_std
        shift = mean * inv_std * weights[0]
        biases[0] = biases[0] - shift.sum(1, keepdim=True)
        weights[0] = weights[0] * inv_std
        std = self.delta_std()
        weights[-1] = weights[-1] * std
        biases[-1] = biases[-1] * std + self.delta_norm.mean
        return list(zip(weights, biases, strict=True))


def _cumulative(x: Tensor) -> Tensor:
    """Sums (b, L + 1, ...) over the first 0, 1, ..., L rows of (b, L, ...)."""
    nothing = torch.zeros_like(x[:, :1])
    return torch.cat([nothing, x.cumsum(1)], 1)
