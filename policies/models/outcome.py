"""What a dynamics model predicts of a transition."""

import torch
from torch import Tensor

from policies.method import Transition


def outcome_of(t: Transition, with_reward: bool) -> Tensor:
    """The change of the observation, then the reward if it is predicted, (..., o + r)."""
    change = t.next_obs - t.obs
    if not with_reward:
        return change
    reward = t.reward[..., None]
    return torch.cat([change, reward], -1)
