"""Dynamics under a latent task z that is inferred from transitions.

An encoder maps each transition to measurements of z (``policies.models.posterior``). Given z, an
ensemble of networks predicts the next observation (``policies.models.predictor``).

Axes: m members, n worlds, b tasks of a batch, w windows per task, L transitions of a task, K steps
of a window, l latent.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from policies.method import Transition
from policies.models.posterior import Encoder, Posterior, context_dim, context_features, prior
from policies.models.predictor import Predictor, PredictorConfig, TaskModel
from policies.models.windows import episode_windows
from policies.nn.noise import standard_normal, uniform
from policies.nn.normalizer import RunningNormalizer
from policies.ranges import Count, LayerWidths, NonNegative, WholeNumber, Width
from robots.errors import BadArgumentError


@dataclass(frozen=True)
class DynamicsConfig(PredictorConfig):
    """Settings of the model."""

    latent_dim: Width = 4  # dimensions of the latent task
    factor_rank: Count = 2  # measurements of the latent in one transition
    encoder_hidden: LayerWidths = (128, 128)  # layer widths of the encoder (CaDM: 256, 128, 64)
    # number of a task's windows that are predicted under the belief of an earlier tick, so that the
    # model is also trained under uncertain beliefs
    early_belief_windows: WholeNumber = 0
    # weight of the belief's KL from its prior, relative to the log-likelihood of one step; the
    # evidence lower bound of a trial of 60 steps has 1/60 = 0.017
    kl_weight: NonNegative = 0.005

    def __post_init__(self) -> None:
        """BadArgumentError if ``early_belief_windows`` exceeds the windows of a task."""
        if self.early_belief_windows > self.windows_per_task:
            raise BadArgumentError(
                f"early_belief_windows={self.early_belief_windows} is more than "
                f"windows_per_task={self.windows_per_task}"
            )


class Dynamics(TaskModel):
    """The encoder with its statistics, and the predictor."""

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
        self.config = config
        context_columns = context_dim(obs_dim, action_dim)
        self.context_norm = RunningNormalizer(context_columns, generator.device)
        self.encoder = Encoder(
            context_columns,
            config.encoder_hidden,
            config.latent_dim,
            config.factor_rank,
            generator,
        )
        widths = (obs_dim, action_dim, config.latent_dim)
        self.predictor = Predictor(*widths, predict_reward, config, generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        self.predictor.update(t)
        self.context_norm.update(context_features(t))

    def evidence(self, t: Transition, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What transitions add to a belief: precision (..., l, l) and weighted sum (..., l).

        Args:
            t: transitions (...).
            mask: (...,) bool; a transition that is not set adds nothing.
        """
        x = self.context_norm(context_features(t))
        precision, weighted = self.encoder(x, mask)
        return precision, weighted

    def infer(self, t: Transition, mask: Tensor) -> Posterior:
        """The beliefs from contexts.

        Args:
            t: transitions (b, c, ...).
            mask: (b, c) bool, which of them belong to the contexts.
        """
        x = self.context_norm(context_features(t))
        precision, weighted = self.encoder.total(x, mask)
        start = prior(len(mask), self.config.latent_dim, mask.device)
        return start.update(precision, weighted).bounded()

    @torch.no_grad()
    def observe(self, belief: Posterior, t: Transition) -> Posterior:
        """The belief after one more transition (n, ...), at constant cost."""
        return belief.update(*self.evidence(t, t.valid)).bounded()

    def loss(
        self,
        t: Transition,
        mask: Tensor,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Negative ELBO per step of K-step predictions.

        Each member samples its own windows. z is drawn from the posterior given the transitions
        before the window (for ``early_belief_windows`` of them, before an earlier random tick), so
        that the model never conditions on what it predicts. Windows end with the episode.

        Args:
            t: trials (b, L, ...) in time order.
            mask: (b, L) bool, which transitions exist.
            generator: of the windows and the samples of z.

        Returns:
            "nll" and the weighted "kl", scalars, nats.
        """
        c = self.config
        start, context_length = self._sample_windows(mask, generator)  # (m, b, w)
        belief = self._belief_after(t, context_length)
        noise = standard_normal((*start.shape, c.latent_dim), generator)
        z = belief.reparameterize(noise).flatten(1, 2)  # (m, b·w, l)

        window, window_mask = episode_windows(t, mask, start, 0, c.unroll_steps)
        nll = self.predictor.loss(window, window_mask, z)
        kl = belief.kl().mean()
        return {"nll": nll, "kl": c.kl_weight * kl}

    def _sample_windows(self, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each window's first tick, and how many of the trial's transitions its belief has seen.

        Both are (m, b, w), for a mask (b, L).
        """
        c = self.config
        tasks = len(mask)
        length = mask.sum(1)[:, None]
        u = uniform((c.ensemble_size, tasks, c.windows_per_task), generator)
        start = (u * length).long()
        context_length = start.clone()
        early = context_length[..., : c.early_belief_windows]  # a view
        u = uniform(early.shape, generator)
        early.copy_(u * (early + 1))
        return start, context_length

    def _belief_after(self, t: Transition, count: Tensor) -> Posterior:
        """The belief after the first ``count`` (m, b, w) transitions of trials (b, L, ...)."""
        precision, weighted = self.evidence(t, t.valid)
        device = count.device
        identity = torch.eye(self.config.latent_dim, device=device)
        tasks = torch.arange(len(weighted), device=device)[:, None]
        precision = _cumulative(precision)[tasks, count]
        weighted = _cumulative(weighted)[tasks, count]
        return Posterior(identity + precision, weighted).bounded()


def _cumulative(x: Tensor) -> Tensor:
    """Sums (b, L + 1, ...) over the first 0, 1, ..., L rows of (b, L, ...)."""
    nothing = torch.zeros_like(x[:, :1])
    return torch.cat([nothing, x.cumsum(1)], 1)
