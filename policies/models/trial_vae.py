"""A variational autoencoder of trials (VariBAD, Zintgraf et al. 2020).

A recurrent encoder reads a trial tick by tick and gives, after each tick, a Gaussian over a latent
description z of the task. From z, decoders predict the reward and the next observation of every
tick of the trial, past or future. Predictions are in units of the running normalizers, with
variance 1.
Axes: L ticks of a trial, n worlds, o observation, a action, h memory, l latent.
"""

from dataclasses import dataclass
from typing import Annotated, Self

import torch
from msgspec import Meta
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.memory import GruMemory, Memory
from policies.nn.networks import mlp
from policies.nn.noise import standard_normal, uniform
from policies.nn.normalizer import RunningNormalizer
from policies.ranges import LayerWidths

DecoderWidths = Annotated[LayerWidths, Meta(min_length=1)]  # of each decoder, at least one layer


@dataclass(frozen=True)
class DiagonalGaussian:
    """Normal distributions with independent axes."""

    mean: Tensor  # (..., l)
    log_var: Tensor  # (..., l) logarithm of the variance

    def __getitem__(self, index: slice | tuple[Tensor, Tensor]) -> Self:
        """Index the leading axes."""
        return type(self)(self.mean[index], self.log_var[index])

    def sample(self, generator: torch.Generator) -> Tensor:
        """A draw (..., l) that gradients pass through."""
        noise = standard_normal(self.mean.shape, generator)
        std = (0.5 * self.log_var).exp()
        return self.mean + std * noise

    def kl(self, other: Self) -> Tensor:
        """KL(self ‖ other), nats, (...,)."""
        log_ratio = self.log_var - other.log_var
        ratio = log_ratio.exp()
        precision = torch.exp(-other.log_var)
        distance = (self.mean - other.mean).square() * precision
        terms = ratio + distance - 1 - log_ratio
        return 0.5 * terms.sum(-1)


def standard_gaussian(n: int, latent_dim: int, device: torch.device) -> DiagonalGaussian:
    """N(0, I) for n worlds, (n, l)."""
    zeros = torch.zeros(n, latent_dim, device=device)
    return DiagonalGaussian(zeros, zeros.clone())


class Decoder(nn.Module):
    """Predicts a tick's outcome from z.

    The first layer has separate parts for z and for the tick, so that each part is computed once
    when many z predict many ticks.
    """

    def __init__(
        self,
        latent_dim: int,
        inputs: int,
        hidden: tuple[int, ...],
        outputs: int,
        generator: torch.Generator,
    ) -> None:
        """From ``inputs`` columns of a tick; ``hidden`` are the widths of the layers."""
        super().__init__()
        self.from_z = mlp([latent_dim, hidden[0]], generator)
        self.from_tick = mlp([inputs, hidden[0]], generator)
        self.rest = mlp([*hidden, outputs], generator)

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        """Outputs (..., k) for z (..., l) and inputs (..., i), whose leading axes broadcast."""
        hidden = torch.relu(self.from_z(z) + self.from_tick(x))
        outputs: Tensor = self.rest(hidden)
        return outputs


class TrialVae(nn.Module):
    """Encoder and decoders; the weights live on the generator's device."""

    def __init__(
        self,
        obs: int,
        actions: int,
        memory: int,
        latent_dim: int,
        decoder_hidden: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        """Sizes are o, a, h and l; ``decoder_hidden`` are the widths of each decoder's layers."""
        super().__init__()
        self.latent_dim = latent_dim
        self.obs_norm = RunningNormalizer(obs, generator.device)
        self.change_norm = RunningNormalizer(obs, generator.device)
        self.reward_norm = RunningNormalizer(1, generator.device)
        self.embed = mlp([2 * obs + actions + 2, memory], generator)
        self.memory: Memory[Tensor] = GruMemory(memory, memory, generator)
        self.head: nn.Module = mlp([memory, 2 * latent_dim], generator)
        before = obs + actions
        self.obs_decoder = Decoder(latent_dim, before, decoder_hidden, obs, generator)
        self.reward_decoder = Decoder(latent_dim, before + obs, decoder_hidden, 1, generator)

    def step(self, tick: Transition, hidden: Tensor) -> tuple[Tensor, DiagonalGaussian]:
        """The memory (n, h) after one more tick (n, ...), and the belief (n, l) from it."""
        hidden, _ = self.memory.step(self._inputs(tick), hidden)
        return hidden, self._belief(hidden)

    def encode(self, ticks: Transition) -> DiagonalGaussian:
        """Beliefs (L + 1, n, l) about trials (L, n, ...): number t after t ticks, the prior first.

        The same as ``step`` gives tick by tick.
        """
        inputs = self._inputs(ticks)
        n = inputs.shape[1]
        empty = self.memory.initial(n)
        hidden, _ = self.memory.scan(inputs, empty)
        after = self._belief(hidden)
        prior = standard_gaussian(n, self.latent_dim, inputs.device)
        first_mean = prior.mean[None]
        first_log_var = prior.log_var[None]
        return DiagonalGaussian(
            mean=torch.cat([first_mean, after.mean]),
            log_var=torch.cat([first_log_var, after.log_var]),
        )

    def errors(self, z: Tensor, ticks: Transition) -> tuple[Tensor, Tensor]:
        """Squared errors of the predictions for ticks (..., n) from z (..., n, l).

        The leading axes broadcast: every z (T, 1, n, l) predicts every tick (D, n, ...).

        Returns:
            Of the reward and of the next observation, the latter summed over its columns, both
            (..., n).
        """
        obs, change, reward = self._normalized(ticks)
        before = torch.cat([obs, ticks.applied], -1)
        after = torch.cat([before, change], -1)  # a reward may depend on the next observation
        reward_error = self.reward_decoder(z, after) - reward
        change_error = self.obs_decoder(z, before) - change
        squared_reward_error = reward_error.square()
        squared_change_error = change_error.square()
        return squared_reward_error[..., 0], squared_change_error.sum(-1)

    def update(self, ticks: Transition) -> None:
        """Add transitions (b, ...) to the statistics of the normalizers."""
        self.obs_norm.update(ticks.obs)
        self.change_norm.update(ticks.next_obs - ticks.obs)
        self.reward_norm.update(ticks.reward[:, None])

    def _inputs(self, ticks: Transition) -> Tensor:
        """The memory's inputs (..., h): transitions (...), and whether they end an episode."""
        ends = ticks.terminated | ticks.truncated
        obs, change, reward = self._normalized(ticks)
        columns = [
            obs,
            ticks.applied,
            reward,
            change,
            ends[..., None].float(),
        ]
        embedded = self.embed(torch.cat(columns, -1))
        return torch.relu(embedded)

    def _normalized(self, ticks: Transition) -> tuple[Tensor, Tensor, Tensor]:
        """Observation (..., o), its change (..., o) and reward (..., 1) of ticks (...,)."""
        obs = self.obs_norm(ticks.obs)
        change = self.change_norm(ticks.next_obs - ticks.obs)
        reward = self.reward_norm(ticks.reward[..., None])
        return obs, change, reward

    def _belief(self, hidden: Tensor) -> DiagonalGaussian:
        mean, log_var = self.head(hidden).chunk(2, -1)
        return DiagonalGaussian(mean, log_var)


def random_ticks(count: int, length: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers (count, n) from 0 to ``length`` (n,), exclusive, with replacement."""
    u = uniform((count, len(length)), generator)
    return (u * length).long()
