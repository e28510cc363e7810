"""How a process ended, in words."""

import signal


def describe_exit(status: int) -> str:
    """What a process has done that ended with a status: negative, the signal that killed it."""
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
