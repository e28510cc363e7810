"""Soft actor-critic with weights of its own for each world: all of it is data of a belief.

The losses are those of ``policies.rl.sac`` for one network; here every network has a leading axis
of n worlds, and a sum over worlds gives each world its own gradient.

Axes: n worlds, b rows of a batch, k features, a action, two critics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.networks import Ensemble
from policies.rl.sac import LOG_SQRT_2PI, MAX_LOG_STD, MIN_LOG_STD, Sac, SacConfig

BETAS = (0.9, 0.999)  # of Adam (Kingma and Ba 2015)
EPSILON = 1e-8


@dataclass(frozen=True)
class StackedSac:
    """Weights and biases, one after the other, of every network; each leads with (n, ...)."""

    actor: list[Tensor]
    critic: list[Tensor]  # weights (n, 2, i, k), biases (n, 2, 1, k)
    target_critic: list[Tensor]

    @property
    def trained(self) -> list[Tensor]:
        """What gradients are taken of."""
        return [*self.actor, *self.critic]


@dataclass(frozen=True)
class AdamState:
    """The moments of Adam for the trained tensors, and the number of steps so far."""

    first: list[Tensor]
    second: list[Tensor]
    steps: Tensor  # (n,)


def stack_sac(sac: Sac, n: int) -> StackedSac:
    """n equal copies of the averaged actor, and of the critics."""
    return StackedSac(
        actor=_copies(_linear_tensors(sac.ema_actor), n),
        critic=_copies(_ensemble_tensors(sac.critic), n),
        target_critic=_copies(_ensemble_tensors(sac.target_critic), n),
    )


def zero_adam(nets: StackedSac, n: int) -> AdamState:
    """Adam before its first step."""
    return AdamState(
        first=[torch.zeros_like(x) for x in nets.trained],
        second=[torch.zeros_like(x) for x in nets.trained],
        steps=torch.zeros(n, device=nets.actor[0].device),
    )


def _linear_tensors(net: nn.Module) -> list[Tensor]:
    """Weights (1, i, k) and biases (1, 1, k) of the linear layers of a sequential network."""
    tensors = []
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            tensors.append(layer.weight.detach().T[None])
            tensors.append(layer.bias.detach()[None, None])
    return tensors


def _ensemble_tensors(net: Ensemble) -> list[Tensor]:
    """Weights (1, 2, i, k) and biases (1, 2, 1, k)."""
    tensors = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        tensors.append(weight.detach()[None])
        tensors.append(bias.detach()[None])
    return tensors


def _copies(tensors: Sequence[Tensor], n: int) -> list[Tensor]:
    return [x.repeat(n, *[1] * (x.dim() - 1)) for x in tensors]


def forward(net: Sequence[Tensor], x: Tensor) -> Tensor:
    """Outputs (..., b, k) of layers with ReLU between them, from inputs (..., b, i)."""
    weights = net[0::2]
    biases = net[1::2]
    h = x
    for layer, weight in enumerate(weights):
        if layer > 0:
            h = torch.relu(h)
        h = h @ weight + biases[layer]
    return h


def gaussian(actor: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation before squashing, (n, b, a) each, for features (n, b, k)."""
    mean, raw = forward(actor, x).chunk(2, -1)
    half_range = (MAX_LOG_STD - MIN_LOG_STD) / 2
    log_std = MIN_LOG_STD + half_range * (torch.tanh(raw) + 1)
    return mean, log_std


def sample(actor: Sequence[Tensor], x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (n, b, a) in (-1, 1) from standard normal ``noise``, and log-densities (n, b)."""
    mean, log_std = gaussian(actor, x)
    raw = mean + log_std.exp() * noise
    log_density = -0.5 * noise.square() - log_std - LOG_SQRT_2PI
    log_slope = 2 * (log(2) - raw - F.softplus(-2 * raw))  # log(1 - tanh²(raw))
    return torch.tanh(raw), (log_density - log_slope).sum(-1)


def q_values(critic: Sequence[Tensor], x: Tensor, action: Tensor) -> Tensor:
    """Values (n, 2, b) of actions (n, b, a) in states with features (n, b, k)."""
    inputs = torch.cat([x, action], -1)
    return forward(critic, inputs[:, None]).squeeze(-1)


def losses(
    nets: StackedSac,
    batch: Transition,
    x: Tensor,
    next_x: Tensor,
    alpha: Tensor,
    noise: Tensor,
    config: SacConfig,
) -> Tensor:
    """Critics' squared TD errors plus minus the actor's soft value, summed over the worlds.

    Args:
        nets: of n worlds.
        batch: transitions (n, b, ...); those that are not valid have no weight.
        x: features (n, b, k) of the observations.
        next_x: features (n, b, k) of the next observations.
        alpha: the temperature, ().
        noise: standard normal draws (2, n, b, a), for the next actions and for the actor's.
        config: discount and scale of the reward.
    """
    weight = batch.valid.float()
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1)
    next_noise, actor_noise = noise
    with torch.no_grad():
        next_action, next_log_prob = sample(nets.actor, next_x, next_noise)
        next_q = q_values(nets.target_critic, next_x, next_action).amin(1)
        next_value = next_q - alpha * next_log_prob
        discount = config.gamma * (~batch.terminated)
        target = config.reward_scale * batch.reward + discount * next_value
    q = q_values(nets.critic, x, batch.action)
    critic = ((q - target[:, None]).square() * weight[:, None]).sum()
    action, log_prob = sample(nets.actor, x, actor_noise)
    fixed_critic = [tensor.detach() for tensor in nets.critic]
    value = q_values(fixed_critic, x, action).amin(1)
    actor = ((alpha * log_prob - value) * weight).sum()
    return critic + actor


def adam_step(
    nets: StackedSac,
    state: AdamState,
    gradients: Sequence[Tensor],
    lr: float,
    tau: float,
) -> tuple[StackedSac, AdamState]:
    """One step of Adam on every world's weights, and of its target critics."""
    beta1, beta2 = BETAS
    count = state.steps + 1
    scale = (1 - beta2**count).sqrt() / (1 - beta1**count)  # bias correction, (n,)
    firsts = []
    seconds = []
    updated = []
    for i, tensor in enumerate(nets.trained):
        gradient = gradients[i]
        first = state.first[i].lerp(gradient, 1 - beta1)
        second = state.second[i].lerp(gradient.square(), 1 - beta2)
        rate = lr * scale.view(-1, *[1] * (tensor.dim() - 1))
        updated.append(tensor - rate * first / (second.sqrt() + EPSILON))
        firsts.append(first)
        seconds.append(second)
    actor = updated[: len(nets.actor)]
    critic = updated[len(nets.actor) :]
    targets = zip(nets.target_critic, critic, strict=True)
    target_critic = [slow.lerp(fast, tau) for slow, fast in targets]
    return StackedSac(actor, critic, target_critic), AdamState(firsts, seconds, count)
