"""Dynamics under a recurrent summary of the trial: a GRU reads every transition.

The memory learns to keep what helps to predict the future, without assumptions about its form, so
its summary z can also follow a task that changes. An input of the memory is a whole transition:
observation, action and outcome together. Given z, an ensemble of networks predicts the next
observation (``policies.models.predictor``).

Axes: m members, n worlds, b tasks of a batch, w windows per task, L transitions of a task, h
memory, l columns of z.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policies.method import Transition
from policies.models.posterior import context_dim, context_features
from policies.models.predictor import Predictor, PredictorConfig, TaskModel
from policies.models.windows import episode_windows
from policies.nn.memory import GruMemory
from policies.nn.networks import mlp
from policies.nn.noise import uniform
from policies.nn.normalizer import RunningNormalizer
from policies.ranges import Count, Width


@dataclass(frozen=True)
class RecurrentDynamicsConfig(PredictorConfig):
    """Settings of the model."""

    memory_size: Width = 64  # units of the GRU
    summary_dim: Width = 8  # columns of z
    # transitions that gradients are backpropagated through; of a longer trial a random part, before
    # which the memory is empty. ReBAL has 100
    segment: Count = 128


class RecurrentDynamics(TaskModel):
    """The memory with its statistics, and the predictor."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        predict_reward: bool,
        config: RecurrentDynamicsConfig,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device."""
        super().__init__()
        self.config = config
        columns = context_dim(obs_dim, action_dim)
        self.context_norm = RunningNormalizer(columns, generator.device)
        self.embed = mlp([columns, config.memory_size], generator)
        self.memory = GruMemory(config.memory_size, config.memory_size, generator)
        self.head = mlp([config.memory_size, config.summary_dim], generator)
        widths = (obs_dim, action_dim, config.summary_dim)
        self.predictor = Predictor(*widths, predict_reward, config, generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        self.predictor.update(t)
        self.context_norm.update(context_features(t))

    def summarize(self, hidden: Tensor) -> Tensor:
        """z (..., l) of memories (..., h)."""
        z: Tensor = self.head(hidden)
        return z

    @torch.no_grad()
    def observe(self, hidden: Tensor, t: Transition) -> Tensor:
        """The memory (n, h) after one more transition; unchanged if that is not valid."""
        _, after = self.memory.step(self._inputs(t), hidden)
        return torch.where(t.valid[:, None], after, hidden)

    def scan(self, t: Transition) -> Tensor:
        """Memories (L + 1, b, h) after 0, 1, ..., L of the transitions of trials (b, L, ...)."""
        inputs = self._inputs(t).transpose(0, 1)
        empty = self.memory.initial(inputs.shape[1])
        hidden, _ = self.memory.scan(inputs, empty)
        return torch.cat([empty[None], hidden])

    def _inputs(self, t: Transition) -> Tensor:
        """The memory's inputs (..., h) for transitions (...)."""
        x = self.context_norm(context_features(t))
        return torch.relu(self.embed(x))

    def loss(
        self,
        t: Transition,
        mask: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Negative log-likelihood of K-step predictions, as "nll".

        Each member samples its own windows. z summarizes the transitions before the window, so that
        the model never conditions on what it predicts. Windows end with the episode.

        Args:
            t: trials (b, L, ...) in time order.
            mask: (b, L) bool, which transitions exist.
            generator: of the windows.
        """
        c = self.config
        z = self.summarize(self.scan(t)).transpose(0, 1)  # (b, L + 1, l)
        length = mask.sum(1)[:, None]
        u = uniform((c.ensemble_size, len(mask), c.windows_per_task), generator)
        start = (u * length).long()  # (m, b, w)
        tasks = torch.arange(len(mask), device=mask.device)[:, None]
        z_before = z[tasks, start].flatten(1, 2)  # (m, b·w, l)
        window, window_mask = episode_windows(t, mask, start, 0, c.unroll_steps)
        return {"nll": self.predictor.loss(window, window_mask, z_before)}
