"""The address of an arm's controller on the network."""

import socket


def resolve(host: str) -> str:
    """The address of a host; its name if it cannot be resolved, so that connecting fails."""
    try:
        return socket.gethostbyname(host)
    except OSError:
        return host
