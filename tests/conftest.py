"""Puts this folder on the path, so that the tests of every folder can use the parts in ``tiny``."""

import gc
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from forked import Forks

from policies.methods import METHODS
from robots.catalog import ARMS
from sim.families import FAMILIES

torch.set_num_threads(1)  # as in every command: on a busy machine two threads wait for each other


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage among the imported modules and the tests: they stay to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files: first those with tests that take more than ten seconds, then by their number.

    The workers take files in this order. A long file taken last would leave the others idle.
    """
    slow: Counter[Path] = Counter()
    cases: Counter[Path] = Counter()
    for item in items:
        cases[item.path] += 1
        slow[item.path] += item.get_closest_marker("slow") is not None

    def longest_first(item: pytest.Item) -> tuple[int, int]:
        return -slow[item.path], -cases[item.path]

    items.sort(key=longest_first)


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Runs programs in processes that need not import PyTorch."""
    started = Forks()
    yield started
    started.close()


@pytest.fixture
def registered() -> Iterator[None]:
    """The tiny family, method and arm, under their names in the registries."""
    with ExitStack() as stack:
        stack.enter_context(FAMILIES.temporarily("tiny", "tiny:Tiny"))
        stack.enter_context(METHODS.temporarily("counter", "tiny:Counter"))
        stack.enter_context(ARMS.temporarily("tiny-arm", "tiny:BODY"))
        yield
