"""Dynamics given a summary z of the task: an ensemble of Gaussian networks.

The networks (PE-TS, Chua et al. 2018) predict the change of the observation given z, unrolled over
a few steps in training (CaDM, Lee et al. 2020). Their noise has one variance per column, the mean
squared error (the optimal σ of Rybkin et al. 2021). A reward that depends on the task is predicted
by separate networks (``policies.models.reward_model``). How z is inferred is up to the caller.

Axes: m members, n worlds, b rows, w windows per task, K steps of a window, P candidates, H planned
steps, o observation, a action, l columns of z, r = 1 if the reward is predicted too, else 0.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.models.reward_model import RewardModel
from policies.nn.networks import Ensemble
from policies.nn.normalizer import RunningNormalizer
from policies.nn.rollout import predict_steps
from policies.ranges import Count, LayerWidths, Positive, PositiveShare


@dataclass(frozen=True)
class PredictorConfig:
    """Settings of the networks and of the windows that they are trained on."""

    ensemble_size: Count = 3  # networks (PE-TS has 5)
    # layer widths of the networks; CaDM has 4 × 200, but a CPU core can plan with these
    hidden: LayerWidths = (128, 128)
    reward_hidden: LayerWidths = (64, 64)  # layer widths of the networks that predict rewards
    unroll_steps: Count = 4  # steps predicted in training (CaDM has 10)
    windows_per_task: Count = 16  # windows of each task and member in a batch
    min_noise_std: Positive = 0.01  # smallest noise, as a share of the change's std
    noise_ema_rate: PositiveShare = 0.02  # rate at which the noise variance follows the errors
    # plan with products of bfloat16, if the processor has them and there is a C compiler: twice as
    # fast; predicted changes differ by about 1 %, so another plan may be the best one. Off by
    # default: on the machine that drives the arm, a policy must decide as it did in training
    bfloat16_rollouts: bool = False


class Predictor(nn.Module):
    """The networks and the statistics of their inputs and outputs."""

    noise_variance: Tensor  # (m, o + r) of normalized errors

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        latent_dim: int,
        predict_reward: bool,
        config: PredictorConfig,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device; ``latent_dim`` is l."""
        super().__init__()
        device = generator.device
        self.config = config
        self.obs_norm = RunningNormalizer(obs_dim, device)
        self.delta_norm = RunningNormalizer(obs_dim, device)
        ones = torch.ones(config.ensemble_size, obs_dim + predict_reward, device=device)
        self.register_buffer("noise_variance", ones)
        sizes = [obs_dim + action_dim + latent_dim, *config.hidden, obs_dim]
        self.ensemble = Ensemble(config.ensemble_size, sizes, generator)
        self.reward_model: RewardModel | None = None
        if predict_reward:
            widths = (obs_dim, action_dim, latent_dim)
            hidden = config.reward_hidden
            self.reward_model = RewardModel(*widths, config.ensemble_size, hidden, generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        self.obs_norm.update(t.obs)
        self.delta_norm.update(t.next_obs - t.obs)
        if self.reward_model is not None:
            self.reward_model.update(t)

    def delta_std(self) -> Tensor:
        """Standard deviation of each column's change, (o,); 0 for one that never changes."""
        return self.delta_norm.std().float()

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

    def loss(self, window: Transition, mask: Tensor, z: Tensor) -> Tensor:
        """Negative log-likelihood of a step of K-step predictions, nats, a scalar.

        Args:
            window: (m, b·w, K, ...) windows of one episode each; every member has its own.
            mask: (m, b·w, K) bool, which transitions exist and are of that episode.
            z: (m, b·w, l) summaries under which the windows are predicted.
        """
        error = self._normalized_errors(window, z)
        square = error.square() * mask[..., None]
        steps = mask.sum((1, 2))  # (m,)
        mse = square.sum((1, 2)) / steps.clamp(min=1)[:, None]  # (m, o + r)
        self._update_noise(mse.detach())
        variance = self.noise_variance
        nll = 0.5 * (mse / variance + variance.log())
        return nll.sum(-1).mean()

    def _normalized_errors(self, window: Transition, z: Tensor) -> Tensor:
        """Errors (m, b·w, K, o + r) in windows (m, b·w, K, ...), in standard deviations.

        Observations are predicted from the window's first one; every step starts from the last
        prediction. Rewards are predicted from the true transitions.
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
        """Each member's prediction for candidate action sequences, as ``predict`` step by step.

        Args:
            obs: (n, o) where all candidates start.
            actions: (n, P, H, a)
            z: (m, n, l)

        Returns:
            Observations (H + 1, m, n, P, o), the first of which is ``obs``, and rewards
            (H, m, n, P, r).
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


class TaskModel(nn.Module, ABC):
    """A predictor, and the part that infers z from transitions; the two are trained together."""

    predictor: Predictor

    @abstractmethod
    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""

    @abstractmethod
    def loss(self, t: Transition, mask: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Losses by name, scalars whose sum is minimized.

        Args:
            t: trials (b, L, ...) in time order.
            mask: (b, L) bool, which transitions exist.
            generator: of all random numbers.
        """
