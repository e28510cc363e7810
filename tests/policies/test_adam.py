"""Adam without the compiler is PyTorch's Adam, and the compiler is not imported for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forks

from policies.nn.adam import Adam

ROOT = Path(__file__).parents[2]
USE = """
import sys

import torch
from policies.nn.adam import Adam

optimizer = Adam([torch.ones(2, requires_grad=True)])
optimizer.zero_grad()
optimizer.step()
optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""


def trained(kind: type[torch.optim.Adam], **settings: Any) -> tuple[list[torch.Tensor], Any]:
    """Two groups of parameters after six steps, with a saved and loaded state after three."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(5, generator=generator).requires_grad_() for _ in range(2))
    groups = [{"params": [x], "lr": 0.1}, {"params": [y], "lr": 0.01}]
    optimizer = kind(groups, **settings)
    for step in range(6):
        optimizer.zero_grad()
        (x * y + x.square() * y.exp()).sum().backward()
        optimizer.step()
        if step == 2:
            saved = optimizer.state_dict()
            optimizer = kind(groups, **settings)
            optimizer.load_state_dict(saved)
    return [x.detach(), y.detach()], optimizer.state_dict()


@pytest.mark.parametrize("fused", [True, False])
def test_steps_and_state_are_those_of_pytorch_bit_for_bit(fused: bool) -> None:
    ours, our_state = trained(Adam, fused=fused)
    theirs, their_state = trained(torch.optim.Adam, fused=fused)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    assert our_state["param_groups"] == their_state["param_groups"]
    for key, values in their_state["state"].items():
        for name, value in values.items():
            assert torch.equal(our_state["state"][key][name], value), name


def test_a_step_records_no_gradients_and_leaves_them_on() -> None:
    x = torch.ones(2, requires_grad=True)
    optimizer = Adam([x])
    (3 * x).sum().backward()
    optimizer.step()
    assert x.is_leaf
    assert torch.is_grad_enabled()


def test_the_compiler_is_not_imported(forks: Forks, tmp_path: Path) -> None:
    program = tmp_path / "use.py"
    program.write_text(USE)
    done = forks.run(str(program), (), tmp_path, str(ROOT))
    assert done.returncode == 0, done.stderr


def test_every_method_uses_it() -> None:
    for file in (ROOT / "policies").rglob("*.py"):
        assert "optim.Adam(" not in file.read_text(encoding="utf-8"), file
