"""``--replay`` of ``pliant train``: which methods take it."""

from typing import Any

from policies.methods import METHODS
from robots.errors import BadArgumentError

REPLAY_SETTING = "replay.sampling"  # what --replay sets


def check_replay(method: str) -> None:
    """Refuse --replay for a method that has no such setting; BadArgumentError names those with it.

    Args:
        method: its name.
    """
    from adaptation.runs.checkpoint import method_class
    from policies.fields import declared_fields

    def takes_it(name: str) -> bool:
        kind: Any = method_class(name)
        return REPLAY_SETTING in declared_fields(kind.Config)

    if takes_it(method):
        return
    able = [name for name in METHODS if takes_it(name)]
    raise BadArgumentError(
        f"{method} takes no --replay: it learns from whole trials or segments, or has no replay; "
        f"those that take it: {', '.join(able)}"
    )
