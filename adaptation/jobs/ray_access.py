"""What Ray may be reached by: loopback alone, or a given address together with a token.

A Ray cluster executes whatever its members send (pickled functions), and Ray encrypts nothing by
itself. So every cluster of Pliant has a token, which Ray has known since 2.52: its own clusters
listen on loopback and have a token of their own, and others are joined only with theirs. Nothing
here imports Ray, which reads its environment when it is imported.
"""

import secrets
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from robots.errors import BadArgumentError, MissingExtraError, RefusedError, install_extra

EXTRA = install_extra("ray")
OLDEST = (2, 52)  # the first with tokens: an older one would ignore that one is asked for
LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
MODE = "RAY_AUTH_MODE"
TOKEN = "RAY_AUTH_TOKEN"
TOKEN_FILE = "RAY_AUTH_TOKEN_PATH"
DEFAULT_TOKEN_FILE = ".ray/auth_token"  # in the home folder; `ray get-auth-token --generate`
# Only with this variable at 0 does Ray keep 127.0.0.1 as a node's address on Linux, and listen
# there alone; else it takes the machine's address in its place and listens on all interfaces.
BEYOND_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def ray_environment(address: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to set before Ray is imported.

    Args:
        address: HOST:PORT of a cluster; None: a cluster of our own on this machine.
        environment: of this process, with the token or the file that holds it.

    Raises:
        BadArgumentError: the address is of another form, or there is no token for it.
    """
    variables = {MODE: "token", "RAY_USAGE_STATS_ENABLED": "0"}
    if address is None:
        variables[TOKEN] = environment.get(TOKEN) or _own_token()
        return {**variables, BEYOND_LOOPBACK: "0"}
    host = _host(address)
    if not _has_token(environment):
        raise BadArgumentError(
            f"--address {address} needs the cluster's token, in the variable {TOKEN} or in a file "
            f"that {TOKEN_FILE} names: whoever reaches a Ray cluster runs code on it"
        )
    if host in LOOPBACK_HOSTS:
        variables[BEYOND_LOOPBACK] = "0"
    return variables


def _host(address: str) -> str:
    """The host of HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise BadArgumentError(
            f"--address takes HOST:PORT of a Ray cluster's head, got {address!r}"
        )
    return host.strip("[]")


def _has_token(environment: Mapping[str, str]) -> bool:
    if environment.get(TOKEN):
        return True
    home = Path(environment.get("HOME", "/"))
    file = Path(environment.get(TOKEN_FILE) or home / DEFAULT_TOKEN_FILE)
    try:
        return bool(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        return False


@cache
def _own_token() -> str:
    """The token of this process's own clusters: Ray reads it once per process."""
    return secrets.token_hex(32)


def check_ray() -> None:
    """Refuse to go on without Ray, or with one that has no tokens; nothing is imported.

    Raises:
        MissingExtraError: it is not installed.
        RefusedError: it is too old.
    """
    try:
        installed = version("ray")
    except PackageNotFoundError as missing:
        raise MissingExtraError(f"--executor ray needs an extra: {EXTRA}") from missing
    major, minor, *_ = installed.split(".")
    if (int(major), int(minor)) < OLDEST:
        raise RefusedError(f"ray {installed} cannot ask for a token: {EXTRA}")
