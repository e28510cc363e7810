"""How a process ended, in words."""

import signal


def describe_exit(status: int) -> str:
    """What a process has done that ended with a status: negative, the signal that killed it."""
    if status < 0:
        return f"was killed by {_signal_name(-status)}"
    return f"ended with status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal, of which most have no name
        return f"signal {number}"
