"""Predictions of an ensemble of networks over many steps, in one call (``rollout_kernel.c``)."""

import torch
from torch import Tensor

from policies.nn.compiled import check, long_array, pointers, rollout_library
from policies.nn.flat_mlp import Layer


def predict_steps(
    layers: list[Layer],
    states: Tensor,
    rewards: Tensor,
    actions: Tensor,
    z: Tensor,
) -> bool:
    """Fill in states and rewards, with products in bfloat16.

    A network reads observation, action and z, and gives the change of the observation and the
    reward.

    Args:
        layers: weight (m, i, k) and bias (m, 1, k) of each, with ReLU between them.
        states: (H + 1, m, b, o), the first one given.
        rewards: (H, m, b, r).
        actions: (H, b, a).
        z: (m, b, l).

    Returns:
        False, with nothing done, where it cannot be compiled, the processor has no such products or
        the tensors are not on a CPU.
    """
    library = rollout_library() if states.device.type == "cpu" else None
    if library is None:
        return False
    pieces = []
    for weight, bias in layers:
        pieces += [weight.flatten(1), bias.flatten(1)]
    parameters = torch.cat(pieces, 1)
    inputs = [weight.shape[1] for weight, _ in layers]
    sizes = [*inputs, layers[-1][0].shape[2]]
    actions = actions.contiguous()
    z = z.contiguous()
    steps, members, rows, _ = rewards.shape
    widths = [states.shape[-1], actions.shape[-1], z.shape[-1]]
    shape = [members, rows, steps, len(layers), long_array(sizes)]
    arrays = pointers((states, rewards, actions, z))
    check(library.ensemble_rollout(*shape, *pointers([parameters]), *widths, *arrays))
    return True
