"""Networks whose parameters are one matrix, with their gradient written by hand.

A gradient step of small networks is limited by the number of operations as much as by their size.
With one matrix for a stack of networks, the optimizer and the averaged copies take one operation
each; with one node in autograd's graph, a pass takes no more operations than its products need.

Axes: m networks of a stack, N parameters of one, b rows, i inputs and k outputs of a layer.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from policies.nn.networks import init_

Layer = tuple[Tensor, Tensor]  # weight (m, i, k) and bias (m, 1, k)

# BLAS multiplies by matrices of few columns several times faster as (Wᵀ·Xᵀ)ᵀ than as X·W: for
# 512 × 128 times 128 × 4 on one core, 14 µs against 71.
FEW_COLUMNS = 32


class FlatMlp(nn.Module):
    """Linear layers with ReLU between them; one network, or m of one shape.

    Attributes:
        flat: parameters (m, N): weight (i, k) and bias (k,) of each layer, one after the other.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        members: int | None = None,
        inner_dtype: torch.dtype = torch.float32,
    ) -> None:
        """Draw the weights with the generator, on its device.

        Args:
            sizes: widths of inputs, hidden layers and outputs.
            generator: what the weights are drawn with.
            members: m; None: one network, whose outputs have no axis m.
            inner_dtype: in which the layers between the first and the last one are multiplied; the
                parameters, their gradients and the outputs are float32.
        """
        super().__init__()
        self.sizes = tuple(sizes)
        self.members = members
        self.inner_dtype = inner_dtype
        stacked = 1 if members is None else members
        numbers = sum((i + 1) * k for i, k in pairwise(sizes))
        self.flat = nn.Parameter(torch.empty(stacked, numbers, device=generator.device))
        for weight, bias in split_layers(self.flat.detach(), self.sizes):
            init_(weight, bias, weight.shape[1], generator)

    def forward(self, x: Tensor, detach_weights: bool = False) -> Tensor:
        """Outputs (..., k) of one network, or (m, ..., k) of a stack.

        Args:
            x: (..., i), the same for all networks.
            detach_weights: pass gradients to ``x`` but not to the weights.
        """
        flat = self.flat.detach() if detach_weights else self.flat
        rows = x.reshape(-1, x.shape[-1])
        out: Tensor = _Mlp.apply(rows, flat, self.sizes, self.inner_dtype)
        lead = x.shape[:-1]
        if self.members is None:
            return out.view(*lead, -1)
        return out.view(self.members, *lead, -1)


def split_layers(flat: Tensor, sizes: Sequence[int]) -> list[Layer]:
    """Weight (m, i, k) and bias (m, 1, k) of each layer, as views of parameters (m, N)."""
    lengths = []
    for i, k in pairwise(sizes):
        lengths += [i * k, k]
    pieces = flat.split(lengths, 1)
    layers = []
    for index, (i, k) in enumerate(pairwise(sizes)):
        weight = pieces[2 * index].view(-1, i, k)
        bias = pieces[2 * index + 1].view(-1, 1, k)
        layers.append((weight, bias))
    return layers


class _Mlp(torch.autograd.Function):
    """Rows (b, i) and parameters (m, N) -> outputs (m, b, k)."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        flat: Tensor,
        sizes: tuple[int, ...],
        inner_dtype: torch.dtype,
    ) -> Tensor:
        outputs = []
        saved = []
        for part in _parts(flat):
            output, inputs = _forward(rows, split_layers(part, sizes), inner_dtype)
            outputs.append(output)
            saved += inputs
        ctx.save_for_backward(flat, *saved)
        ctx.sizes = sizes
        ctx.inner_dtype = inner_dtype
        return torch.cat(outputs)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        flat, *saved = ctx.saved_tensors
        needs_rows, needs_flat = ctx.needs_input_grad[:2]
        rows_gradient: Tensor | None = None
        flat_gradient = torch.empty_like(flat) if needs_flat else None
        targets = _parts(flat_gradient) if flat_gradient is not None else None
        depth = len(ctx.sizes) - 1  # layers
        for index, (part, g) in enumerate(zip(_parts(flat), _parts(gradient), strict=True)):
            layers = split_layers(part, ctx.sizes)
            inputs = saved[index * depth : (index + 1) * depth]
            written = split_layers(targets[index], ctx.sizes) if targets else None
            g = _backward(g, inputs, layers, written, ctx.inner_dtype)
            if needs_rows:
                first_weight = layers[0][0]
                found = _product(g, first_weight.mT).sum(0)
                rows_gradient = found if rows_gradient is None else rows_gradient + found
        return rows_gradient, flat_gradient, None, None


def _parts(stack: Tensor) -> tuple[Tensor, ...]:
    """What is evaluated at once: all members on an accelerator, one on a CPU, for its cache."""
    return (stack,) if stack.is_cuda else stack.split(1)


def _forward(
    rows: Tensor,
    layers: list[Layer],
    inner_dtype: torch.dtype,
) -> tuple[Tensor, list[Tensor]]:
    """Outputs (m, b, k), and the inputs (m, b, i) of each layer, for the backward pass."""
    inputs = []
    h = rows.expand(len(layers[0][0]), *rows.shape)
    last = len(layers) - 1
    for index, (weight, bias) in enumerate(layers):
        dtype = inner_dtype if 0 < index < last else torch.float32
        h = h.to(dtype)
        inputs.append(h)
        h = _affine(h, weight.to(dtype), bias.to(dtype))
        if index < last:
            h = h.relu_()
    return h, inputs


def _backward(
    g: Tensor,
    inputs: list[Tensor],
    layers: list[Layer],
    written: list[Layer] | None,
    inner_dtype: torch.dtype,
) -> Tensor:
    """Gradient of the first layer's outputs (m, b, k), from that of the last layer's.

    A layer's weight gets Xᵀ·G and its bias the sum of G over rows, X its inputs and G the gradient
    of its outputs; the gradient of its inputs is G·Wᵀ, where ReLU let them pass.

    Args:
        g: gradient of the outputs (m, b, k).
        inputs: of each layer, as ``_forward`` gave them.
        layers: weights and biases.
        written: where their gradients are written; None: nowhere.
        inner_dtype: as in ``FlatMlp``.
    """
    last = len(layers) - 1
    for index in range(last, -1, -1):
        dtype = inner_dtype if 0 < index < last else torch.float32
        g = g.to(dtype)
        x = inputs[index]
        if written is not None:
            weight_gradient, bias_gradient = written[index]
            weight_gradient.copy_(_product(x.mT, g))
            torch.sum(g, 1, keepdim=True, dtype=torch.float32, out=bias_gradient)
        if index > 0:
            weight = layers[index][0].to(dtype)
            g = _product(g, weight.mT)
            g = torch.ops.aten.threshold_backward(g, x, 0)
    return g


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """X·W + b, (m, b, k)."""
    if weight.shape[-1] < FEW_COLUMNS:
        return torch.baddbmm(bias.mT, weight.mT, x.mT).mT
    return torch.baddbmm(bias, x, weight)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A·B of stacks of matrices, (m, rows of A, columns of B)."""
    if b.shape[-1] < FEW_COLUMNS:
        return torch.bmm(b.mT, a.mT).mT
    return torch.bmm(a, b)
