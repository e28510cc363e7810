"""Dynamics that adapt by one gradient step on the last transitions (GrBAL, Nagabandi et al. 2019).

A network predicts the change of the observation. The step on the last M transitions always starts
at the meta-learned weights. These are trained by how well the next K transitions of the same
episode are predicted after the step, differentiated through it. Step sizes are learned, one per
group of parameters (Li et al. 2017).

Before the layers every input has a gain, so that an actuator that stopped working is one number
away. For M rows with inputs x and output errors δ, the gradient of a linear layer is xᵀδ, of rank
M. After a step of size α the layer is therefore exactly
h·W + b - (α_W·h·xᵀ + α_b)·δ: no world has weights of its own, and all of a planner's candidates
share W.

Axes: n worlds, M transitions of a window, b rows, P candidates, H steps, o observation, a action,
r = 1 where the reward is predicted too, else 0; i and k the input and output widths of all layers,
one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.networks import init_
from policies.nn.normalizer import RunningNormalizer

BLOCK_ROWS = 512  # rows predicted at a time: what stays in a core's cache


@dataclass(frozen=True)
class Window:
    """The last M transitions of the episode, the newest last, as network inputs and targets."""

    x: Tensor  # (n, M, o + a)
    y: Tensor  # (n, M, o + r)
    mask: Tensor  # (n, M) bool, False where the episode is shorter than the window


@dataclass(frozen=True)
class LowRankUpdate:
    """What one gradient step changes: new gains, and for each layer a correction of rank M."""

    gains: Tensor  # (n, o + a) after the step
    inputs: Tensor  # (n, M, i) of every layer, times the step size of its weights
    errors: Tensor  # (n, M, k) derivative of the loss by every layer's output


@dataclass(frozen=True)
class LayerUpdate:
    """The part of a ``LowRankUpdate`` that belongs to one layer."""

    inputs: Tensor  # (n, i, M) transposed
    errors: Tensor  # (n, M, k)
    bias_rate: Tensor  # (1, 1, 1) step size of its bias


class GrbalDynamics(nn.Module):
    """The network, the statistics of its inputs and outputs, and the step sizes."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        predict_reward: bool,
        hidden: Sequence[int],
        past_steps: int,
        inner_lr: float,
        generator: torch.Generator,
    ) -> None:
        """Weights are drawn with the generator, on its device.

        ``past_steps`` is M; the step sizes start at ``inner_lr``.
        """
        super().__init__()
        device = generator.device
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.predict_reward = predict_reward
        self.past_steps = past_steps
        outputs = obs_dim + predict_reward
        sizes = [obs_dim + action_dim, *hidden, outputs]
        self.fan_in = sizes[:-1]
        self.fan_out = sizes[1:]
        self.obs_norm = RunningNormalizer(obs_dim, device)
        self.delta_norm = RunningNormalizer(outputs, device)
        self.gains = nn.Parameter(torch.ones(obs_dim + action_dim, device=device))
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for inputs, width in pairwise(sizes):
            weight = torch.empty(inputs, width, device=device)
            bias = torch.empty(width, device=device)
            init_(weight, bias, inputs, generator)
            self.weights.append(weight)
            self.biases.append(bias)
        layer_rates = torch.full((len(self.fan_in), 2), inner_lr, device=device)
        self.log_rates = nn.Parameter(layer_rates.log())  # columns: weights, biases
        gain_rates = torch.full((2,), inner_lr, device=device)
        self.log_gain_rates = nn.Parameter(gain_rates.log())  # observations, actions

    def rates(self) -> dict[str, Tensor]:
        """The step size of each parameter by its name; of the gains, one for each (o + a,)."""
        rates = {"gains": self._gain_rates()}
        weight_rates, bias_rates = self.log_rates.exp().unbind(1)
        for layer, rate in enumerate(weight_rates):
            rates[f"weights.{layer}"] = rate
        for layer, rate in enumerate(bias_rates):
            rates[f"biases.{layer}"] = rate
        return rates

    def _gain_rates(self) -> Tensor:
        """The step size of each gain, (o + a,)."""
        obs_rate, action_rate = self.log_gain_rates.exp()
        return torch.cat([obs_rate.expand(self.obs_dim), action_rate.expand(self.action_dim)])

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics, which are constant in between."""
        self.obs_norm.update(t.obs)
        self.delta_norm.update(self._target(t))

    def _target(self, t: Transition) -> Tensor:
        """The change of the observation, then the reward, (..., o + r)."""
        change = t.next_obs - t.obs
        if not self.predict_reward:
            return change
        return torch.cat([change, t.reward[..., None]], -1)

    def normalized(self, t: Transition) -> tuple[Tensor, Tensor]:
        """Network inputs (..., o + a) and targets (..., o + r) of transitions (...)."""
        inputs = torch.cat([self.obs_norm(t.obs), t.applied], -1)
        return inputs, self.delta_norm(self._target(t))

    def adapt(self, window: Window) -> LowRankUpdate:
        """One gradient step from the meta-learned weights down ½·Σ(error²)/M.

        Rows that the window lacks count as rows without an error. Every operation is
        differentiable, and so is the step, by the weights and by the step sizes.
        """
        inputs = [window.x * self.gains]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(torch.relu(inputs[-1] @ weight + bias))
        prediction = inputs[-1] @ self.weights[-1] + self.biases[-1]
        row_weight = window.mask[..., None] / self.past_steps
        errors = [(prediction - window.y) * row_weight]  # backpropagated, the last layer first
        for weight, h in zip(reversed(self.weights[1:]), reversed(inputs[1:]), strict=True):
            errors.append(errors[-1] @ weight.T * (h > 0))
        gain_gradient = (errors[-1] @ self.weights[0].T * window.x).sum(1)
        rates = self.log_rates[:, 0].exp()
        scaled_inputs = [rate * x for rate, x in zip(rates, inputs, strict=True)]
        return LowRankUpdate(
            gains=self.gains - self._gain_rates() * gain_gradient,
            inputs=torch.cat(scaled_inputs, -1),
            errors=torch.cat(errors[::-1], -1),
        )

    def forward(self, x: Tensor, update: LowRankUpdate | None = None) -> Tensor:
        """Normalized predictions (n, b, o + r) for inputs (n, b, o + a).

        Every world is predicted after its own step; without an update, by the meta-learned weights.
        """
        if update is None:
            return self._predict(x * self.gains, None)
        return self._predict(x * update.gains[:, None], self._split_by_layer(update))

    def _split_by_layer(self, update: LowRankUpdate) -> list[LayerUpdate]:
        inputs = update.inputs.mT.split(self.fan_in, 1)
        errors = update.errors.split(self.fan_out, -1)
        bias_rates = self.log_rates[:, 1].exp()[:, None, None, None]
        return [LayerUpdate(*parts) for parts in zip(inputs, errors, bias_rates, strict=True)]

    def _predict(self, x: Tensor, updates: list[LayerUpdate] | None) -> Tensor:
        """The layers, for inputs (n, b, o + a) that the gains were applied to."""
        h = x
        last = len(self.weights) - 1
        for layer, weight in enumerate(self.weights):
            rows = torch.addmm(self.biases[layer], h.flatten(0, 1), weight)
            out = rows.view(*h.shape[:2], -1)
            if updates is not None:
                u = updates[layer]
                similarity = torch.baddbmm(u.bias_rate, h, u.inputs)  # α_W·h·xᵀ + α_b, (n, b, M)
                out = torch.baddbmm(out, similarity, u.errors, alpha=-1)
            h = out if layer == last else torch.relu_(out)
        return h

    def loss(self, t: Transition, mask: Tensor) -> dict[str, Tensor]:
        """Squared prediction error of the future after a step on the past, and without a step.

        Args:
            t: windows (b, M + K, ...), the last K transitions to be predicted.
            mask: (b, M + K) bool, which transitions belong to the window.
        """
        m = self.past_steps
        x, y = self.normalized(t)
        update = self.adapt(Window(x[:, :m], y[:, :m], mask[:, :m]))
        future_weight = mask[:, m:] / mask[:, m:].sum()

        def error(update: LowRankUpdate | None) -> Tensor:
            prediction = self(x[:, m:], update)
            square = (prediction - y[:, m:]).square().sum(-1)
            return 0.5 * (square * future_weight).sum()

        with torch.no_grad():
            unadapted = error(None)
        return {"error": error(update), "unadapted": unadapted}

    def rollout(self, obs: Tensor, actions: Tensor, update: LowRankUpdate) -> tuple[Tensor, Tensor]:
        """Predictions for candidates, each world after its own step.

        Args:
            obs: (n, o) where all candidates start.
            actions: (n, P, H, a)
            update: the step of each world.

        Returns:
            Observations (H + 1, n, P, o), the first one ``obs``, and rewards (H, n, P, r).
        """
        n, candidates, steps, _ = actions.shape
        o = obs.shape[-1]
        count = self.delta_norm.count.clamp(min=1)
        std = (self.delta_norm.m2 / count).sqrt().to(obs)  # 0 for what never changes
        states = obs.new_empty(steps + 1, n, candidates, o)
        rewards = obs.new_empty(steps, n, candidates, int(self.predict_reward))
        states[0] = obs[:, None]
        block_worlds = max(1, BLOCK_ROWS // candidates)
        for first in range(0, n, block_worlds):
            block = slice(first, first + block_worlds)
            gains = update.gains[block, None]
            layers = self._split_by_layer(
                LowRankUpdate(update.gains[block], update.inputs[block], update.errors[block])
            )
            for t in range(steps):
                x = torch.cat([self.obs_norm(states[t, block]), actions[block, :, t]], -1)
                outcome = self.delta_norm.mean + std * self._predict(x * gains, layers)
                torch.add(states[t, block], outcome[..., :o], out=states[t + 1, block])
                rewards[t, block] = outcome[..., o:]
        return states, rewards


def windows(
    t: Transition, mask: Tensor, start: Tensor, past_steps: int, future_steps: int
) -> tuple[Transition, Tensor]:
    """Windows of M past and K future transitions of one episode.

    Args:
        t: trials (b, L, ...)
        mask: (b, L) bool, which transitions exist.
        start: (b, w) the first future transition of each window.
        past_steps: M
        future_steps: K

    Returns:
        Transitions (b·w, M + K, ...) and a mask (b·w, M + K) of those in the episode of ``start``.
    """
    length = mask.sum(1)[:, None, None]
    tasks = torch.arange(len(mask), device=mask.device)[:, None, None]
    offsets = torch.arange(-past_steps, future_steps, device=mask.device)
    ticks = start[..., None] + offsets  # (b, w, M + K)
    exists = ((ticks >= 0) & (ticks < length)).flatten(0, 1)
    ticks = ticks.clamp(0, mask.shape[1] - 1)
    window = t[tasks, ticks].flatten(0, 1)
    # Tick j continues the episode of tick j - 1 unless it begins one. From ``start`` outward, a
    # tick belongs as long as all steps in between continue.
    continues = ~window.begins[:, 1:]
    past = continues[:, :past_steps].flip(1).cumprod(1).flip(1).bool()
    future = continues[:, past_steps:].cumprod(1).bool()
    same_episode = torch.cat([past, torch.ones_like(exists[:, :1]), future], 1)
    return window, exists & same_episode
