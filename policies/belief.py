"""Functions on trees of tensors: beliefs, transitions and states.

A belief is a frozen dataclass in which every tensor has n worlds as its leading axis. The functions
descend into dataclasses, dicts, lists and tuples; leaves that are no tensors are kept unchanged.
"""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def map_tensors(f: Callable[..., Tensor], tree: T, *others: T) -> T:
    """Apply ``f`` to every tensor of a tree and to the tensors at the same places of others."""
    if isinstance(tree, Tensor):
        return f(tree, *others)  # type: ignore[return-value]
    children = children_of(tree)
    if not children:
        return tree
    branches = [children_of(other) for other in others]
    mapped = {key: map_tensors(f, x, *(b[key] for b in branches)) for key, x in children.items()}
    rebuilt: T = _rebuilt(tree, mapped)
    return rebuilt


def where(mask: Tensor, new: T, old: T) -> T:
    """Rows of ``new`` where mask (n,) is set, rows of ``old`` elsewhere."""

    def choose(a: Tensor, b: Tensor) -> Tensor:
        columns = [1] * (a.dim() - 1)
        return torch.where(mask.view(-1, *columns), a, b)

    return map_tensors(choose, new, old)


def to_device(tree: T, device: torch.device | str) -> T:
    """The same tree with every tensor on a device."""
    return map_tensors(lambda x: x.to(device), tree)


def named_tensors(tree: Any, path: str = "") -> dict[str, Tensor]:
    """Every tensor of a tree by its path: ``{"/posterior/precision": ...}``."""
    if isinstance(tree, Tensor):
        return {path: tree}
    tensors: dict[str, Tensor] = {}
    for key, child in children_of(tree).items():
        tensors |= named_tensors(child, f"{path}/{key}")
    return tensors


def replace_tensors(tree: T, tensors: dict[str, Tensor], path: str = "") -> T:
    """The tree with the tensors of these paths; KeyError if one is missing."""
    if isinstance(tree, Tensor):
        return tensors[path]  # type: ignore[return-value]
    children = children_of(tree)
    if not children:
        return tree
    replaced = {key: replace_tensors(x, tensors, f"{path}/{key}") for key, x in children.items()}
    rebuilt: T = _rebuilt(tree, replaced)
    return rebuilt


def children_of(tree: Any) -> dict[Any, Any]:
    """The branches of a node of a tree by name or index; none for a leaf."""
    if is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: getattr(tree, f.name) for f in fields(tree)}
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, list | tuple):
        return dict(enumerate(tree))
    return {}


def _rebuilt(tree: Any, children: dict[Any, Any]) -> Any:
    """A node of the same kind with other branches."""
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **children)
    if isinstance(tree, dict):
        return children
    return type(tree)(children.values())
