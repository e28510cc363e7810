"""The metadata record of a recording: arm, task, run, and the versions of the packages."""

import json
import platform
import time
import zlib
from importlib.metadata import PackageNotFoundError, version

from hw_interface.recording.schemas import PROFILE

NAME = "pliant"  # of the metadata record
CHECKSUM = "crc32"  # MCAP has none for metadata
PACKAGES = ("pliant", "numpy", "torch", "mujoco", "mcap")


def describe(notes: dict[str, str]) -> dict[str, str]:
    """The metadata of a new recording.

    Args:
        notes: entries of the caller: arm, family, seed, run, ...

    Returns:
        The notes, the profile, the time at which the recording began, the versions of the packages,
        and a checksum over all of these.
    """
    metadata = dict(notes)
    metadata["profile"] = PROFILE
    metadata["began"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    metadata["python"] = platform.python_version()
    for package in PACKAGES:
        metadata[package] = _version(package)
    metadata[CHECKSUM] = checksum(metadata)
    return metadata


def checksum(metadata: dict[str, str]) -> str:
    """CRC-32 over all entries except the checksum, as eight hexadecimal digits."""
    entries = sorted(item for item in metadata.items() if item[0] != CHECKSUM)
    return f"{zlib.crc32(json.dumps(entries).encode()):08x}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
