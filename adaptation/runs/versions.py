"""Versions of installed packages, the commit of the code, and the machine it runs on."""

import os
import platform
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]  # a checkout, or the folder that the packages are installed in
UNKNOWN = "0.0"


class Machine(msgspec.Struct, frozen=True):
    """Where something was computed."""

    processor: str
    cores: int
    system: str
    python: str


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def pliant_version() -> str:
    """Pliant's version, also in a checkout that was never installed."""
    installed = installed_version("pliant")
    if installed is not None:
        return installed
    project = ROOT / "pyproject.toml"
    if not project.is_file():
        return UNKNOWN
    document = tomllib.loads(project.read_text(encoding="utf-8"))
    return str(document["project"]["version"])


def current_commit() -> str | None:
    """The commit of the code that is running; None if no git repository tracks that code.

    A package that is installed within a user's own repository is not part of that repository.
    """
    own_file = Path(__file__).relative_to(ROOT)
    if _git_answer("ls-files", "--error-unmatch", str(own_file)) is None:
        return None
    return _git_answer("rev-parse", "HEAD")


def _git_answer(*words: str) -> str | None:
    """What git answers about the code's folder; None if it refuses or is not installed."""
    command = ["git", *words]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _processor() -> str:
    """The processor's name as Linux tells it."""
    information = Path("/") / "proc" / "cpuinfo"
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"
