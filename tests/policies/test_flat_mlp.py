"""Laws of the networks and densities whose gradient is written by hand: it is autograd's."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from policies.models.posterior import Encoder, Posterior
from policies.nn import flat_mlp
from policies.nn.compiled import mlp_library
from policies.nn.flat_mlp import FlatMlp, split_layers
from policies.nn.repeat import repeat
from policies.nn.squashed_gaussian import squashed_gaussian
from robots.errors import BadArgumentError

SIZES = [(5, 7, 1), (20, 64, 64, 3), (33, 130, 70, 17), (4, 2), (18, 128, 128, 12)]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["compiled", "torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways through a network: the C functions, and torch where there is no compiler."""
    if request.param == "torch":
        monkeypatch.setattr(flat_mlp, "mlp_library", lambda: None)
    elif mlp_library() is None:
        pytest.skip("no C compiler")
    return str(request.param)


def plain(flat: Tensor, sizes: tuple[int, ...], x: Tensor, normalize: bool = False) -> Tensor:
    """The same networks as plain products, (m, b, k)."""
    layers = split_layers(flat, sizes)
    h = x.expand(len(flat), *x.shape)
    for weight, bias in layers[:-1]:
        h = h @ weight + bias
        if normalize:
            h = functional.layer_norm(h, h.shape[-1:])
        h = torch.relu(h)
    weight, bias = layers[-1]
    return h @ weight + bias


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rows", [1, 50])
@pytest.mark.parametrize("normalize", [False, True])
def test_values_and_gradients_are_those_of_plain_products(
    way: str, sizes: tuple[int, ...], rows: int, normalize: bool
) -> None:
    net = FlatMlp(sizes, seeded(), members=2, normalize=normalize)
    x = torch.randn(rows, sizes[0], generator=seeded(1))
    factors = torch.randn(2, rows, sizes[-1], generator=seeded(2))
    found = []
    for forward in (net, lambda x: plain(net.flat, net.sizes, x, normalize)):
        leaf = x.clone().requires_grad_()
        out = forward(leaf)
        gradients = torch.autograd.grad((out * factors).sum(), [net.flat, leaf])
        found.append((out, *gradients))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_detached_weights_get_no_gradient_and_pass_it_on(way: str) -> None:
    net = FlatMlp((3, 8, 1), seeded(), members=2)
    x = torch.randn(6, 3, generator=seeded(1)).requires_grad_()
    net(x, detach_weights=True).sum().backward()
    assert net.flat.grad is None
    assert x.grad is not None
    (expected,) = torch.autograd.grad(plain(net.flat, net.sizes, x).sum(), x)
    torch.testing.assert_close(x.grad, expected)


def test_rows_may_have_any_leading_axes_and_one_network_has_no_axis_of_members(way: str) -> None:
    net = FlatMlp((3, 8, 2), seeded())
    x = torch.randn(4, 5, 3, generator=seeded(1))
    assert net(x).shape == (4, 5, 2)
    torch.testing.assert_close(net(x)[2], net(x[2]))


def test_rows_that_are_not_contiguous_are_read_in_their_order(way: str) -> None:
    net = FlatMlp((3, 8, 2), seeded(), members=2)
    x = torch.randn(3, 5, generator=seeded(1)).T
    leaves = [x.detach().requires_grad_(), x.contiguous().requires_grad_()]
    outputs = [net(leaf) for leaf in leaves]
    torch.testing.assert_close(*outputs)
    for out in outputs:
        out.square().sum().backward()
    torch.testing.assert_close(leaves[0].grad, leaves[1].grad)


def test_no_rows_have_no_outputs_and_no_gradient(way: str) -> None:
    net = FlatMlp((3, 8, 2), seeded(), members=2)
    out = net(torch.zeros(0, 3))
    assert out.shape == (2, 0, 2)
    out.sum().backward()
    assert net.flat.grad is not None
    assert not net.flat.grad.any()


@pytest.mark.parametrize("columns", [2, 4])
def test_rows_of_another_width_are_refused_before_they_are_read(way: str, columns: int) -> None:
    net = FlatMlp((3, 8, 2), seeded())
    with pytest.raises(BadArgumentError, match="3 columns"):
        net(torch.zeros(5, columns))


@pytest.mark.parametrize("normalize", [False, True])
def test_a_number_that_is_not_finite_is_not_hidden(way: str, normalize: bool) -> None:
    net = FlatMlp((3, 8, 8, 2), seeded(), normalize=normalize)
    x = torch.full((2, 3), torch.nan)
    assert net(x).isnan().all()


def test_weights_are_drawn_by_the_width_of_their_inputs() -> None:
    net = FlatMlp((400, 100, 1), seeded())
    for (weight, bias), (inputs, _) in zip(
        split_layers(net.flat.detach(), net.sizes), pairwise(net.sizes), strict=True
    ):
        bound = inputs**-0.5
        assert 0.9 * bound < weight.abs().max() <= bound
        assert bias.abs().max() <= bound


def test_the_density_of_a_squashed_gaussian_has_autograds_gradient() -> None:
    out = torch.randn(50, 6, dtype=torch.float64, generator=seeded())
    noise = torch.randn(50, 3, dtype=torch.float64, generator=seeded(1))

    def action(out: Tensor) -> Tensor:
        return squashed_gaussian(out, noise)[0]

    def log_prob(out: Tensor) -> Tensor:
        return squashed_gaussian(out, noise)[1]

    leaf = out.requires_grad_()
    assert torch.autograd.gradcheck(action, leaf)
    assert torch.autograd.gradcheck(log_prob, leaf)


def posterior_of(factors: Tensor) -> Posterior:
    """A posterior of measurements (n, b, l + 1)."""
    products = factors.mT @ factors
    identity = torch.eye(factors.shape[-1] - 1, dtype=factors.dtype)
    return Posterior(identity + products[:, :-1, :-1], products[:, :-1, -1])


def test_sample_and_divergence_of_a_posterior_have_autograds_gradient() -> None:
    factors = torch.randn(3, 5, 4, dtype=torch.float64, generator=seeded()).requires_grad_()
    noise = torch.randn(3, 3, dtype=torch.float64, generator=seeded(1))

    def sample(factors: Tensor) -> Tensor:
        return posterior_of(factors).reparameterize(noise)

    def divergence(factors: Tensor) -> Tensor:
        return posterior_of(factors).kl()

    assert torch.autograd.gradcheck(sample, factors)
    assert torch.autograd.gradcheck(divergence, factors)


@pytest.mark.parametrize("rank", [1, 2])
def test_the_factor_of_a_context_is_the_product_of_its_transitions_factors(rank: int) -> None:
    encoder = Encoder(6, (16,), 3, rank, seeded())
    x = torch.randn(4, 9, 6, generator=seeded(1))
    mask = torch.rand(4, 9, generator=seeded(2)) < 0.5
    found = []
    for precision, weighted in (encoder.total(x, mask), encoder(x, mask)):
        if precision.dim() == 4:
            precision = precision.sum(1)
            weighted = weighted.sum(1)
        loss = precision.square().sum() + weighted.sum()
        (gradient,) = torch.autograd.grad(loss, [encoder.net.flat])
        found.append((precision, weighted, gradient))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def test_repeated_steps_are_taken_one_after_the_other_and_logged_by_their_mean() -> None:
    taken: list[float] = []

    def step() -> dict[str, Tensor]:
        taken.append(len(taken))
        return {"loss": torch.tensor(float(taken[-1]))}

    assert repeat(step, 5, seeded()) == {"loss": 2.0}
    assert taken == [0, 1, 2, 3, 4]


def test_numbers_of_another_precision_are_refused_not_misread() -> None:
    net = FlatMlp((3, 8, 2), seeded())
    with pytest.raises(RuntimeError, match=r"dtype|scalar type"):
        net(torch.zeros(4, 3, dtype=torch.float64))
