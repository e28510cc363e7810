"""Errors that a person can act on. A command prints them as one line; anything else is a bug.

They are defined in the lowest package, so that every package can raise the right kind where the
error is detected.
"""


class PliantError(Exception):
    """Something could not be done; the message says what, why, and what is possible instead."""

    status = 1  # exit status of a command that ends with this error


class BadArgumentError(PliantError, ValueError):
    """The request is impossible; the message names what was given and what is allowed."""

    status = 2


class UnknownNameError(BadArgumentError, KeyError):
    """A registry, task or spec has no entry of this name; the message lists those that exist."""

    def __str__(self) -> str:
        """The message itself: ``KeyError`` would print it in quotes."""
        return str(self.args[0])


class MissingExtraError(PliantError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


def install_extra(extra: str) -> str:
    """The command that installs an extra, from the folder of a checkout."""
    return f"pip install '/path/to/pliant[{extra}]'"


class RefusedError(PliantError):
    """A checkpoint does not fit what it was loaded for; the message names every difference."""

    status = 2


class DamagedError(PliantError):
    """A file or folder does not hold, byte for byte, what was written to it."""


class ArmError(PliantError, RuntimeError):
    """The arm cannot continue; the message gives its mode and what happened."""
