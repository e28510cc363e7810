"""What does not come up of an arm, told by the policy's process instead of a traceback here."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw_interface.control.config import ControlConfig
from hw_interface.control.shared_state import SharedState
from hw_interface.devices import Devices

EXPLAINED = (OSError, RuntimeError, ValueError, ImportError)  # their message says what is wrong


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
    """End the process where something fails; the policy's process reports the reason.

    Raises:
        SystemExit: in place of the error.
    """
    try:
        yield
    except Exception as error:
        shared.exit_reason = _describe(error)
        raise SystemExit(1) from error


def _describe(error: Exception) -> str:
    """The reason; of an error that nobody meant to raise, its kind and place too."""
    if isinstance(error, EXPLAINED):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    file = Path(place.filename).name
    return f"{type(error).__name__}: {error} ({file}, line {place.lineno})"
