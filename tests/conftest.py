"""Puts this folder on the path, so that tests of every folder can use the parts in ``tiny``."""

from collections.abc import Iterator

import pytest
import torch

from policies.methods import METHODS
from robots.catalog import ARMS
from sim.families import FAMILIES

torch.set_num_threads(1)  # as every command does: on a busy machine two wait for each other


@pytest.fixture
def registered() -> Iterator[None]:
    """The tiny family, method and arm, under their names in the registries."""
    tables = (
        (FAMILIES, "tiny", "tiny:Tiny"),
        (METHODS, "counter", "tiny:Counter"),
        (ARMS, "tiny-arm", "tiny:BODY"),
    )
    for table, name, entry in tables:
        table.add(name, entry)
    yield
    for table, name, _ in tables:
        del table._entries[name]
