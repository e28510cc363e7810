"""What a person can mend, told without a traceback; anything else is a bug and keeps it."""


class PliantError(Exception):
    """Something could not be done; the message says what, why, and what can be."""

    status = 1  # the exit status of a command that fails so


class BadArgumentError(PliantError):
    """What was asked for is impossible."""

    status = 2


class RefusedError(PliantError):
    """A checkpoint does not fit what it was loaded for; the message names every difference."""

    status = 2


class DamagedError(PliantError):
    """A folder is not, byte for byte, what was once written."""
