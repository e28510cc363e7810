"""Counts in words."""


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 episode", "3 episodes", "12,000 environment steps"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
