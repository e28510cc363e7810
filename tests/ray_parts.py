"""What tests on a Ray cluster share: whether there is Ray, and the token of their clusters."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from adaptation.jobs.ray_access import ray_environment

# Ray reads its token once per process, so all clusters of one test run have the same.
TOKEN = "0123456789abcdef" * 4
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


@contextmanager
def loopback_environment() -> Iterator[None]:
    """The environment of a cluster on loopback that asks for TOKEN."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_environment(None, {"RAY_AUTH_TOKEN": TOKEN}).items():
            patch.setenv(name, value)
        yield
