"""Networks whose parameters are one matrix, with a handwritten gradient.

The time of a gradient step on small networks depends on the number of operations as much as on
their size. With one matrix for a stack of networks, the optimizer and the averaged copies need one
operation each. On a CPU with a C compiler, a pass through the stack is one call (``mlp_kernel.c``);
otherwise it is one node in autograd's graph, with only the operations that its products need.

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

EPSILON = 1e-5  # added to the variance in layer normalization; as in mlp_kernel.c

Layer = tuple[Tensor, Tensor]  # weight (m, i, k) and bias (m, 1, k)
Sizes = tuple[int, ...]
# Saved by the forward pass for the backward pass: the hidden layers and, if they are normalized,
# their units before ReLU and the factors of the normalization.
Kept = list[Tensor]
# of the outputs (m, b, k), given; of the parameters and of the rows, written unless None
Gradients = tuple[Tensor, Tensor | None, Tensor | None]

# BLAS multiplies by matrices of few columns several times faster as (Wᵀ·Xᵀ)ᵀ than as X·W: for
# 512 × 128 times 128 × 4 on one core, 14 µs against 71.
FEW_COLUMNS = 32


class FlatMlp(nn.Module):
    """Linear layers with ReLU between them; one network, or m of one shape.

    Before each ReLU a layer may be normalized to mean 0 and variance 1 over its units (LayerNorm,
    Ba et al. 2016, without gains and offsets: the weights of the next layer take their place).

    Attributes:
        flat: parameters (m, N): weight (i, k) and bias (k,) of each layer, one after the other.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        generator: torch.Generator,
        members: int | None = None,
        normalize: bool = False,
    ) -> None:
        """Draw the weights with the generator, on its device.

        Args:
            sizes: widths of inputs, hidden layers and outputs.
            generator: of the weights.
            members: m; None: one network, whose outputs have no axis m.
            normalize: whether the hidden layers are normalized.
        """
        super().__init__()
        self.normalize = normalize
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
        out: Tensor = _Mlp.apply(rows, flat.contiguous(), self.sizes, self.normalize)
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
        normalize: bool,
    ) -> Tensor:
        library = mlp_library() if is_plain(rows) and is_plain(flat) else None
        if library is None:
            output, kept = _forward(rows, split_layers(flat, sizes), normalize)
        else:
            output, kept = _call_forward(library, rows, flat, sizes, normalize)
        ctx.save_for_backward(rows, flat, *kept)
        ctx.sizes = sizes
        ctx.normalize = normalize
        ctx.library = library
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        rows, flat, *kept = ctx.saved_tensors
        needs_rows, needs_flat = ctx.needs_input_grad[:2]
        flat_gradient = torch.empty_like(flat) if needs_flat else None
        rows_gradient = torch.zeros_like(rows) if needs_rows else None
        gradients = (gradient.contiguous(), flat_gradient, rows_gradient)
        if ctx.library is None:
            _backward(rows, flat, kept, gradients, ctx.sizes, ctx.normalize)
        else:
            _call_backward(ctx.library, rows, flat, kept, gradients, ctx.sizes)
        return rows_gradient, flat_gradient, None, None


def _call_forward(
    library: ctypes.CDLL,
    rows: Tensor,
    flat: Tensor,
    sizes: Sizes,
    normalize: bool,
) -> tuple[Tensor, Kept]:
    """Outputs (m, b, k), and what the backward pass needs, one tensor for all layers each."""
    members = len(flat)
    count = len(rows)
    hidden = rows.new_empty(members, count * sum(sizes[1:-1]))
    kept = [hidden]
    if normalize:
        scales = rows.new_empty(members, count * (len(sizes) - 2))
        kept += [torch.empty_like(hidden), scales]
    output = rows.new_empty(members, count, sizes[-1])
    tensors = (flat, rows, *_kernel_arguments(kept), output)
    check(library.mlp_forward(*_shape(members, count, sizes), *pointers(tensors)))
    return output, kept


def _call_backward(
    library: ctypes.CDLL,
    rows: Tensor,
    flat: Tensor,
    kept: Kept,
    gradients: Gradients,
    sizes: Sizes,
) -> None:
    """Write the gradients of the parameters and of the rows, unless they are None."""
    shape = _shape(len(flat), len(rows), sizes)
    addresses = pointers((flat, rows, *_kernel_arguments(kept), *gradients))
    check(library.mlp_backward(*shape, *addresses))


def _kernel_arguments(kept: Kept) -> Sequence[Tensor | None]:
    """The three arrays that the C functions take; without normalization, two are None."""
    return kept if len(kept) > 1 else [*kept, None, None]


def _shape(members: int, rows: int, sizes: Sizes) -> tuple[int, int, int, ctypes.Array[Any]]:
    """The first arguments of the C functions."""
    return members, rows, len(sizes) - 1, long_array(sizes)


def _forward(rows: Tensor, layers: list[Layer], normalize: bool) -> tuple[Tensor, Kept]:
    """Outputs (m, b, k), and tensors (m, b, ...) of each hidden layer for the backward pass."""
    kept: Kept = []
    first_weight = layers[0][0]
    h = rows.expand(len(first_weight), *rows.shape)
    for weight, bias in layers[:-1]:
        h = _affine(h, weight, bias)
        if not normalize:
            h = h.relu_()
            kept += [h]
            continue
        width = h.shape[-1:]
        normalized, _, scales = torch.native_layer_norm(h, width, None, None, EPSILON)
        h = normalized.relu()
        kept += [h, normalized, scales]
    return _affine(h, *layers[-1]), kept


def _backward(
    rows: Tensor,
    flat: Tensor,
    kept: Kept,
    gradients: Gradients,
    sizes: Sizes,
    normalize: bool,
) -> None:
    """The same as ``_call_backward``, without C.

    With G the gradient of a layer's outputs and X its inputs, the gradient of the weights is Xᵀ·G,
    that of the bias is the sum of G over rows, and that of the inputs is G·Wᵀ where ReLU is active.
    """
    g, flat_gradient, rows_gradient = gradients
    layers = split_layers(flat, sizes)
    kept_of_each = 3 if normalize else 1
    inputs = [rows.expand(len(flat), *rows.shape), *kept[::kept_of_each]]
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
            if normalize:
                hidden_layer = kept[kept_of_each * (index - 1) :]
                _, normalized, scales = hidden_layer[:kept_of_each]
                g = _before_normalization(g, normalized, scales)
        elif rows_gradient is not None:
            rows_gradient += _product(g, weight.mT).sum(0)


def _before_normalization(g: Tensor, normalized: Tensor, scales: Tensor) -> Tensor:
    """The gradient of a layer's units (m, b, width), from that of its normalized units."""
    mean = g.mean(-1, keepdim=True)
    along = (g * normalized).mean(-1, keepdim=True)
    gradient: Tensor = scales * (g - mean - normalized * along)
    return gradient


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
