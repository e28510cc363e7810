"""Soft actor-critic with separate weights for each world; the weights are tensors of a belief.

The losses are those of ``policies.rl.sac``. Here every network has a leading axis of n worlds, and
the sum of the worlds' losses gives each world its own gradient.

Axes: n worlds, b rows of a batch, k features, a action, two critics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn import functional

from policies.belief import map_tensors
from policies.method import Transition
from policies.nn.adam import Adam
from policies.nn.flat_mlp import EPSILON, FlatMlp, split_layers
from policies.nn.noise import standard_normal
from policies.nn.squashed_gaussian import LOG_SQRT_2PI, MAX_LOG_STD, MIN_LOG_STD
from policies.rl.sac import Sac, SacConfig


@dataclass(frozen=True)
class StackedSac:
    """Weights and biases of every network, alternating; each tensor has the leading axis n."""

    actor: list[Tensor]
    critic: list[Tensor]  # weights (n, 2, i, k), biases (n, 2, 1, k)
    target_critic: list[Tensor]

    @property
    def trained(self) -> list[Tensor]:
        """The tensors that are trained."""
        return [*self.actor, *self.critic]


def stack_sac(sac: Sac, n: int) -> StackedSac:
    """n equal copies of the averaged actor, and of the critics."""
    return StackedSac(
        actor=_copies(_layers(sac.ema_actor), n),
        critic=_copies(_twin_layers(sac.critic), n),
        target_critic=_copies(_twin_layers(sac.target_critic), n),
    )


def begin_tuning(nets: StackedSac, lr: float) -> tuple[StackedSac, Adam]:
    """A copy of networks that gradients can be computed for, and an optimizer of what is trained.

    Args:
        nets: of n worlds.
        lr: learning rate.
    """

    def trainable_copy(x: Tensor) -> Tensor:
        return x.detach().clone().requires_grad_()

    copies = map_tensors(trainable_copy, nets)
    device = copies.actor[0].device
    fused = device.type in ("cpu", "cuda")  # PyTorch has a fused Adam for these devices only
    return copies, Adam(copies.trained, lr=lr, fused=fused)


def _layers(net: FlatMlp) -> list[Tensor]:
    """Weights (m, i, k) and biases (m, 1, k) of a stack's layers; m = 1 for a single network."""
    tensors = []
    for weight, bias in split_layers(net.flat.detach(), net.sizes):
        tensors += [weight, bias]
    return tensors


def _twin_layers(net: FlatMlp) -> list[Tensor]:
    """Weights (1, 2, i, k) and biases (1, 2, 1, k) of two critics."""
    return [tensor[None] for tensor in _layers(net)]


def _copies(tensors: Sequence[Tensor], n: int) -> list[Tensor]:
    copies = []
    for tensor in tensors:
        other_axes = [1] * (tensor.dim() - 1)
        copies.append(tensor.repeat(n, *other_axes))
    return copies


def forward(net: Sequence[Tensor], x: Tensor, normalize: bool = False) -> Tensor:
    """Outputs (..., b, k) of layers as ``FlatMlp``'s, from inputs (..., b, i)."""
    weights = net[0::2]
    biases = net[1::2]
    h = x
    for layer, weight in enumerate(weights):
        bias = biases[layer]
        if layer > 0:
            if normalize:
                h = functional.layer_norm(h, h.shape[-1:], eps=EPSILON)
            h = torch.relu(h)
        h = h @ weight + bias
    return h


def gaussian(actor: Sequence[Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation before squashing, (n, b, a) each, for features (n, b, k)."""
    output = forward(actor, x)
    mean, raw = output.chunk(2, -1)
    half_range = (MAX_LOG_STD - MIN_LOG_STD) / 2
    share = torch.tanh(raw) + 1
    log_std = MIN_LOG_STD + half_range * share
    return mean, log_std


def sample(actor: Sequence[Tensor], x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Actions (n, b, a) in (-1, 1) from standard normal ``noise``, and log-densities (n, b)."""
    mean, log_std = gaussian(actor, x)
    std = log_std.exp()
    raw = mean + std * noise
    action = torch.tanh(raw)
    log_normal = -0.5 * noise.square() - LOG_SQRT_2PI
    log_density = log_normal - log_std
    # log(1 - tanh²(raw)), the log-derivative of the squashing, in a numerically stable form
    decay = functional.softplus(-2 * raw)
    log_slope = 2 * (log(2) - raw - decay)
    log_prob = log_density - log_slope
    return action, log_prob.sum(-1)


def act(nets: StackedSac, x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Actions (n, a) of each world's own actor, for features (n, k).

    A sample of the policy, or its mean without a generator.
    """
    raw, log_std = gaussian(nets.actor, x[:, None])
    if generator is not None:
        noise = standard_normal(raw.shape, generator)
        raw = raw + log_std.exp() * noise
    return torch.tanh(raw[:, 0])


def q_values(critic: Sequence[Tensor], x: Tensor, action: Tensor, normalize: bool) -> Tensor:
    """Values (n, 2, b) of actions (n, b, a) in states with features (n, b, k).

    ``normalize``: whether the critics' hidden layers are, see ``SacConfig.critic_layer_norm``.
    """
    inputs = torch.cat([x, action], -1)
    for_both = inputs[:, None]  # (n, 1, b, k + a)
    values = forward(critic, for_both, normalize)
    return values.squeeze(-1)


def losses(
    nets: StackedSac,
    batch: Transition,
    x: Tensor,
    next_x: Tensor,
    alpha: Tensor,
    noise: Tensor,
    config: SacConfig,
    weights: Tensor | None = None,
) -> Tensor:
    """The critics' squared TD errors minus the actor's soft value, summed over the worlds.

    Args:
        nets: of n worlds.
        batch: transitions (n, b, ...); invalid ones have no weight.
        x: features (n, b, k) of the observations.
        next_x: features (n, b, k) of the next observations.
        alpha: the temperature, ().
        noise: standard normal draws (2, n, b, a), for the next actions and for the actor's.
        config: discount and scale of the reward, and whether critics are normalized.
        weights: (n, b) factors of each transition's losses, such as propensities.
    """
    normalize = config.critic_layer_norm
    valid = batch.valid.float()
    count = valid.sum(-1, keepdim=True)
    weight = valid / count.clamp(min=1)
    if weights is not None:
        weight = weight * weights
    next_noise, actor_noise = noise
    target = config.reward_scale * batch.reward
    if config.gamma > 0:
        with torch.no_grad():
            next_action, next_log_prob = sample(nets.actor, next_x, next_noise)
            next_q = q_values(nets.target_critic, next_x, next_action, normalize).amin(1)
            next_value = next_q - alpha * next_log_prob
            discount = config.gamma * (~batch.terminated)
            target = target + discount * next_value
    q = q_values(nets.critic, x, batch.action, normalize)
    error = (q - target[:, None]).square()
    critic_loss = (error * weight[:, None]).sum()
    action, log_prob = sample(nets.actor, x, actor_noise)
    fixed_critic = [tensor.detach() for tensor in nets.critic]
    value = q_values(fixed_critic, x, action, normalize).amin(1)
    minus_value = alpha * log_prob - value
    actor_loss = (minus_value * weight).sum()
    return critic_loss + actor_loss
