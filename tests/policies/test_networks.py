"""Layers without weights, to be filled by a method's own generator."""

from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forks
from torch import nn

from policies.nn.networks import empty_layer

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
import torch
from policies.nn.memory import GruMemory
from policies.nn.networks import mlp

generator = torch.Generator().manual_seed(0)
mlp([4, 8, 2], generator)
GruMemory(4, 8, generator)
sys.exit("sympy" in sys.modules)
"""


@pytest.mark.parametrize(
    ("kind", "sizes", "options"),
    [
        (nn.Linear, (3, 5), {}),
        (nn.Conv1d, (4, 4, 8), {"stride": 2}),
        (nn.GRU, (3, 5), {}),
        (nn.LSTM, (3, 5), {}),
    ],
)
def test_an_empty_layer_is_one_whose_weights_can_be_set(
    kind: Any, sizes: tuple[int, ...], options: dict[str, Any]
) -> None:
    usual = kind(*sizes, **options)
    empty = empty_layer(kind, *sizes, device=torch.device("cpu"), **options)
    assert type(empty) is kind
    before = torch.get_rng_state()
    empty_layer(kind, *sizes, device=torch.device("cpu"), **options)
    assert torch.equal(torch.get_rng_state(), before), "it draws no numbers"
    empty.load_state_dict(usual.state_dict())
    for weight in empty.parameters():
        assert weight.requires_grad
        assert weight.device.type == "cpu"
    inputs = torch.randn(2, sizes[0], 20) if kind is nn.Conv1d else torch.randn(20, 2, sizes[0])
    expected = usual(inputs)
    outputs = empty(inputs)
    if isinstance(outputs, tuple):
        expected, outputs = expected[0], outputs[0]
    assert torch.equal(outputs, expected)


def test_networks_are_built_without_sympy(forks: Forks, tmp_path: Path) -> None:
    """Its import takes a third of a second, which every process of a training would wait for."""
    program = tmp_path / "build.py"
    program.write_text(PROGRAM)
    done = forks.run(str(program), [], tmp_path, str(ROOT))
    assert done.returncode == 0, done.stderr
