"""Dynamics from which one gradient step on the last transitions is the adaptation (GrBAL, Nagabandi et al. 2019).

A network predicts the change of the observation. A step on the last M transitions always begins at the meta-learnt
weights, which are learnt by how well the next K transitions of the same episode are predicted after it, differentiated
through it. Step sizes are learnt, one per group of parameters (Li et al. 2017).

Ahead of the layers every input has a gain, so that an actuator that stopped working is one number off. On M rows x the
gradient of a linear layer is xᵀδ, of rank M. The layer after a step of size α is therefore
h·W + b - (α_W·h·xᵀ + α_b)·δ exactly: no world has weights of its own, and the planner's batch shares W.
Axes: n worlds, M transitions of a window, b rows, P candidates, H steps, o observation, a action, r = 1 where the
reward is predicted too, else 0; i and k the widths of all layers' inputs and outputs, one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.networks import init_
from policies.nn.normalizer import RunningNormalizer

BLOCK = 512  # rows predicted at a time: what stays in a core's cache

# of one layer: its inputs transposed (n, i, M), errors (n, M, k), bias's step size
Step = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Window:
    """The last M transitions of the episode, the newest last, as the network reads and predicts them."""

    x: Tensor  # (n, M, o + a)
    y: Tensor  # (n, M, o + r)
    there: Tensor  # (n, M) bool


@dataclass(frozen=True)
class LowRankUpdate:
    """What one gradient step changes of every layer, in the form that it has: of rank M."""

    gains: Tensor  # (n, o + a) after the step
    inputs: Tensor  # (n, M, i) of every layer, times the step size of its weights
    errors: Tensor  # (n, M, k) derivative of the loss by every layer's output


class GrbalDynamics(nn.Module):
    """The dynamics, the statistics of what they read and predict, and the step sizes."""

    def __init__(
        self,
        obs: int,
        actions: int,
        rewarded: bool,
        hidden: Sequence[int],
        past: int,
        rate: float,
        generator: torch.Generator,
    ) -> None:
        """``past`` is M; ``rate`` is where step sizes start."""
        super().__init__()
        self.rewarded, self.past, self.columns = rewarded, past, (obs, actions)
        sizes = [obs + actions, *hidden, obs + rewarded]
        self.fan_in, self.fan_out = sizes[:-1], sizes[1:]
        self.obs, self.outcome = RunningNormalizer(obs), RunningNormalizer(obs + rewarded)
        self.gains = nn.Parameter(torch.ones(obs + actions))
        self.weights = nn.ParameterList(torch.empty(i, k) for i, k in pairwise(sizes))
        self.biases = nn.ParameterList(torch.empty(k) for k in self.fan_out)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            init_(weight, bias, len(weight), generator)
        self.log_rates = nn.Parameter(
            torch.full((len(self.fan_in), 2), rate).log()
        )  # weights, biases
        self.log_gain_rates = nn.Parameter(torch.full((2,), rate).log())  # observations', actions'

    def rates(self) -> dict[str, Tensor]:
        """The step size of each parameter, by its name; of the gains, of each (o + a,)."""
        weights, biases = self.log_rates.exp().unbind(1)
        layers = {f"weights.{i}": rate for i, rate in enumerate(weights)}
        return (
            {"gains": self._gain_rates()}
            | layers
            | {f"biases.{i}": rate for i, rate in enumerate(biases)}
        )

    def _gain_rates(self) -> Tensor:
        rates = self.log_gain_rates.exp()
        return torch.cat(
            [rate.expand(many) for rate, many in zip(rates, self.columns, strict=True)]
        )

    def update(self, t: Transition) -> None:
        """Take transitions (b, ...) into the statistics, which stand still in between."""
        self.obs.update(t.obs)
        self.outcome.update(self._outcome(t))

    def _outcome(self, t: Transition) -> Tensor:
        change = t.next_obs - t.obs
        return torch.cat([change, t.reward[..., None]], -1) if self.rewarded else change

    def standardized(self, t: Transition) -> tuple[Tensor, Tensor]:
        """What is read (..., o + a) and what is predicted (..., o + r) of transitions (...)."""
        return torch.cat([self.obs(t.obs), t.applied], -1), self.outcome(self._outcome(t))

    def adapt(self, window: Window) -> LowRankUpdate:
        """One step from the meta-learnt weights down ½·Σ(error²)/M; what the window lacks of M rows counts as no error.

        Every operation is differentiable: so is the step, by the weights and by the step sizes.
        """
        inputs = [window.x * self.gains]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(torch.relu(inputs[-1] @ weight + bias))
        error = inputs[-1] @ self.weights[-1] + self.biases[-1] - window.y
        errors = [error * (window.there[..., None] / self.past)]
        for weight, h in zip(reversed(self.weights[1:]), reversed(inputs[1:]), strict=True):
            errors.append(errors[-1] @ weight.T * (h > 0))
        slope = (errors[-1] @ self.weights[0].T * window.x).sum(1)
        gains = self.gains - self._gain_rates() * slope
        scaled = [rate * x for rate, x in zip(self.log_rates[:, 0].exp(), inputs, strict=True)]
        return LowRankUpdate(gains, torch.cat(scaled, -1), torch.cat(errors[::-1], -1))

    def forward(self, x: Tensor, fast: LowRankUpdate | None = None) -> Tensor:
        """Standardised outcomes (n, b, o + r) of (n, b, o + a), each world by its own step; without one, by none."""
        if fast is None:
            return self._predict(x * self.gains, [None] * len(self.fan_in))
        return self._predict(x * fast.gains[:, None], self._by_layer(fast))

    def _by_layer(self, fast: LowRankUpdate) -> list[Step | None]:
        inputs, errors = fast.inputs.mT.split(self.fan_in, 1), fast.errors.split(self.fan_out, -1)
        return list(
            zip(inputs, errors, self.log_rates[:, 1].exp()[:, None, None, None], strict=True)
        )

    def _predict(self, x: Tensor, steps: list[Step | None]) -> Tensor:
        h, last = x, len(steps) - 1  # the gains are in x
        for layer, (weight, bias, step) in enumerate(
            zip(self.weights, self.biases, steps, strict=True)
        ):
            out = torch.addmm(bias, h.flatten(0, 1), weight).view(*h.shape[:2], -1)
            if step is not None:
                inputs, errors, bias_rate = step
                out = torch.baddbmm(out, torch.baddbmm(bias_rate, h, inputs), errors, alpha=-1)
            h = out if layer == last else torch.relu_(out)
        return h

    def loss(self, t: Transition, belongs: Tensor) -> dict[str, Tensor]:
        """Squared errors of the last K of windows (b, M + K, ...) after a step on the first M, and without one."""
        m, (x, y) = self.past, self.standardized(t)
        fast = self.adapt(Window(x[:, :m], y[:, :m], belongs[:, :m]))
        counts = belongs[:, m:] / belongs[:, m:].sum()

        def error(step: LowRankUpdate | None) -> Tensor:
            return 0.5 * ((self(x[:, m:], step) - y[:, m:]).square().sum(-1) * counts).sum()

        with torch.no_grad():
            unadapted = error(None)
        return {"error": error(fast), "unadapted": unadapted}

    def rollout(self, obs: Tensor, actions: Tensor, fast: LowRankUpdate) -> tuple[Tensor, Tensor]:
        """What is expected of candidates (n, P, H, a) from (n, o).

        Returns:
            Observations (H + 1, n, P, o), the first one ``obs``, and rewards (H, n, P, r).
        """
        (n, many, steps, _), o = actions.shape, obs.shape[-1]
        unit = (
            (self.outcome.square / self.outcome.count.clamp(min=1)).sqrt().to(obs)
        )  # 0 for what never changes
        states = obs.new_empty(steps + 1, n, many, o)
        rewards = obs.new_empty(steps, n, many, int(self.rewarded))
        states[0] = obs[:, None]
        few = max(1, BLOCK // many)
        for worlds in (slice(i, i + few) for i in range(0, n, few)):
            block = LowRankUpdate(fast.gains[worlds], fast.inputs[worlds], fast.errors[worlds])
            gains, layers = block.gains[:, None], self._by_layer(block)
            for t in range(steps):
                x = torch.cat([self.obs(states[t, worlds]), actions[worlds, :, t]], -1)
                outcome = self.outcome.shift + unit * self._predict(x * gains, layers)
                torch.add(states[t, worlds], outcome[..., :o], out=states[t + 1, worlds])
                rewards[t, worlds] = outcome[..., o:]
        return states, rewards


def windows(
    t: Transition, there: Tensor, start: Tensor, past: int, future: int
) -> tuple[Transition, Tensor]:
    """Transitions around ``start`` (b, w) of trials (b, L, ...): (b·w, M + K, ...) and which belong, (b·w, M + K).

    The first of the last K is ``start`` itself; what is not of its episode does not belong.
    """
    rows = torch.arange(len(there))[:, None, None]
    columns = start[..., None] + torch.arange(-past, future)
    inside = ((columns >= 0) & (columns < there.sum(1)[:, None, None])).flatten(0, 1)
    columns = columns.clamp(0, there.shape[1] - 1)
    found = t.map(lambda x: x[rows, columns].flatten(0, 1))
    joined = (found.obs[:, 1:] == found.next_obs[:, :-1]).all(-1)
    before = joined[:, :past].flip(1).cumprod(1).flip(1).bool()
    after = joined[:, past:].cumprod(1).bool()
    return found, inside & torch.cat([before, torch.ones_like(inside[:, :1]), after], 1)
