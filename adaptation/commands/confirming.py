"""How a command tells what is going to move, and waits for Enter before a real arm does."""

import sys
from collections.abc import Callable

from robots.errors import BadArgumentError

Confirm = Callable[[str], bool]  # prints a plan, and returns whether to move


def confirmation(driver: str, yes: bool) -> Confirm:
    """How a plan is confirmed: at a real arm by Enter, elsewhere, or with ``yes``, at once.

    Args:
        driver: a name in ``DRIVERS``.
        yes: the option --yes.

    Raises:
        BadArgumentError: it would wait, and there is no terminal.
    """
    from adaptation.jobs.arm_options import task_is_known

    if yes or task_is_known(driver):
        return tell_plan
    if not sys.stdin.isatty():
        raise BadArgumentError(
            "a real arm moves after Enter was pressed, and there is no terminal: give --yes"
        )
    return ask_to_move


def tell_plan(plan: str) -> bool:
    """Print what is going to move; it may."""
    print(plan)
    return True


def ask_to_move(plan: str) -> bool:
    """Print what is going to move; whether it was confirmed by Enter alone."""
    print(plan)
    try:
        return input("Enter: move; anything else: leave it where it is. ") == ""
    except EOFError:  # Ctrl-D
        return False
