"""Predictions of an ensemble of networks over many steps, for planning.

Axes: m members, H steps, b rows, o observation, a action, l latent.
"""

import torch
from torch import Tensor

from policies.nn.compiled import check, is_plain, long_array, pointers, rollout_library
from policies.nn.flat_mlp import Layer

BLOCK_ROWS = 512  # rows predicted at a time on a CPU: this fits into a core's cache


def predict_steps(
    layers: list[Layer],
    states: Tensor,
    actions: Tensor,
    z: Tensor,
    bfloat16: bool,
) -> None:
    """Fill in predicted states; a network predicts the change from observation, action and z.

    Args:
        layers: weight (m, i, k) and bias (m, 1, k) of each, with ReLU between them.
        states: (H + 1, m, b, o); the first state is given, the others are written.
        actions: (H, b, a)
        z: (m, b, l)
        bfloat16: multiply in bfloat16, if the processor can and there is a C compiler
            (``rollout_kernel.c``).

    Raises:
        ValueError: the shapes do not fit.
    """
    first_weight = layers[0][0]
    last_weight = layers[-1][0]
    inputs = states.shape[-1] + actions.shape[-1] + z.shape[-1]
    outputs = states.shape[-1]
    if (inputs, outputs) != (first_weight.shape[1], last_weight.shape[2]):
        raise ValueError(f"the network does not have {inputs} inputs and {outputs} outputs")
    steps, rows, _ = actions.shape
    members = len(z)
    if states.shape[:3] != (steps + 1, members, rows) or z.shape[1] != rows:
        raise ValueError(f"not all tensors are of {steps} steps, {members} members, {rows} rows")
    on_cpu = states.device.type == "cpu"
    if bfloat16 and on_cpu and _predict_compiled(layers, states, actions, z):
        return
    block_rows = BLOCK_ROWS if on_cpu else rows
    for first in range(0, rows, block_rows):
        block = slice(first, first + block_rows)
        _predict_block(layers, states[:, :, block], actions[:, block], z[:, block])


def _predict_block(
    layers: list[Layer],
    states: Tensor,
    actions: Tensor,
    z: Tensor,
) -> None:
    """``predict_steps`` for some of the rows, with torch."""
    members = len(z)
    obs_dim = states.shape[-1]
    *inner_layers, (last_weight, last_bias) = layers
    action = actions[0].expand(members, -1, -1)
    x = torch.cat([states[0], action, z], -1)  # (m, rows, o + a + l)
    x_obs = x[..., :obs_dim]  # views of x
    x_action = x[..., obs_dim : -z.shape[-1]]
    for t, action in enumerate(actions):
        x_action.copy_(action)
        h = x
        for weight, bias in inner_layers:
            h = torch.baddbmm(bias, h, weight).relu_()
        x_obs += torch.baddbmm(last_bias, h, last_weight)
        states[t + 1] = x_obs


def _predict_compiled(
    layers: list[Layer],
    states: Tensor,
    actions: Tensor,
    z: Tensor,
) -> bool:
    """``predict_steps`` in one call of a C function; without a library, does nothing: False."""
    given = (states, actions, z, layers[0][0])
    library = rollout_library() if all(map(is_plain, given)) else None
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
    steps, rows, _ = actions.shape
    widths = [states.shape[-1], actions.shape[-1], z.shape[-1]]
    shape = [len(z), rows, steps, len(layers), long_array(sizes)]
    arrays = pointers((states, actions, z))
    check(library.ensemble_rollout(*shape, *pointers([parameters]), *widths, *arrays))
    return True
