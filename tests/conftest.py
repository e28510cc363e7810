"""Puts this folder on the path, so that the tests of every folder can use the parts in ``tiny``."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import torch

from policies.methods import METHODS
from robots.catalog import ARMS
from sim.families import FAMILIES

torch.set_num_threads(1)  # as in every command: on a busy machine two threads wait for each other


@pytest.fixture
def registered() -> Iterator[None]:
    """The tiny family, method and arm, under their names in the registries."""
    with ExitStack() as stack:
        stack.enter_context(FAMILIES.temporarily("tiny", "tiny:Tiny"))
        stack.enter_context(METHODS.temporarily("counter", "tiny:Counter"))
        stack.enter_context(ARMS.temporarily("tiny-arm", "tiny:BODY"))
        yield
