"""How a command tells what is going to move, and waits for Enter before a real arm does."""


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
