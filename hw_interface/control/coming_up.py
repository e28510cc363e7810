"""Errors while an arm starts up: they are published, and the policy's process reports them."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw_interface.control.config import ControlConfig
from hw_interface.control.shared_state import SharedState
from hw_interface.devices import Devices

EXPLAINED = (OSError, RuntimeError, ValueError, ImportError)  # errors whose message says enough


def build_devices(config: ControlConfig, shared: SharedState) -> Devices:
    """Build driver, tracker and placer.

    Raises:
        SystemExit: one of them cannot be built; the memory is closed.
    """
    try:
        with reason_published(shared):
            return config.make_devices()
    except SystemExit:
        shared.finish()
        shared.close()
        raise


@contextmanager
def reason_published(shared: SharedState) -> Iterator[None]:
    """On an error, publish its reason and end the process; the policy's process reports it.

    Raises:
        SystemExit: in place of the error.
    """
    try:
        yield
    except Exception as error:
        shared.exit_reason = _describe(error)
        raise SystemExit(1) from error


def _describe(error: Exception) -> str:
    """The message of an error; for an unexpected error also its type and place."""
    if isinstance(error, EXPLAINED):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(place.filename).name
    return f"{type(error).__name__}: {error} ({file}, line {place.lineno})"
