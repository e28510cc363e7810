"""Dynamics given the task parameters: an ensemble of Gaussian networks (PE-TS, Chua et al. 2018).

The networks read the task parameters, which the simulator knows in training, scaled by
``HiddenParameters``. At test time they give the likelihood of transitions under hypothetical
parameters.

Axes: m members, b rows, n worlds, K particles, P candidates, H steps, o observation, a action,
h hidden parameters, r = 1 if the reward is predicted too, else 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from policies.method import Problem, Transition
from policies.models.outcome import outcome_of
from policies.nn.networks import Ensemble
from policies.nn.normalizer import MIN_STD, RunningNormalizer
from policies.ranges import Count, LayerWidths, NonNegative, Positive, Share

BLOCK_ROWS = 512  # rows predicted at a time: this fits into a core's cache
MIN_LOG_STD = -5.0  # of a prediction whose unit is the standard deviation of the change
MAX_LOG_STD = 1.0


@dataclass(frozen=True)
class TaskDynamicsConfig:
    """Settings of the model and of its likelihood."""

    ensemble_size: Count = 4  # networks (PE-TS has 5)
    hidden: LayerWidths = (128, 128)  # layer widths of the networks
    # β of the β-NLL (Seitzer et al. 2022): 0 is the likelihood, 1 weights all errors equally
    beta: Share = 0.5
    # model error that the networks do not predict, such as the difference to another engine or a
    # real arm: standard deviation, in standard deviations of the change
    model_error: NonNegative = 0.02
    # degrees of freedom of the likelihood's Student distribution: low ones forgive outliers
    likelihood_dof: Positive = 4.0
    # power of the likelihood, below 1 where transitions are not independent (a tempered posterior)
    temper: Positive = 1.0


class SmoothEnsemble(Ensemble):
    """An ensemble with SiLU instead of ReLU (PE-TS, CaDM): physics are smooth in their parameters.

    On strikes of the family `slide` the error is a sixth lower than with ReLU, for the same data.
    """

    def activate(self, h: Tensor) -> Tensor:
        """SiLU."""
        return functional.silu(h)


class TaskDynamics(nn.Module):
    """The ensemble, and the statistics of its inputs and outputs."""

    inputs: Tensor  # columns of an observation that the networks read, int64

    def __init__(
        self,
        problem: Problem,
        hidden_parameters: int,
        config: TaskDynamicsConfig,
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device."""
        super().__init__()
        device = generator.device
        self.config = config
        self.predict_reward = problem.reward is None
        self.obs_dim = problem.obs_dim
        columns = [i for i in range(problem.obs_dim) if i not in problem.goal_columns]
        self.register_buffer("inputs", torch.tensor(columns, device=device))
        self.outputs = problem.obs_dim + self.predict_reward
        self.obs_norm = RunningNormalizer(len(columns), device)
        self.delta_norm = RunningNormalizer(self.outputs, device)
        width = len(columns) + problem.action_dim + hidden_parameters
        sizes = [width, *config.hidden, 2 * self.outputs]
        self.ensemble = SmoothEnsemble(config.ensemble_size, sizes, generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        read = t.obs[:, self.inputs]
        target = outcome_of(t, self.predict_reward)
        self.obs_norm.update(read)
        self.delta_norm.update(target)

    def delta_std(self) -> Tensor:
        """Standard deviation of each predicted column, (o + r,); 0 for one that never changes."""
        std = self.delta_norm.std().float()
        varies = std > MIN_STD
        return std * varies

    def predict(self, obs: Tensor, applied: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Normalized mean and log standard deviation of each member's prediction.

        Args:
            obs: (b, o) or (m, b, o)
            applied: (b, a) or (m, b, a)
            u: (b, h) or (m, b, h), scaled parameters

        Returns:
            Two tensors (m, b, o + r).
        """
        read = obs[..., self.inputs]
        normalized = self.obs_norm(read)
        x = torch.cat([normalized, applied, u], -1)
        output = self.ensemble(x)
        mean, raw = output.chunk(2, -1)
        half_range = (MAX_LOG_STD - MIN_LOG_STD) / 2
        share = torch.tanh(raw) + 1
        log_std = MIN_LOG_STD + half_range * share
        return mean, log_std

    def loss(self, t: Transition, u: Tensor) -> dict[str, Tensor]:
        """The β-NLL of each member on its own batch, and two numbers for the log.

        Args:
            t: transitions (m, b, ...).
            u: (m, b, h) their true parameters, scaled.

        Returns:
            "loss", "nll" in nats and "mse" of the normalized change, all per column that changes.
        """
        changes = self.delta_std() > 0
        mean, log_std = self.predict(t.obs, t.applied, u)
        target = self.delta_norm(outcome_of(t, self.predict_reward))
        square = (mean - target).square()
        precision = (-2 * log_std).exp()
        nll = 0.5 * square * precision + log_std
        weight = (2 * self.config.beta * log_std.detach()).exp()
        loss = (weight * nll)[..., changes]
        return {
            "loss": loss.mean((1, 2)).sum(),
            "nll": nll[..., changes].mean(),
            "mse": square[..., changes].mean(),
        }

    def predict_scaled(
        self, obs: Tensor, applied: Tensor, hypothesis: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``predict`` under hypotheses (m, b, h + 1) or (b, h + 1), whose last column is a gain g.

        The predicted change is multiplied by 1 + g. In normalized form, (change - shift) / std, it
        is (1 + g) · mean + g · shift / std.
        """
        u = hypothesis[..., :-1]
        gain = hypothesis[..., -1:]
        mean, log_std = self.predict(obs, applied, u)
        shift = self.delta_norm.mean * self.delta_norm.inv_std
        gained = gain * (mean + shift)
        return mean + gained, log_std

    def log_likelihood(self, t: Transition, hypotheses: Tensor) -> Tensor:
        """Log-likelihood of transitions under each of their world's particles, (n, K).

        Columns are treated as independent. The members' predictions form one Student distribution,
        with their mean, and with a variance from their noise and their disagreement.

        Args:
            t: transitions (n, ...).
            hypotheses: (n, K, h + 1) scaled parameters and a gain.
        """
        c = self.config
        count = hypotheses.shape[1]
        rows = (
            t.obs.repeat_interleave(count, 0),
            t.applied.repeat_interleave(count, 0),
            hypotheses.flatten(0, 1),
        )
        members = [x.expand(c.ensemble_size, -1, -1) for x in rows]
        mean, log_std = self._predict_blocks(members)  # (m, n·K, o + r)
        noise = (2 * log_std).exp().mean(0)
        disagreement = mean.var(0, correction=0)
        variance = noise + disagreement + c.model_error**2
        target = self.delta_norm(outcome_of(t, self.predict_reward))
        target = target.repeat_interleave(count, 0)
        error = (target - mean.mean(0)).square() / variance
        dof = c.likelihood_dof
        tail = torch.log1p(error / dof)
        density = -0.5 * (dof + 1) * tail - 0.5 * variance.log()
        changes = self.delta_std() > 0
        total = density[:, changes].sum(-1)
        return c.temper * total.view(-1, count)

    def rollout(
        self,
        obs: Tensor,
        actions: Tensor,
        hypotheses: Tensor,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predictions for candidates under m hypotheses; the i-th is that of member i mod m'.

        Args:
            obs: (n, o) where all candidates start.
            actions: (n, P, H, a)
            hypotheses: (m, n, h + 1) scaled parameters and a gain; m is a multiple of the
                ensemble's size m'.
            noise: (H, m, o + r) standard normal draws, the same for all candidates.

        Returns:
            Observations (H + 1, m, n, P, o), the first of which is ``obs``, and rewards
            (H, m, n, P, r).
        """
        n, candidates, steps, _ = actions.shape
        count = len(hypotheses)
        members = self.config.ensemble_size
        shares = count // members
        std = self.delta_std()
        shift = self.delta_norm.mean
        state = obs[:, None].expand(count, n, candidates, -1)
        parameters = hypotheses[:, :, None].expand(-1, -1, candidates, -1)
        states = [state]
        rewards = []
        for step in range(steps):
            action = actions[:, :, step].expand(count, -1, -1, -1)
            parts = [_by_member(x, members) for x in (state, action, parameters)]
            mean, log_std = self._predict_blocks(parts)
            by_share = noise[step].view(shares, members, -1)
            draws = by_share.transpose(0, 1)  # (m', m / m', o + r)
            draws = draws.repeat_interleave(n * candidates, 1)
            sample = mean + log_std.exp() * draws
            change = shift + std * sample
            change = _by_hypothesis(change, (n, candidates), shares)
            state = state + change[..., : self.obs_dim]
            states.append(state)
            rewards.append(change[..., self.obs_dim :])
        return torch.stack(states), torch.stack(rewards)

    def _predict_blocks(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """``predict_scaled`` of many rows (m, b, ...), a block at a time."""
        rows = inputs[0].shape[1]
        means = []
        log_stds = []
        for first in range(0, rows, BLOCK_ROWS):
            block = slice(first, first + BLOCK_ROWS)
            rows_of_block = [x[:, block] for x in inputs]
            mean, log_std = self.predict_scaled(*rows_of_block)
            means.append(mean)
            log_stds.append(log_std)
        return torch.cat(means, 1), torch.cat(log_stds, 1)


def _by_member(x: Tensor, members: int) -> Tensor:
    """Rows (m, n, P, k) of m hypotheses as (m', m/m'·n·P, k) of the members that predict them."""
    by_share: Tensor = x.unflatten(0, (-1, members))  # (m / m', m', n, P, k)
    by_member = by_share.transpose(0, 1)
    return by_member.flatten(1, 3)


def _by_hypothesis(x: Tensor, lead: tuple[int, int], shares: int) -> Tensor:
    """The inverse: (m', m/m'·n·P, k) as (m, n, P, k)."""
    shape = (shares, *lead)
    by_member: Tensor = x.unflatten(1, shape)
    by_share = by_member.transpose(0, 1)
    return by_share.flatten(0, 1)
