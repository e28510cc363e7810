"""Dynamics that adapt by one gradient step on the last transitions (GrBAL, Nagabandi et al. 2019).

A network predicts the change of the observation. The step on the last M transitions always starts
from the meta-learned weights. Their loss is the error of predicting the next K transitions of the
same episode after the step, differentiated through the step. Step sizes are learned, one per group
of parameters (Li et al. 2017).

Every input is multiplied by a gain before the first layer, so that the failure of an actuator
changes a single parameter. For M rows with inputs x and output errors δ, the gradient of a linear
layer is xᵀδ, of rank M. After a step of size α the layer is therefore exactly
h·W + b - (α_W·h·xᵀ + α_b)·δ. No world needs its own copy of the weights, and all candidates of a
planner share W.

Axes: n worlds, M transitions of a window, b rows, P candidates, H steps, o observation, a action,
r = 1 if the reward is predicted too, else 0; i and k: the input and output widths of all layers,
one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.models.outcome import outcome_of
from policies.nn.networks import init_
from policies.nn.normalizer import RunningNormalizer

BLOCK_ROWS = 512  # rows predicted at a time: this fits into a core's cache


@dataclass(frozen=True)
class Window:
    """The last M transitions of the episode, the newest last, as network inputs and targets."""

    x: Tensor  # (n, M, o + a)
    y: Tensor  # (n, M, o + r)
    mask: Tensor  # (n, M) bool, False for ticks before the episode


@dataclass(frozen=True)
class LowRankUpdate:
    """The effect of one gradient step: new gains, and for each layer a correction of rank M."""

    gains: Tensor  # (n, o + a) after the step
    inputs: Tensor  # (n, M, i) of every layer, times the step size of its weights
    errors: Tensor  # (n, M, k) derivative of the loss with respect to every layer's output


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
        """Draw the weights with the generator, on its device.

        ``hidden`` are the widths of the hidden layers, ``past_steps`` is M, and ``inner_lr`` is the
        initial value of all step sizes.
        """
        super().__init__()
        device = generator.device
        self.obs_dim = obs_dim
        self.action_dim = action_dim
        self.predict_reward = predict_reward
        self.past_steps = past_steps
        outputs = obs_dim + predict_reward
        sizes = [obs_dim + action_dim, *hidden, outputs]
        self.summary_dim = obs_dim + action_dim + outputs
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
        layers = len(self.weights)
        layer_rates = torch.full((layers, 2), inner_lr, device=device)
        self.log_rates = nn.Parameter(layer_rates.log())  # columns: weights, biases
        gain_rates = torch.full((2,), inner_lr, device=device)
        self.log_gain_rates = nn.Parameter(gain_rates.log())  # observations, actions

    def rates(self) -> dict[str, Tensor]:
        """The step sizes by the name of the parameter; those of the gains are (o + a,)."""
        rates = {"gains": self._gain_rates()}
        for layer, log_rates in enumerate(self.log_rates):
            weight_rate, bias_rate = log_rates.exp()
            rates[f"weights.{layer}"] = weight_rate
            rates[f"biases.{layer}"] = bias_rate
        return rates

    def _gain_rates(self) -> Tensor:
        """The step size of each gain, (o + a,)."""
        obs_rate, action_rate = self.log_gain_rates.exp()
        obs_rates = obs_rate.expand(self.obs_dim)
        action_rates = action_rate.expand(self.action_dim)
        return torch.cat([obs_rates, action_rates])

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics; nothing else changes them."""
        self.obs_norm.update(t.obs)
        self.delta_norm.update(outcome_of(t, self.predict_reward))

    def normalized(self, t: Transition) -> tuple[Tensor, Tensor]:
        """Normalized network inputs (..., o + a) and targets (..., o + r) of transitions (...)."""
        obs = self.obs_norm(t.obs)
        inputs = torch.cat([obs, t.applied], -1)
        targets = self.delta_norm(outcome_of(t, self.predict_reward))
        return inputs, targets

    def adapt(self, window: Window) -> LowRankUpdate:
        """One gradient step from the meta-learned weights on the loss ½·Σ(error²)/M.

        Rows missing from the window have no error. The step is differentiable with respect to the
        weights and the step sizes.
        """
        inputs, prediction = self._activations(window.x)
        row_weight = window.mask[..., None] / self.past_steps
        error = (prediction - window.y) * row_weight
        errors = [error]  # of every layer's output, the last layer first
        for layer in range(len(inputs) - 1, 0, -1):
            active = inputs[layer] > 0
            error = error @ self.weights[layer].T * active
            errors.append(error)
        error = error @ self.weights[0].T * window.x
        gain_gradient = error.sum(1)

        scaled_inputs = []
        for layer, rates in enumerate(self.log_rates.exp()):
            scaled_inputs.append(rates[0] * inputs[layer])
        errors.reverse()
        return LowRankUpdate(
            gains=self.gains - self._gain_rates() * gain_gradient,
            inputs=torch.cat(scaled_inputs, -1),
            errors=torch.cat(errors, -1),
        )

    def summary(self, update: LowRankUpdate) -> Tensor:
        """A summary of a step: the changes of gains and of the last biases, (n, o + a + o + r).

        A weak or inverted actuator changes the gain of its action; a different reward changes the
        bias of the reward. The learned step sizes weight these changes: a parameter whose change
        does not improve predictions hardly changes.
        """
        gains = update.gains - self.gains
        errors = update.errors[..., -self.fan_out[-1] :]
        bias_rate = self.log_rates[-1, 1].exp()
        return torch.cat([gains, -bias_rate * errors.sum(1)], -1)

    def _activations(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The input of every layer and the output of the last, for the meta-learned weights."""
        h = x * self.gains
        inputs = []
        last = len(self.weights) - 1
        for layer, weight in enumerate(self.weights):
            inputs.append(h)
            bias = self.biases[layer]
            h = h @ weight + bias
            if layer < last:
                h = torch.relu(h)
        return inputs, h

    def forward(self, x: Tensor, update: LowRankUpdate | None = None) -> Tensor:
        """Normalized predictions (n, b, o + r) for inputs (n, b, o + a).

        Args:
            x: normalized inputs, see ``normalized``.
            update: the step of each world; None: predict with the meta-learned weights.
        """
        if update is None:
            return self._predict(x * self.gains, None)
        gains = update.gains[:, None]
        return self._predict(x * gains, self._split_by_layer(update))

    def _split_by_layer(self, update: LowRankUpdate) -> list[LayerUpdate]:
        inputs = update.inputs.mT.split(self.fan_in, 1)
        errors = update.errors.split(self.fan_out, -1)
        bias_rates = self.log_rates[:, 1].exp()
        bias_rates = bias_rates[:, None, None, None]
        parts = zip(inputs, errors, bias_rates, strict=True)
        return [LayerUpdate(*part) for part in parts]

    def _predict(self, x: Tensor, updates: list[LayerUpdate] | None) -> Tensor:
        """The layers' outputs for inputs (n, b, o + a) that are already multiplied by the gains."""
        h = x
        last = len(self.weights) - 1
        worlds, rows, _ = x.shape
        for layer, weight in enumerate(self.weights):
            bias = self.biases[layer]
            out = torch.addmm(bias, h.flatten(0, 1), weight)
            out = out.view(worlds, rows, -1)
            if updates is not None:
                u = updates[layer]
                similarity = torch.baddbmm(u.bias_rate, h, u.inputs)  # α_W·h·xᵀ + α_b, (n, b, M)
                out = torch.baddbmm(out, similarity, u.errors, alpha=-1)
            h = out if layer == last else torch.relu_(out)
        return h

    def loss(self, t: Transition, mask: Tensor) -> dict[str, Tensor]:
        """Squared error of predicting the future, after a step on the past and without a step.

        Args:
            t: windows (b, M + K, ...), of which the last K transitions are predicted.
            mask: (b, M + K) bool, which transitions belong to the window.

        Returns:
            "error" to be minimized, and "unadapted" for the log; scalars.
        """
        x, y = self.normalized(t)
        past = slice(None, self.past_steps)
        future = slice(self.past_steps, None)
        update = self.adapt(Window(x[:, past], y[:, past], mask[:, past]))
        x = x[:, future]
        y = y[:, future]
        mask = mask[:, future]
        row_weight = mask / mask.sum()

        def error(update: LowRankUpdate | None) -> Tensor:
            square: Tensor = (self(x, update) - y).square().sum(-1)
            return 0.5 * (square * row_weight).sum()

        with torch.no_grad():
            unadapted = error(None)
        return {"error": error(update), "unadapted": unadapted}

    def rollout(
        self,
        obs: Tensor,
        actions: Tensor,
        update: LowRankUpdate,
    ) -> tuple[Tensor, Tensor]:
        """Predictions for candidate action sequences, in each world after its own step.

        Args:
            obs: (n, o) where all candidates start.
            actions: (n, P, H, a)
            update: the step of each world.

        Returns:
            Observations (H + 1, n, P, o), the first of which is ``obs``, and rewards (H, n, P, r).
        """
        n, candidates, steps, _ = actions.shape
        obs_dim = obs.shape[-1]
        states = obs.new_empty(steps + 1, n, candidates, obs_dim)
        rewards = obs.new_empty(steps, n, candidates, int(self.predict_reward))
        states[0] = obs[:, None]
        mean = self.delta_norm.mean
        std = self.delta_norm.std().to(obs)
        block_worlds = max(1, BLOCK_ROWS // candidates)
        for first in range(0, n, block_worlds):
            block = slice(first, first + block_worlds)
            own = LowRankUpdate(
                gains=update.gains[block],
                inputs=update.inputs[block],
                errors=update.errors[block],
            )
            layers = self._split_by_layer(own)
            gains = own.gains[:, None]
            for t in range(steps):
                state = states[t, block]
                x = torch.cat([self.obs_norm(state), actions[block, :, t]], -1)
                outcome = mean + std * self._predict(x * gains, layers)
                torch.add(state, outcome[..., :obs_dim], out=states[t + 1, block])
                rewards[t, block] = outcome[..., obs_dim:]
        return states, rewards
