"""The critics of TD3 (Fujimoto et al. 2018): twin critics of a policy without noise.

Axes: leading axes (...,), k features of a state, a action, two critics.
"""

import torch
from torch import Tensor

from policies.method import Transition
from policies.nn.flat_mlp import FlatMlp
from policies.nn.noise import standard_normal
from policies.rl.sac import q_values

TARGET_NOISE = 0.2  # std of the noise on the next actions (TD3)
TARGET_NOISE_BOUND = 0.5  # its largest size (TD3)


@torch.no_grad()
def td3_target(
    target_critic: FlatMlp,
    ticks: Transition,
    next_x: Tensor,
    next_action: Tensor,
    gamma: float,
    generator: torch.Generator,
) -> Tensor:
    """Reward plus the smaller of both critics' discounted values of the next state, (...,).

    After a terminated tick there is no next state; after a truncated one there is.

    Args:
        target_critic: the averaged copy of the critics.
        ticks: (...,) with the rewards that are learned from.
        next_x: (..., k) features of the states that follow.
        next_action: (..., a) of the policy in these states. Noise is added, so that the value is
            that of similar actions, too.
        gamma: discount of a tick.
        generator: of the noise.
    """
    noise = TARGET_NOISE * standard_normal(next_action.shape, generator)
    bounded = noise.clamp(-TARGET_NOISE_BOUND, TARGET_NOISE_BOUND)
    noisy_action = (next_action + bounded).clamp(-1, 1)
    next_q = q_values(target_critic, next_x, noisy_action).amin(0)
    future = next_q.where(~ticks.terminated, 0.0)
    return ticks.reward + gamma * future
