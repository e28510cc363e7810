"""Networks whose parameters are one matrix, with their gradient written by hand.

A gradient step of small networks is limited by the number of operations as much as by their size.
With one matrix for a stack of networks, the optimizer and the averaged copies take one operation
each. On a CPU with a C compiler, a pass through the stack is one call (``mlp_kernel.c``); elsewhere
it is one node in autograd's graph, with no more operations than its products need.

Axes: m networks of a stack, N parameters of one, b rows, i inputs and k outputs of a layer.
"""

import ctypes
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from policies.nn.compiled import check, is_plain, long_array, mlp_library, pointers
from policies.nn.networks import init_
from robots.errors import BadArgumentError

Layer = tuple[Tensor, Tensor]  # weight (m, i, k) and bias (m, 1, k)
Sizes = tuple[int, ...]

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
    ) -> None:
        """Draw the weights with the generator, on its device.

        Args:
            sizes: widths of inputs, hidden layers and outputs.
            generator: what the weights are drawn with.
            members: m; None: one network, whose outputs have no axis m.
        """
        super().__init__()
        self.sizes = tuple(sizes)
        self.members = members
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

        Raises:
            BadArgumentError: ``x`` has another number of columns.
        """
        if x.shape[-1] != self.sizes[0]:
            raise BadArgumentError(f"{self.sizes[0]} columns are read, given {tuple(x.shape)}")
        flat = self.flat.detach() if detach_weights else self.flat
        lead = x.shape[:-1]
        rows = x.reshape(-1, self.sizes[0]).contiguous()
        out: Tensor = _Mlp.apply(rows, flat.contiguous(), self.sizes)
        outputs = self.sizes[-1]
        if self.members is None:
            return out.view(*lead, outputs)
        return out.view(self.members, *lead, outputs)


def split_layers(flat: Tensor, sizes: Sizes) -> list[Layer]:
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
    """Contiguous rows (b, i) and parameters (m, N) -> outputs (m, b, k)."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401  torch lets it have any attribute
        rows: Tensor,
        flat: Tensor,
        sizes: Sizes,
    ) -> Tensor:
        library = mlp_library() if is_plain(rows) and is_plain(flat) else None
        if library is None:
            output, hidden = _forward(rows, split_layers(flat, sizes))
        else:
            output, hidden = _call_forward(library, rows, flat, sizes)
        ctx.save_for_backward(rows, flat, *hidden)
        ctx.sizes = sizes
        ctx.library = library
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        rows, flat, *hidden = ctx.saved_tensors
        needs_rows, needs_flat = ctx.needs_input_grad[:2]
        flat_gradient = torch.empty_like(flat) if needs_flat else None
        rows_gradient = torch.zeros_like(rows) if needs_rows else None
        gradient = gradient.contiguous()
        tensors = (rows, flat, *hidden, gradient)
        if ctx.library is None:
            _backward(tensors, flat_gradient, rows_gradient, ctx.sizes)
        else:
            _call_backward(ctx.library, tensors, flat_gradient, rows_gradient, ctx.sizes)
        return rows_gradient, flat_gradient, None


def _call_forward(
    library: ctypes.CDLL,
    rows: Tensor,
    flat: Tensor,
    sizes: Sizes,
) -> tuple[Tensor, list[Tensor]]:
    """Outputs (m, b, k) and, for the backward pass, all hidden layers as one tensor."""
    members = len(flat)
    count = len(rows)
    hidden = rows.new_empty(members, count * sum(sizes[1:-1]))
    output = rows.new_empty(members, count, sizes[-1])
    tensors = (flat, rows, hidden, output)
    check(library.mlp_forward(*_shape(members, count, sizes), *pointers(tensors)))
    return output, [hidden]


def _call_backward(
    library: ctypes.CDLL,
    tensors: tuple[Tensor, ...],
    flat_gradient: Tensor | None,
    rows_gradient: Tensor | None,
    sizes: Sizes,
) -> None:
    """Write the gradients of the parameters and of the rows, where they are wanted."""
    rows, flat, hidden, gradient = tensors
    shape = _shape(len(flat), len(rows), sizes)
    given = pointers((flat, rows, hidden, gradient))
    written = pointers((flat_gradient, rows_gradient))
    check(library.mlp_backward(*shape, *given, *written))


def _shape(members: int, rows: int, sizes: Sizes) -> tuple[int, int, int, ctypes.Array[Any]]:
    """The first arguments of the C functions."""
    return members, rows, len(sizes) - 1, long_array(sizes)


def _forward(rows: Tensor, layers: list[Layer]) -> tuple[Tensor, list[Tensor]]:
    """Outputs (m, b, k), and the hidden layers (m, b, width) for the backward pass."""
    hidden = []
    first_weight = layers[0][0]
    h = rows.expand(len(first_weight), *rows.shape)
    for weight, bias in layers[:-1]:
        h = _affine(h, weight, bias).relu_()
        hidden.append(h)
    return _affine(h, *layers[-1]), hidden


def _backward(
    tensors: tuple[Tensor, ...],
    flat_gradient: Tensor | None,
    rows_gradient: Tensor | None,
    sizes: Sizes,
) -> None:
    """The same as ``_call_backward``, without C.

    With G the gradient of a layer's outputs and X its inputs, its weights get Xᵀ·G, its bias the
    sum of G over rows, and its inputs G·Wᵀ where ReLU let them pass.
    """
    rows, flat, *hidden, g = tensors
    layers = split_layers(flat, sizes)
    inputs = [rows.expand(len(flat), *rows.shape), *hidden]
    targets = [] if flat_gradient is None else split_layers(flat_gradient, sizes)
    for index in range(len(layers) - 1, -1, -1):
        weight, _ = layers[index]
        x = inputs[index]
        if targets:
            weight_gradient, bias_gradient = targets[index]
            weight_gradient.copy_(_product(x.mT, g))
            bias_gradient.copy_(g.sum(1, keepdim=True))
        if index > 0:
            g = _product(g, weight.mT)
            g = torch.ops.aten.threshold_backward(g, x, 0)
        elif rows_gradient is not None:
            rows_gradient += _product(g, weight.mT).sum(0)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """X·W + b, (m, b, k)."""
    if weight.shape[-1] < FEW_COLUMNS:
        return torch.baddbmm(bias.mT, weight.mT, x.mT).mT.contiguous()
    return torch.baddbmm(bias, x, weight)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """A·B of stacks of matrices, (m, rows of A, columns of B)."""
    if b.shape[-1] < FEW_COLUMNS:
        return torch.bmm(b.mT, a.mT).mT
    return torch.bmm(a, b)
