"""What a batch learns from beside the uniform draws of the replay, chosen by ``replay.sampling``.

A method draws transitions of every task of a batch uniformly, and learns from them under its belief
about that task. ``propensity`` and ``remind`` then exchange a share of each task's transitions for
others, which are learned from under the same belief:

- ``propensity``: transitions of all tasks in the batch, drawn in proportion to their propensity,
  the ratio of their density in the task to that in all tasks (``policies.rl.propensity``).
- ``remind``: transitions that a diffusion model generates for the belief (``policies.rl.remind``).

Neither ever enters a context: a belief is inferred from what happened in its own task. Generated
evidence would be a consequence of the belief and would only confirm it. For the same reason no
gradient reaches an encoder through the beliefs of exchanged transitions.

Axes: n tasks, b transitions of each, L of a context, k columns that are compared, l belief.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from policies.belief import map_tensors
from policies.method import Transition
from policies.models.posterior import Encoder, context_features
from policies.nn.noise import uniform
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import SavedState
from policies.ranges import Count, LayerWidths, Positive, Share, WholeNumber
from policies.rl.propensity import propensities
from policies.rl.sac import SacMethodConfig


@dataclass(frozen=True)
class ReplayConfig:
    """How the transitions of a batch are chosen."""

    sampling: Literal["uniform", "propensity", "remind"] = "uniform"  # kind of draws
    # share of each task's transitions that propensity or remind exchange; SynthER has 0.5
    share: Share = 0.25
    pool: Count = 128  # propensity: stored transitions of a batch that are compared
    ridge: Positive = 0.01  # propensity: penalty of the regression's weights
    max_propensity: Positive = 2.0  # propensity: bound of the ratios; MQL has 1 to 2
    # remind: layer widths of the denoiser; SynthER has 6 × 1024
    denoiser_hidden: LayerWidths = (128, 128)
    denoiser_lr: Positive = 1e-3  # remind: learning rate; SynthER has 3e-4
    denoising_steps: Count = 12  # remind: steps of a sample; SynthER has 128
    # remind: gradient steps before the first transition is generated
    warm_up_steps: WholeNumber = 256

    def optimizer_steps(self, gradient_steps: int) -> int:
        """Steps of all optimizers: with ``remind``, each gradient step also trains the denoiser."""
        return 2 * gradient_steps if self.sampling == "remind" else gradient_steps


@dataclass(frozen=True)
class ReplayMethodConfig(SacMethodConfig):
    """Base of the configs of methods whose batches may be exchanged in part."""

    replay: ReplayConfig = field(default_factory=ReplayConfig)  # what a batch learns from

    @property
    def optimizer_steps(self) -> int:
        """Those of soft actor-critic, and of the denoiser."""
        return self.replay.optimizer_steps(self.gradient_steps)


class Comparison(NamedTuple):
    """What the regression of ``propensity`` reads."""

    rows: Tensor  # (n, b, k) of the transitions in the batch
    own: Tensor  # (n, L, k) of each task's context
    in_own: Tensor  # (n, L) bool, which of the context exist


Compare = Callable[[], Comparison]  # called only where it is needed


class Mixed(NamedTuple):
    """A batch after the exchange."""

    ticks: Transition  # (n, b, ...)
    belief: Tensor  # as it was given, with gradients for the task's own transitions alone


class Exchange(SavedState, ABC):
    """Exchanges the first transitions of each task in a batch; its state is saved and resumed."""

    saved_attributes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: ReplayConfig, generator: torch.Generator) -> None:
        """All randomness comes from the generator, which its owner saves."""
        self.config = config
        self.generator = generator

    def mix(self, ticks: Transition, belief: Tensor, compare: Compare) -> Mixed:
        """The batch with a share of its transitions exchanged.

        Args:
            ticks: uniform draws (n, b, ...), in random order.
            belief: (n, b, l) or (n·b, l), that each of them is learned from under.
            compare: what ``propensity`` compares.
        """
        n, b = ticks.reward.shape
        count = round(self.config.share * b)
        of_rows = belief.view(n, b, belief.shape[-1])
        fixed = of_rows.detach()
        others = self.draw(ticks, fixed, compare, count)
        mixed = map_tensors(_join, others, ticks[:, count:])
        of_rows = _join(fixed[:, :count], of_rows[:, count:])
        return Mixed(mixed, of_rows.view(belief.shape))

    @abstractmethod
    def draw(self, ticks: Transition, belief: Tensor, compare: Compare, count: int) -> Transition:
        """Transitions (n, count, ...) for the batch; the other arguments are those of ``mix``."""

    def log(self) -> dict[str, Tensor]:
        """Scalars of the last batch, for the log."""
        return {}


class Propensity(Exchange):
    """Draws from the transitions of all tasks, in proportion to their propensity in each task."""

    @torch.no_grad()
    def draw(self, ticks: Transition, belief: Tensor, compare: Compare, count: int) -> Transition:
        """Transitions (n, count, ...), with replacement."""
        n, b = ticks.reward.shape
        of_each = min(b, -(-self.config.pool // n))
        rows, own, in_own = compare()
        pool = rows[:, -of_each:].flatten(0, 1)
        ratio = propensities(own, in_own, pool, self.config.ridge, self.config.max_propensity)
        chosen = draw_in_proportion(ratio, count, self.generator)
        stored = ticks[:, -of_each:].flatten(0, 1)
        return stored[chosen]


def draw_in_proportion(weights: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Columns (n, count) of weights (n, m), each with a probability in proportion to its weight."""
    cumulative = weights.cumsum(1)
    total = cumulative[:, -1:]
    u = uniform((len(weights), count), generator)
    columns = torch.searchsorted(cumulative, u * total, right=True)
    return columns.clamp(max=weights.shape[1] - 1)


def _join(first: Tensor, last: Tensor) -> Tensor:
    """(n, i, ...) and (n, k, ...) to (n, i + k, ...)."""
    return torch.cat([first, last], 1)


@torch.no_grad()
def compare_evidence(
    encoder: Encoder, norm: RunningNormalizer, ticks: Transition, context: Transition, mask: Tensor
) -> Comparison:
    """What an encoder measures of z in transitions (n, b, ...) and in contexts (n, L, ...).

    The log-density of a measurement given z is linear in these columns, for every z.
    """
    rows = norm(context_features(ticks))
    own = norm(context_features(context))
    return Comparison(
        rows=encoder.evidence(rows, ticks.valid),
        own=encoder.evidence(own, mask),
        in_own=mask,
    )


def compare_outcomes(ticks: Transition) -> Comparison:
    """Transitions (n, b, ...) as they are, for learners that have no context."""
    rows = context_features(ticks)
    return Comparison(rows, rows, ticks.valid)


def exchange_log(exchange: Exchange | None) -> dict[str, Tensor]:
    """What an exchange adds to the log of a gradient step."""
    return {} if exchange is None else exchange.log()
