"""How a command tells what is going to move, and waits for Enter before a real arm does."""

import sys
from collections.abc import Callable

from robots.errors import BadArgumentError


def confirmation(driver: str, yes: bool) -> Callable[[str], bool]:
    """What tells a plan and says whether to move: a real arm waits for Enter, unless ``yes``.

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
