"""The walker over trees of tensors: what it visits, and what it leaves as it is."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from policies.belief import map_tensors, named_tensors, replace_tensors, where


@dataclass(frozen=True)
class Inner:
    mean: Tensor
    label: str = "kept"


@dataclass(frozen=True)
class Tree:
    inner: Inner
    pair: tuple[Tensor, Tensor]
    rows: list[Tensor]
    named: dict[str, Tensor]
    nothing: None = None
    count: int = 3


def tree(value: float) -> Tree:
    x = torch.full((2,), value)
    return Tree(Inner(x), (x + 1, x + 2), [x + 3], {"a": x + 4})


PATHS = ["/inner/mean", "/pair/0", "/pair/1", "/rows/0", "/named/a"]


def test_every_tensor_has_a_path() -> None:
    found = named_tensors(tree(0.0))
    assert list(found) == PATHS
    assert [float(x[0]) for x in found.values()] == [0, 1, 2, 3, 4]


def test_a_tree_keeps_its_shape_and_whatever_is_no_tensor() -> None:
    doubled = map_tensors(lambda x: 2 * x, tree(1.0))
    assert [float(x[0]) for x in named_tensors(doubled).values()] == [2, 4, 6, 8, 10]
    assert isinstance(doubled.pair, tuple)
    assert isinstance(doubled.rows, list)
    assert (doubled.inner.label, doubled.nothing, doubled.count) == ("kept", None, 3)


def test_trees_are_combined_tensor_by_tensor() -> None:
    difference = map_tensors(lambda a, b, c: a - b * c, tree(9.0), tree(1.0), tree(2.0))
    expected = [(9 + i) - (1 + i) * (2 + i) for i in range(5)]
    assert [float(x[0]) for x in named_tensors(difference).values()] == expected


def test_rows_of_the_new_tree_are_taken_where_the_mask_is_set() -> None:
    mixed = where(torch.tensor([True, False]), tree(10.0), tree(20.0))
    for i, tensor in enumerate(named_tensors(mixed).values()):
        assert tensor.tolist() == [10 + i, 20 + i]


def test_tensors_are_replaced_by_their_paths_and_all_of_them_are_needed() -> None:
    other = named_tensors(tree(5.0))
    replaced = replace_tensors(tree(0.0), other)
    for path, tensor in named_tensors(replaced).items():
        assert torch.equal(tensor, other[path])
    assert isinstance(replaced.pair, tuple)
    del other["/rows/0"]
    with pytest.raises(KeyError, match="/rows/0"):
        replace_tensors(tree(0.0), other)
