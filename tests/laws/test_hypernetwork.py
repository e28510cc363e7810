"""Laws of a network whose weights a memory makes."""

import torch
from torch import nn

from policies.nn.hypernetwork import HyperMlp

MEMORY = 3
SIZES = [4, 5, 2]


def make() -> HyperMlp:
    return HyperMlp(MEMORY, SIZES, torch.Generator().manual_seed(0))


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_at_first_every_memory_makes_the_same_network() -> None:
    x = random(6, SIZES[0])
    outputs = make()(torch.cat([random(6, MEMORY), x], -1))
    others = make()(torch.cat([random(6, MEMORY, seed=2), x], -1))
    torch.testing.assert_close(outputs, others)
    assert outputs.std(0).min() > 0


def test_outputs_are_those_of_the_network_that_each_memory_makes() -> None:
    """Row by row, as ``torch.nn`` computes it."""
    hyper = make()
    nn.init.normal_(hyper.make.weight, generator=torch.Generator().manual_seed(3))
    memory = random(2, 3, MEMORY)
    x = random(2, 3, SIZES[0], seed=2)
    outputs = hyper(torch.cat([memory, x], -1))
    for i in range(2):
        for j in range(3):
            made = hyper.make(memory[i, j])
            network = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
            nn.utils.vector_to_parameters(made, network.parameters())
            torch.testing.assert_close(outputs[i, j], network(x[i, j]))


def test_gradients_reach_the_memory_once_the_weights_have_moved() -> None:
    hyper = make()
    inputs = random(6, SIZES[0])

    def gradient() -> torch.Tensor:
        memory = random(6, MEMORY).requires_grad_()
        outputs = hyper(torch.cat([memory, inputs], -1))
        outputs.square().sum().backward()
        assert memory.grad is not None
        return memory.grad

    assert gradient().abs().sum() == 0
    torch.optim.SGD(hyper.parameters(), lr=0.01).step()
    assert gradient().abs().sum() > 0
